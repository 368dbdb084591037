"""Operators that give back the very tensor they got leave the graph: alias, detach, a slice of everything, a view or an expansion to the same shape, a cast to
the same type.

Why: `x[..., :height, :width]` of a picture that needs no cropping becomes `alias_copy` in ExecuTorch, which XNNPACK does not take and which fails in the file
(error 0x12) where its input lies channels-last: no file of SwinIR ran.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, calls, dtype_of, shape_of

SAME = (
    aten.alias.default,
    aten.detach.default,
    aten.detach_.default,
    aten.slice.Tensor,
    aten.expand.default,
    aten.expand_as.default,
    aten.view.default,
    aten.view_as.default,
    aten.reshape.default,
    aten.type_as.default,
)
"""They return their first argument itself, not a copy, where its shape and type are the wanted ones: nothing that writes in place sees a difference."""


def remove_identities(graph: GraphModule) -> int:
    """Returns the number of operators removed."""
    changed = 0
    for node in calls(graph, *SAME):
        source = node.args[0]
        if isinstance(source, Node) and shape_of(source) is not None and shape_of(source) == shape_of(node) and dtype_of(source) == dtype_of(node):
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
            changed += 1
    return changed
