"""Padding with more mirrored or repeated pixels than one concatenation holds is written with the channels last.

Why: TFLite's converter joins nested concatenations into one, and XNNPACK takes five operands at most: each wide padding cut the delegate's partition (five
partitions in a CycleGAN generator, whose first and last convolutions are 7x7). Channels last, strips that are joined along the next dimension lie in memory as if
they were joined along their own; the reshape that says so keeps the converter from joining further, and no transposition is left in the file.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, replace, shape_of
from edgekit.rewrite.nearest_by_copies import CHANNELS_FIRST, CHANNELS_LAST
from edgekit.rewrite.pad_by_slices import MODES, MOST_OPERANDS

HEIGHT, WIDTH = 1, 2
"""Dimensions of (N, H, W, C)."""


def wide_padding(graph: GraphModule) -> int:
    """Returns the number of paddings replaced: those of height and width, mirrored or repeated, with too many pixels for `pad_by_slices`."""
    changed = 0
    for node in calls(graph, aten.pad.default, *MODES):
        source, pads, *rest = arguments(node)
        mode, shape = MODES.get(node.target) or rest[0], shape_of(source)
        if mode not in ("reflect", "replicate") or shape is None or len(shape) != 4 or len(pads) != 4 or not _is_wide(pads):
            continue
        with graph.graph.inserting_before(node):
            x = graph.graph.call_function(aten.permute.default, (source, CHANNELS_LAST))
            sides = [shape[0], shape[2], shape[3], shape[1]]
            for dim, before, after in ((WIDTH, *pads[:2]), (HEIGHT, *pads[2:])):
                x = _padded(graph, x, mode, dim, sides, before, after)
            x = graph.graph.call_function(aten.permute.default, (x, CHANNELS_FIRST))
        replace(graph, node, x)
        changed += 1
    return changed


def _is_wide(pads: list[int]) -> bool:
    """Whether one direction needs too many operands, and none more than the strips' own concatenation holds."""
    directions = (sum(pads[:2]), sum(pads[2:]))
    return min(pads) >= 0 and max(directions) >= MOST_OPERANDS and max(pads) <= MOST_OPERANDS


def _padded(graph: GraphModule, x: Node, mode: str, dim: int, sides: list[int], before: int, after: int) -> Node:
    """`x` (N, H, W, C), of `sides`, which grow, with that many more pixels along `dim`."""
    last = sides[dim] - 1
    low = [i if mode == "reflect" else 0 for i in range(before, 0, -1)]
    high = [last - i if mode == "reflect" else last for i in range(1, after + 1)]
    parts = [_strip(graph, x, dim, low, sides), x, _strip(graph, x, dim, high, sides)]
    sides[dim] += before + after
    present = [part for part in parts if part is not None]
    return graph.graph.call_function(aten.cat.default, (present, dim)) if len(present) > 1 else x


def _strip(graph: GraphModule, x: Node, dim: int, places: list[int], sides: list[int]) -> Node | None:
    """The rows or columns at `places`, beside each other; None if there are none."""
    slices = {i: graph.graph.call_function(aten.slice.Tensor, (x, dim, i, i + 1)) for i in dict.fromkeys(places)}
    if len(places) < 2:
        return slices[places[0]] if places else None
    joined = graph.graph.call_function(aten.cat.default, ([slices[i] for i in places], dim + 1))
    return graph.graph.call_function(aten.reshape.default, (joined, [*sides[:dim], len(places), *sides[dim + 1 :]]))
