"""Padding with mirrored, repeated or wrapped pixels becomes slices of the picture and concatenations.

Why: ExecuTorch breaks mirrored padding up into arange, abs, sub and index, none of which XNNPACK takes (19 delegate calls in a CycleGAN generator instead
of one), and LiteRT's delegate has no MIRROR_PAD. At most five operands per concatenation: XNNPACK has no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, replace, shape_of

MOST_OPERANDS = 5

MODES: dict[Any, str] = {aten.reflection_pad2d.default: "reflect", aten.replication_pad2d.default: "replicate"}


def circular_padding(graph: GraphModule) -> int:
    """The same for wrapped pixels alone, which coremltools (9.0) refuses."""
    return pad_by_slices(graph, ("circular",))


def pad_by_slices(graph: GraphModule, modes: Sequence[str] = ("reflect", "replicate", "circular")) -> int:
    """Returns the number of paddings replaced. Cropping (negative) ones are left alone."""
    changed = 0
    for node in calls(graph, aten.pad.default, *MODES):
        source, pads, *rest = arguments(node)
        mode, shape = MODES.get(node.target) or rest[0], shape_of(source)
        if mode not in modes or shape is None or min(pads) < 0:
            continue
        with graph.graph.inserting_before(node):
            value = source
            for i in range(0, len(pads), 2):
                dim = len(shape) - 1 - i // 2
                value = padded(graph, value, mode, dim, shape[dim], pads[i], pads[i + 1])
        replace(graph, node, value)
        changed += 1
    return changed


def padded(graph: GraphModule, x: Node, mode: str, dim: int, size: int, before: int, after: int) -> Node:
    """`x`, whose side `dim` has `size` pixels, with `before` and `after` more. Nodes go where the graph inserts now."""

    def part(start: int, length: int = 1) -> Node:
        return graph.graph.call_function(aten.slice.Tensor, (x, dim, start, start + length))

    if mode == "circular":
        first = [part(size - before, before)] if before else []
        last = [part(0, after)] if after else []
    else:
        low = [i if mode == "reflect" else 0 for i in range(before, 0, -1)]
        high = [size - 1 - i if mode == "reflect" else size - 1 for i in range(1, after + 1)]
        slices = {i: part(i) for i in dict.fromkeys((*low, *high))}
        first, last = [slices[i] for i in low], [slices[i] for i in high]
    if len(first) + 1 + len(last) > MOST_OPERANDS:  # the picture itself is copied once
        first, last = ([concatenated(graph, parts, dim)] if parts else [] for parts in (first, last))
    return concatenated(graph, [*first, x, *last], dim)


def concatenated(graph: GraphModule, parts: list[Any], dim: int) -> Node:
    """The parts in a row, by concatenations of `MOST_OPERANDS` at most."""
    while len(parts) > 1:
        parts = [
            graph.graph.call_function(aten.cat.default, (chunk, dim)) if len(chunk := parts[i : i + MOST_OPERANDS]) > 1 else chunk[0]
            for i in range(0, len(parts), MOST_OPERANDS)
        ]
    return parts[0]
