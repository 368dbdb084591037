"""Splitting (split, chunk, unbind) becomes one slice for each piece.

Why: XNNPACK under ExecuTorch takes slices and no operator with several results: each gate of a NAFNet and each q, k, v cut the partition in two.
"""

from __future__ import annotations

import operator
from typing import Any

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, replace, shape_of

SPLITS = (aten.chunk.default, aten.split.Tensor, aten.split.sizes, aten.split_with_sizes.default, aten.unbind.int)


def split_by_slices(graph: GraphModule) -> int:
    """Returns the number of splits replaced."""
    changed = 0
    for node in calls(graph, *SPLITS):
        source, shape, pieces = node.args[0], shape_of(node.args[0]), node.meta.get("val")
        readers = list(node.users)
        if shape is None or not isinstance(pieces, list | tuple) or any(user.target is not operator.getitem for user in readers):
            continue
        dim, drops = _dim(node) % len(shape), node.target is aten.unbind.int
        widths = [1 if drops else int(piece.shape[dim]) for piece in pieces]
        for reader in readers:
            replace(graph, reader, _piece(graph, node, source, dim, widths, reader.args[1], drops))
        graph.graph.erase_node(node)
        changed += 1
    return changed


def _dim(node: Node) -> int:
    return int(arguments(node)[-1])


def _piece(graph: GraphModule, node: Node, source: Any, dim: int, widths: list[int], index: Any, drops: bool) -> Node:
    start = sum(widths[: index % len(widths)])
    call = graph.graph.call_function
    with graph.graph.inserting_before(node):
        piece = call(aten.slice.Tensor, (source, dim, start, start + widths[index]))
        return call(aten.squeeze.dim, (piece, dim)) if drops else piece
