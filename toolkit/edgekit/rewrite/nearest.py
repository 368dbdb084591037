"""Enlargement to the nearest pixel by a whole factor becomes convolution and PixelShuffle: of a picture, and of features that a convolution reads.

Why: XNNPACK, under ExecuTorch and under TFLite, has no nearest-neighbour resize, so each one cuts the delegate's partition in two. A convolution at the enlarged
size sees each pixel several times over; the sums of its weights over those, one set for each of the factor * factor phases, are a convolution at the input's size
(Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?", arXiv 1609.07009). Zero padding stays exact: what lies outside the enlarged
picture lies outside the picture.

TFLite shuffles by four transpositions, which for many channels cost more than the cut (a small RRDBNet took 542 ms instead of 371); so it asks for pictures only
(SRVGG 15.6 ms instead of 20.5 in int8). ExecuTorch's RRDBNet took 132 ms instead of 146 in int8, 231 instead of 205 in fp32.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.bicubic import whole_factor
from edgekit.rewrite.graph import Conv, arguments, aten, calls, conv_of, dtype_of, new_conv, only_user, replace, replace_conv, shape_of

PICTURE = 4
"""Channels of a picture, at most."""


def nearest_picture(graph: GraphModule) -> int:
    """Returns the number of enlargements replaced: those of pictures, by the same whole factor in both directions."""
    changed = 0
    for node, factor, channels in enlargements(graph):
        if channels > PICTURE:
            continue
        weight = torch.ones(channels * factor**2, 1, 1, 1, dtype=dtype_of(node))
        with graph.graph.inserting_before(node):
            x = new_conv(graph, node.args[0], node.name, weight, torch.zeros(len(weight), dtype=weight.dtype), groups=channels)  # type: ignore[arg-type]
            replace(graph, node, graph.graph.call_function(aten.pixel_shuffle.default, (x, factor)))
        changed += 1
    return changed


def nearest_features(graph: GraphModule) -> int:
    """Returns the number of enlargements replaced: those, by the same whole factor in both directions, that one size-keeping convolution alone reads."""
    changed = 0
    for node, factor, _ in enlargements(graph):
        conv = conv_of(graph, only_user(node))
        if conv is not None and conv.is_plain_same:
            _merge(graph, node, conv, factor)
            changed += 1
    return changed


def enlargements(graph: GraphModule) -> Iterator[tuple[Node, int, int]]:
    """(node, factor, channels) of each by the same whole factor in both directions."""
    for node in calls(graph, aten.upsample_nearest2d.vec, aten.upsample_nearest2d.default):
        factor, shape = whole_factor(node, arguments(node)[2:]), shape_of(node.args[0])
        if factor is not None and shape is not None:
            yield node, factor, shape[1]


def _merge(graph: GraphModule, node: Node, conv: Conv, factor: int) -> None:
    """`conv` alone reads `node`: it moves in front of the enlargement, which becomes a PixelShuffle."""
    value, after = conv.node.meta.get("val"), list(conv.node.users)
    new = replace_conv(graph, conv, phases(conv.weight, factor), conv.bias.repeat_interleave(factor**2), source=node.args[0])  # type: ignore[arg-type]
    new.meta.pop("val", None)
    with graph.graph.inserting_after(new):
        shuffled = graph.graph.call_function(aten.pixel_shuffle.default, (new, factor))
    if value is not None:
        shuffled.meta["val"] = value
    for user in after:
        user.replace_input_with(new, shuffled)
    graph.graph.erase_node(node)


def phases(weight: Tensor, factor: int) -> Tensor:
    """(O, I, k, k), a kernel for the enlarged picture -> (O * factor**2, I, K, K), one for the picture and each output phase, in PixelShuffle's order."""
    outputs, inputs, side, _ = weight.shape
    radius = (side // 2 + factor - 1) // factor
    folded = torch.zeros(outputs, factor, factor, inputs, 2 * radius + 1, 2 * radius + 1, dtype=weight.dtype)
    for row in range(factor):
        for column in range(factor):
            for y in range(side):
                for x in range(side):
                    # An enlarged pixel's own place, plus the tap's distance, rounded down to the pixel that it shows.
                    dy, dx = (row + y - side // 2) // factor, (column + x - side // 2) // factor
                    folded[:, row, column, :, radius + dy, radius + dx] += weight[:, :, y, x]
    return folded.flatten(0, 2)
