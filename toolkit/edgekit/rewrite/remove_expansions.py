"""An expansion in front of arithmetic that expands by itself leaves the graph.

Why: `expand_copy` is outside XNNPACK, and the copy would be as large as the picture; its arithmetic broadcasts. `F.normalize` expands the lengths it divides by.
"""

from __future__ import annotations

from torch import broadcast_shapes
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, calls, shape_of

BROADCASTING = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.maximum.default, aten.minimum.default)


def remove_expansions(graph: GraphModule) -> int:
    """Returns the number of expansions removed: those whose readers all have another operand that gives the result its shape."""
    changed = 0
    for node in calls(graph, aten.expand.default, aten.expand_as.default):
        source = node.args[0]
        if isinstance(source, Node) and node.users and all(_expands_itself(user, node, source) for user in node.users):
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
            changed += 1
    return changed


def _expands_itself(user: Node, expanded: Node, source: Node) -> bool:
    if user.target not in BROADCASTING:
        return False
    shapes = [shape_of(source if operand is expanded else operand) for operand in user.args[:2]]
    known = [shape for shape in shapes if shape is not None]
    return bool(known) and broadcast_shapes(*known) == shape_of(user)
