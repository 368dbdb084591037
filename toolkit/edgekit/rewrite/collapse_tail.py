"""conv -> PixelShuffle -> conv is linear: it becomes one convolution before the shuffle.

For EDSR x2: 3x3 64 -> 256, shuffle, 3x3 64 -> 3 becomes 5x5 64 -> 12, shuffle: 19 200 instead of 154 368 multiplications per input pixel. Chains collapse
repeatedly (x4), and successive shuffles become one. Equal to the original except in the outermost pixels, where the second convolution's zero padding showed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import GraphModule

from edgekit.rewrite.graph import Conv, aten, conv_of, layer_name, only_user, replace_conv, shuffle_factor


def collapse_tail(graph: GraphModule) -> int:
    """Returns the number of convolutions removed. Chains whose collapsed form would cost more multiplications are left alone."""
    changed = 0
    while _collapse_one(graph) or _merge_shuffles(graph):
        changed += 1
    return changed


def _collapse_one(graph: GraphModule) -> bool:
    for node in graph.graph.nodes:
        factor = shuffle_factor(node)
        if factor is None:
            continue
        first, second = conv_of(graph, node.args[0]), conv_of(graph, only_user(node))
        if first is None or second is None or only_user(first.node) is not node or not first.is_plain_same or not second.is_plain_same:
            continue
        weight, bias = _collapsed(first, second, factor)
        if weight.numel() >= first.weight.numel() + second.weight.numel() * factor**2:
            continue
        name = f"{layer_name(first.node)}_{str(layer_name(second.node)).replace('.', '_')}"
        second.node.replace_all_uses_with(node)
        graph.graph.erase_node(second.node)
        replace_conv(graph, first, weight, bias, name=name)
        return True
    return False


def _collapsed(first: Conv, second: Conv, factor: int) -> tuple[Tensor, Tensor]:
    """Weight (O*f*f, I, k, k) and bias (O*f*f,) of the one convolution: the chain's response to an impulse in each input channel, and to nothing."""
    inputs = first.weight.shape[1]
    radius = first.weight.shape[2] // 2 + -(-(second.weight.shape[2] // 2) // factor)
    side = 2 * radius + 1

    def chain(x: Tensor, bias_1: Tensor | None, bias_2: Tensor | None) -> Tensor:
        y = F.conv2d(x, first.weight, bias_1, padding=first.padding)
        y = F.conv2d(F.pixel_shuffle(y, factor), second.weight, bias_2, padding=second.padding)
        return F.pixel_unshuffle(y, factor)

    # A margin keeps the impulse's response, and the constant response, clear of the zero padding.
    size, centre = 2 * side + 1, side
    impulses = torch.zeros(inputs, inputs, size, size, dtype=torch.float64)
    impulses[torch.arange(inputs), torch.arange(inputs), centre, centre] = 1
    response = chain(impulses, None, None)[:, :, centre - radius : centre + radius + 1, centre - radius : centre + radius + 1]
    weight = response.flip(2, 3).transpose(0, 1).contiguous()
    bias = chain(torch.zeros(1, inputs, size, size, dtype=torch.float64), first.bias, second.bias)[0, :, centre, centre]
    return weight, bias


def _merge_shuffles(graph: GraphModule) -> bool:
    """conv -> shuffle(a) -> shuffle(b) becomes conv (channels reordered) -> shuffle(a*b)."""
    for node in graph.graph.nodes:
        a, second = shuffle_factor(node), only_user(node)
        b = shuffle_factor(second)
        if a is None or second is None or b is None:
            continue
        conv = conv_of(graph, node.args[0])
        if conv is None or only_user(conv.node) is not node:
            continue
        channels = conv.weight.shape[0]
        index = torch.arange(channels, dtype=torch.float64).view(1, channels, 1, 1)
        order = F.pixel_unshuffle(F.pixel_shuffle(F.pixel_shuffle(index, a), b), a * b).reshape(-1).long()
        new = replace_conv(graph, conv, conv.weight[order], conv.bias[order])
        with graph.graph.inserting_before(node):
            merged = graph.graph.call_function(aten.pixel_shuffle.default, (new, a * b))
        second.replace_all_uses_with(merged)
        graph.graph.erase_node(second)
        graph.graph.erase_node(node)
        return True
    return False
