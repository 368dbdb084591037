"""Bicubic enlargement by a whole factor becomes edge padding, one 5x5 convolution per channel and PixelShuffle.

Why: coremltools 9 has no bicubic ("Unsupported fx node upsample_bicubic2d"), ExecuTorch leaves 70 index operators of it to slow portable code, and litert-torch
makes 117 operators. Each of the s * s output phases is a fixed kernel of the input's 5x5 neighbourhood (Keys 1981, a = -0.75, as PyTorch has it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, dtype_of, new_conv, replace, shape_of
from edgekit.rewrite.pad_by_slices import padded

A = -0.75
RADIUS = 2


def bicubic(graph: GraphModule) -> int:
    """Returns the number of enlargements replaced: those by the same whole factor in both directions, without align_corners and antialiasing."""
    changed = 0
    for node in calls(graph, aten.upsample_bicubic2d.vec, aten.upsample_bicubic2d.default):
        factor = _factor(node)
        shape = shape_of(node.args[0])
        if factor is None or shape is None:
            continue
        channels = shape[1]
        weight = kernels(factor).repeat(channels, 1, 1, 1).to(dtype_of(node))
        bias = torch.zeros(len(weight), dtype=weight.dtype)
        with graph.graph.inserting_before(node):
            x = node.args[0]
            for dim in (2, 3):
                x = padded(graph, x, "replicate", dim, shape[dim], RADIUS, RADIUS)  # type: ignore[arg-type]
            x = new_conv(graph, x, node.name, weight, bias, groups=channels)
            replace(graph, node, graph.graph.call_function(aten.pixel_shuffle.default, (x, factor)))
        changed += 1
    return changed


def kernels(factor: int) -> Tensor:
    """(factor**2, 1, 5, 5) float64: the weights of a pixel's 5x5 neighbourhood in each of the output pixels that it becomes."""
    rows = torch.zeros(factor, 2 * RADIUS + 1, dtype=torch.float64)
    for phase in range(factor):
        place = (phase + 0.5) / factor - 0.5
        for tap in range(math.floor(place) - 1, math.floor(place) + 3):
            rows[phase, tap + RADIUS] = _cubic(abs(place - tap))
    return torch.einsum("pi,qj->pqij", rows, rows).reshape(factor**2, 1, 2 * RADIUS + 1, 2 * RADIUS + 1)


def _cubic(t: float) -> float:
    """Keys' kernel at distance `t` from 0 to 2."""
    if t <= 1:
        return (A + 2) * t**3 - (A + 3) * t**2 + 1
    return A * t**3 - 5 * A * t**2 + 8 * A * t - 4 * A if t < 2 else 0.0


def _factor(node: Node) -> int | None:
    """The whole factor of both directions, or None."""
    _, _, align_corners, *given = arguments(node)
    return None if align_corners else whole_factor(node, given)


def whole_factor(node: Node, given: Sequence[Any]) -> int | None:
    """The factor by which `node` enlarges its input, if it is the same whole number in both directions; `given` are the factors that it was called with, or None
    where it was called with a size."""
    source, result = shape_of(node.args[0]), shape_of(node)
    if source is None or result is None:
        return None
    factor = result[2] // source[2]
    if factor < 1 or (result[2], result[3]) != (factor * source[2], factor * source[3]):
        return None
    scales = [s for group in given if group is not None for s in (group if isinstance(group, list | tuple) else [group])]
    return factor if all(s == factor for s in scales) else None
