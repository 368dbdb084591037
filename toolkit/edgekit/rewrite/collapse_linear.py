"""A chain of convolutions with no activation between them is linear: it becomes one convolution, also across a PixelShuffle.

Why: no runtime does it, and it saves most of a super-resolution tail. For EDSR x2: 3x3 64 -> 256, shuffle, 3x3 64 -> 3 becomes 5x5 64 -> 12, shuffle: 19 200
instead of 154 368 multiplications per input pixel. Chains collapse repeatedly (x4), branches between them merge, and successive shuffles become one.

With a 1x1 convolution in the chain the result is the original's to the last pixel: if it comes first, its bias reaches the second one's padding, so the input
gets a constant channel as in `fold_mean_shift`. Two larger kernels differ in the outermost pixels, where the second convolution's zero padding showed. Tiles cut
those off with the halo; a network that takes whole pictures (it contains global statistics) has no halo, so there such chains are left alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import Conv, aten, conv_of, layer_name, only_user, replace_conv, shape_of, shuffle_factor, with_constant_channel
from edgekit.rewrite.merge_branches import merge_one

GLOBAL = (
    aten.instance_norm.default,
    aten.group_norm.default,
    aten.adaptive_avg_pool2d.default,
    aten.adaptive_max_pool2d.default,
    aten.matmul.default,
    aten.bmm.default,
    aten.softmax.int,
    aten.scaled_dot_product_attention.default,
)
"""Operators by which one pixel reaches all others."""


def collapse_linear(graph: GraphModule) -> int:
    """Returns the number of convolutions and shuffles removed. Chains whose collapsed form would cost more multiplications are left alone."""
    whole = any(_is_global(node) for node in graph.graph.nodes)
    changed = 0
    while _collapse_one(graph, whole) or _merge_shuffles(graph) or (changed and merge_one(graph)):
        changed += 1
    return changed


def _is_global(node: Node) -> bool:
    if node.target is aten.mean.dim:
        return len(shape_of(node.args[0]) or ()) == 4 and bool({2, 3, -1, -2}.intersection(node.args[1] or ()))  # type: ignore[arg-type]
    return node.target in GLOBAL


def _collapse_one(graph: GraphModule, whole: bool) -> bool:
    for node in graph.graph.nodes:
        first = conv_of(graph, node)
        between = only_user(node)
        factor = shuffle_factor(between) or 1
        second = conv_of(graph, only_user(between) if factor > 1 and between is not None else between)
        if first is None or second is None or not first.is_plain_same or not second.is_plain_same:
            continue
        pointwise = 1 in (first.weight.shape[2], second.weight.shape[2])
        if whole and not pointwise:
            continue
        weight, bias = _collapsed(first, second, factor)
        if weight.numel() >= first.weight.numel() + second.weight.numel() * factor**2:
            continue
        _put(graph, first, second, factor, weight, bias)
        return True
    return False


def _put(graph: GraphModule, first: Conv, second: Conv, factor: int, weight: Tensor, bias: Tensor) -> None:
    name = f"{layer_name(first.node)}_{str(layer_name(second.node)).replace('.', '_')}"
    source = first.node.args[0]
    assert isinstance(source, Node)
    if first.weight.shape[2] == 1 and second.weight.shape[2] > 1 and bool(first.bias.any()):
        ones, _ = _collapsed(_constant_input(first), second, factor)
        bias = second.bias.repeat_interleave(factor**2)
        with graph.graph.inserting_before(first.node):
            source, weight = with_constant_channel(graph, source, weight, ones)
    behind = second.node.args[0]
    assert isinstance(behind, Node)
    second.node.replace_all_uses_with(behind)
    graph.graph.erase_node(second.node)
    new = replace_conv(graph, first, weight, bias, name=name, source=source)
    new.meta.pop("val", None)
    (new if behind is first.node else behind).meta["val"] = second.node.meta.get("val")


def _constant_input(conv: Conv) -> Conv:
    """The bias of a 1x1 convolution as the weight of one that reads a single channel of ones."""
    return Conv(conv.node, conv.bias.view(-1, 1, 1, 1), torch.zeros_like(conv.bias), (1, 1), (0, 0), (1, 1), 1)


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
