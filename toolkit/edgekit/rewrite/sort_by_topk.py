"""A sort becomes the choice of all values, the largest (or smallest) first: `topk` of as many as there are.

Why: ONNX, ExecuTorch and Core ML have no sort, and LiteRT does not execute the one that litert-torch writes; all four have `topk`.
"""

from __future__ import annotations

from math import prod
from operator import getitem

import torch
from torch.fx import GraphModule, Node

from edgekit.errors import LoweringError
from edgekit.rewrite.graph import arguments, aten, calls, dtype_of, replace, shape_of

STABLE = (
    "the network sorts and keeps equal values in order (aten.sort, stable), which no runtime here does: sort without `stable`, or sort distinct whole numbers, "
    "value * length + place, with torch.topk"
)

BOTH = (aten.sort.default, aten.sort.stable)
"""They give values and places."""

UNSIGNED = (torch.uint8, torch.bool)
"""Numbers without their negatives."""


def sort_by_topk(graph: GraphModule) -> int:
    """Returns the number of sorts replaced. Where equal values come to stand was open before and is now. Raises LoweringError for a stable sort."""
    changed, call = 0, graph.graph.call_function
    for node in calls(graph, aten.sort.default, aten.sort.stable, aten.argsort.default, aten.argsort.stable, aten.msort.default):
        source, *options, dim, descending = arguments(node) if node.target is not aten.msort.default else (node.args[0], 0, False)
        if any(options):
            raise LoweringError(STABLE)
        shape = shape_of(source)
        if not shape:
            continue
        # litert-torch knows the places of the largest in the rows of a matrix, and nothing else.
        swap, sides = (dim, -1), list(shape)
        sides[dim], sides[-1] = sides[-1], sides[dim]
        with graph.graph.inserting_before(node):
            rows = call(aten.reshape.default, (call(aten.transpose.int, (source, *swap)), [prod(sides[:-1]), sides[-1]]))
            numbers = call(aten.to.dtype, (rows, torch.int32)) if dtype_of(source) in UNSIGNED else rows
            keys = numbers if descending else call(aten.neg.default, (numbers,))
            places = call(getitem, (call(aten.topk.default, (keys, sides[-1])), 1))
            for result, wants_places in _results(node).items():
                part = places if wants_places else call(aten.gather.default, (rows, 1, places))
                replace(graph, result, call(aten.transpose.int, (call(aten.reshape.default, (part, sides)), *swap)))
        if node.target in BOTH:
            graph.graph.erase_node(node)
        changed += 1
    return changed


def _results(node: Node) -> dict[Node, bool]:
    """Those that are read, and whether they are the places or the values."""
    if node.target in BOTH:
        return {user: bool(user.args[1] == 1) for user in node.users}
    return {node: node.target is not aten.msort.default}
