"""The mean shift disappears: x - m before a convolution, y + m after one.

After a convolution it is a change of bias. Before a zero-padded convolution it is not: the padding means "mean colour" to the original, black to a network
with a changed bias. So the input gets one more channel of ones, whose weights are -sum_c m_c W_c: outside the tile that channel is zero too, and the result
is the original's to the last pixel. On an 8-bit input the integer file then starts from the picture's own values, without a rounding step in between.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import Conv, aten, constant, conv_of, only_user, per_channel, repeat, replace_conv


def fold_mean_shift(graph: GraphModule) -> int:
    """Returns the number of additions and subtractions removed."""
    return repeat(graph, _fold_one)


def _fold_one(graph: GraphModule) -> bool:
    for node in graph.graph.nodes:
        found = _shift(graph, node)
        if found is None:
            continue
        source, offset = found
        before = conv_of(graph, source)
        if before is not None and only_user(source) is node:
            shift = per_channel(offset, before.weight.shape[0])
            if shift is not None:
                new = replace_conv(graph, before, before.weight, before.bias + shift)
                node.replace_all_uses_with(new)
                graph.graph.erase_node(node)
                return True
        after = conv_of(graph, only_user(node))
        if after is not None and after.groups == 1 and after.node.args[0] is node:
            shift = per_channel(offset, after.weight.shape[1])
            if shift is not None:
                _fold_before(graph, after, source, shift)
                graph.graph.erase_node(node)
                return True
    return False


def _fold_before(graph: GraphModule, conv: Conv, source: Node, shift: Tensor) -> None:
    moved = (conv.weight * shift.view(1, -1, 1, 1)).sum(1, keepdim=True)
    if conv.padding == (0, 0):
        replace_conv(graph, conv, conv.weight, conv.bias + moved.sum((1, 2, 3)), source=source)
        return
    with graph.graph.inserting_before(conv.node):
        ones = graph.graph.call_function(aten.constant_pad_nd.default, (source, [0, 0, 0, 0, 0, 1], 1.0))
    replace_conv(graph, conv, torch.cat([conv.weight, moved], 1), conv.bias, source=ones)


def _shift(graph: GraphModule, node: Node) -> tuple[Node, Tensor] | None:
    """(computed operand, constant that is added) of an addition or subtraction of a constant."""
    if (
        node.target not in (aten.add.Tensor, aten.sub.Tensor, aten.add.Scalar, aten.sub.Scalar)
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
