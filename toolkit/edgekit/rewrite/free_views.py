"""A view becomes a reshaping, which copies where the memory does not lie as the view needs it.

Why: litert-torch (0.10) runs the graph on pictures with channels last; `y.view(1, -1)` of what a convolution gives there ends with "Cannot view a tensor with
shape ... and strides ...". GFPGAN flattens its last features so.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, written


def free_views(graph: GraphModule) -> int:
    """Returns the number of views changed: those that no operator writes through."""
    views = [node for node in calls(graph, aten.view.default) if not written(node)]
    for node in views:
        node.target = aten.reshape.default
    return len(views)
