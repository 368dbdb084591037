"""Pooling without a stride of its own says the stride that it has: its window's sides.

Why: torch.export leaves out what was not given, and coremltools (9.0) then refuses `F.max_pool2d(x, 2)`.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls


def plain_pooling(graph: GraphModule) -> int:
    """Returns the number of poolings changed."""
    changed = 0
    for node in calls(graph, aten.max_pool2d.default, aten.avg_pool2d.default):
        source, window, stride, *rest = arguments(node)
        if len(node.args) < 3 or not stride:
            node.args = (source, list(window), list(stride or window), *rest)
            node.kwargs = {}
            changed += 1
    return changed
