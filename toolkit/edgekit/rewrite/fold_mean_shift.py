"""The mean shift disappears: x - m before a convolution, y + m after one.

Why: an addition at full resolution costs a pass over the picture in every backend. After a convolution it is a change of bias. Before a zero-padded
convolution it is not: the padding means "mean colour" to the original, black to a network with a changed bias. So a picture gets one more channel of ones,
whose weights are -sum_c m_c W_c: outside the tile that channel is zero too, and the result is the original's to the last pixel. Inside a network, where
channels are many, the addition stays. On an 8-bit input the integer file then starts from the picture's own values, without a rounding step in between.
"""

from __future__ import annotations

from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import Conv, per_channel, repeat, replace_conv, with_constant_channel
from edgekit.rewrite.neighbours import conv_after, conv_before, shift

FEW = 4
"""Up to so many channels another one costs nothing. A convolution of 17 channels takes ONNX Runtime 1.4 x the time of one of 16 and an addition."""


def fold_mean_shift(graph: GraphModule) -> int:
    """Returns the number of additions and subtractions removed."""
    return repeat(graph, _fold_one)


def _fold_one(graph: GraphModule) -> bool:
    for node in graph.graph.nodes:
        found = shift(graph, node)
        if found is None:
            continue
        source, offset = found
        before = conv_before(graph, source, node)
        if before is not None:
            conv, shuffle = before
            moved = per_channel(offset, conv.channels // shuffle**2)
            if moved is not None:
                new = replace_conv(graph, conv, conv.weight, conv.bias + moved.repeat_interleave(shuffle**2))
                node.replace_all_uses_with(new if source is conv.node else source)
                graph.graph.erase_node(node)
                return True
        after = conv_after(graph, node)
        if after is not None:
            conv = after[0]
            moved = per_channel(offset, conv.weight.shape[1])
            if moved is not None and (conv.padding == (0, 0) or len(moved) <= FEW):
                _fold_before(graph, conv, node, source, moved)
                return True
    return False


def _fold_before(graph: GraphModule, conv: Conv, node: Node, source: Node, offset: Tensor) -> None:
    moved = (conv.weight * offset.view(1, -1, 1, 1)).sum(1, keepdim=True)
    if conv.padding == (0, 0):
        new, weight, bias = source, conv.weight, conv.bias + moved.sum((1, 2, 3))
    else:
        with graph.graph.inserting_before(node):
            new, weight = with_constant_channel(graph, source, conv.weight, moved)
        bias = conv.bias
    node.replace_all_uses_with(new)
    graph.graph.erase_node(node)
    replace_conv(graph, conv, weight, bias)
