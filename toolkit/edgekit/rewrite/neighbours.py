"""Which convolution a per-channel change can move into, across operators that leave channels alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import Conv, arguments, aten, constant, conv_of, only_user, shuffle_factor, transposed_conv_of

COPYING_PADS = ("reflect", "replicate", "circular")
"""Padding by the picture's own values: what is done to each value can be done before or after."""


def conv_before(graph: GraphModule, node: Any, user: Node) -> tuple[Conv, int] | None:
    """The convolution (transposed, too) whose values only `user` reads, directly or through one PixelShuffle, and the factor of that (1: none)."""
    if not isinstance(node, Node) or only_user(node) is not user:
        return None
    factor = shuffle_factor(node)
    if factor is not None:
        user, node = node, node.args[0]
    conv = conv_of(graph, node) or transposed_conv_of(graph, node)
    return None if conv is None or only_user(conv.node) is not user else (conv, factor or 1)


def conv_after(graph: GraphModule, node: Node) -> tuple[Conv, Node] | None:
    """The convolution of one group that alone reads `node`, directly or through paddings that copy, and the node that it reads."""
    user = only_user(node)
    while user is not None and is_copying_pad(user):
        node, user = user, only_user(user)
    conv = conv_of(graph, user)
    return None if conv is None or conv.groups != 1 or conv.node.args[0] is not node else (conv, node)


def is_copying_pad(node: Node) -> bool:
    if node.target is aten.pad.default:
        return arguments(node)[2] in COPYING_PADS
    return node.target in (aten.reflection_pad2d.default, aten.replication_pad2d.default)


def product(graph: GraphModule, node: Any) -> tuple[Node, Tensor] | None:
    """(computed operand, constant factor) of a multiplication or division by a constant."""
    if not isinstance(node, Node):
        return None
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


def shift(graph: GraphModule, node: Any) -> tuple[Node, Tensor] | None:
    """(computed operand, constant that is added) of an addition or subtraction of a constant."""
    if (
        not isinstance(node, Node)
        or node.target not in (aten.add.Tensor, aten.sub.Tensor, aten.add.Scalar, aten.sub.Scalar)
        or node.kwargs.get("alpha", 1) != 1
        or len(node.args) != 2
    ):
        return None
    left, right = node.args
    is_sub = node.target in (aten.sub.Tensor, aten.sub.Scalar)
    if isinstance(left, Node) and constant(graph, left) is None and (offset := constant(graph, right)) is not None:
        return left, (-offset if is_sub else offset).double()
    if not is_sub and isinstance(right, Node) and constant(graph, right) is None and (offset := constant(graph, left)) is not None:
        return right, offset.double()
    return None
