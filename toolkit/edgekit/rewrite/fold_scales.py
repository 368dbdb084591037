"""Multiplications by constants disappear into the neighbouring convolution: input range, residual scaling, output range.

Scaling commutes with zero padding, so this is exact everywhere.
"""

from __future__ import annotations

from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, constant, conv_of, only_user, per_channel, repeat, replace_conv


def fold_scales(graph: GraphModule) -> int:
    """conv * s, s * conv, conv / s and conv(x * s), conv(x / s) become conv with scaled weights. Returns the number of products removed."""
    return repeat(graph, _fold_one)


def _fold_one(graph: GraphModule) -> bool:
    for node in graph.graph.nodes:
        found = _product(graph, node)
        if found is None:
            continue
        source, factor = found
        before = conv_of(graph, source)
        if before is not None and only_user(source) is node:
            scale = per_channel(factor, before.weight.shape[0])
            if scale is not None:
                new = replace_conv(graph, before, before.weight * scale.view(-1, 1, 1, 1), before.bias * scale)
                node.replace_all_uses_with(new)
                graph.graph.erase_node(node)
                return True
        user = only_user(node)
        after = conv_of(graph, user)
        if after is not None and after.groups == 1 and after.node.args[0] is node:
            scale = per_channel(factor, after.weight.shape[1])
            if scale is not None:
                replace_conv(graph, after, after.weight * scale.view(1, -1, 1, 1), after.bias, source=source)
                graph.graph.erase_node(node)
                return True
    return False


def _product(graph: GraphModule, node: Node) -> tuple[Node, Tensor] | None:
    """(computed operand, constant factor) of a multiplication or division by a constant."""
    if node.target in (aten.mul.Tensor, aten.mul.Scalar):
        left, right = node.args[:2]
        if isinstance(left, Node) and constant(graph, left) is None and (factor := constant(graph, right)) is not None:
            return left, factor.double()
        if isinstance(right, Node) and constant(graph, right) is None and (factor := constant(graph, left)) is not None:
            return right, factor.double()
    if node.target in (aten.div.Tensor, aten.div.Scalar) and len(node.kwargs) == 0:
        left, right = node.args[:2]
        divisor = constant(graph, right)
        if isinstance(left, Node) and constant(graph, left) is None and divisor is not None and bool((divisor != 0).all()):
            return left, 1 / divisor.double()
    return None
