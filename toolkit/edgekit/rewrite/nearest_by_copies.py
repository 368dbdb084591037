"""Enlargement to the nearest pixel by a whole factor becomes copies: each pixel's channels several times in a row, then each row several times.

Why: XNNPACK under TFLite has no nearest-neighbour resize, so each one cuts the delegate's partition in two. With the channels last, as TFLite stores pictures, a
pixel repeated along the channels lies in memory as that many pixels beside each other: two concatenations and two reshapes, no transposition.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, replace, shape_of
from edgekit.rewrite.nearest import enlargements
from edgekit.rewrite.pad_by_slices import MOST_OPERANDS

CHANNELS_LAST, CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def nearest_by_copies(graph: GraphModule) -> int:
    """Returns the number of enlargements replaced: those by the same whole factor in both directions, as long as a concatenation can hold the copies."""
    changed = 0
    for node, factor, channels in enlargements(graph):
        shape = shape_of(node.args[0])
        if shape is None or factor > MOST_OPERANDS:
            continue
        batch, _, height, width = shape
        with graph.graph.inserting_before(node):
            x = graph.graph.call_function(aten.permute.default, (node.args[0], CHANNELS_LAST))
            x = _repeated(graph, x, 3, factor, [batch, height, width * factor, channels])
            x = _repeated(graph, x, 2, factor, [batch, height * factor, width * factor, channels])
            x = graph.graph.call_function(aten.permute.default, (x, CHANNELS_FIRST))
        replace(graph, node, x)
        changed += 1
    return changed


def _repeated(graph: GraphModule, x: Node, dim: int, times: int, shape: list[int]) -> Node:
    return graph.graph.call_function(aten.reshape.default, (graph.graph.call_function(aten.cat.default, ([x] * times, dim)), shape))
