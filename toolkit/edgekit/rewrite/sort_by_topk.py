"""A sort becomes the choice of all values, the largest (or smallest) first: `topk` of as many as there are.

Why: ONNX, ExecuTorch and Core ML have no sort, and LiteRT does not execute the one that litert-torch writes; all four have `topk`.
"""

from __future__ import annotations

from math import prod
from operator import getitem

from torch.fx import GraphModule

from edgekit.errors import LoweringError
from edgekit.rewrite.graph import arguments, aten, calls, replace, shape_of

STABLE = (
    "the network sorts and keeps equal values in order (aten.sort, stable), which no runtime here does: sort without `stable`, or sort distinct whole numbers, "
    "value * length + place, with torch.topk"
)


def sort_by_topk(graph: GraphModule) -> int:
    """Returns the number of sorts replaced. Where equal values come to stand was open before and is now. Raises LoweringError for a stable sort."""
    changed, call = 0, graph.graph.call_function
    for node in calls(graph, aten.sort.default, aten.sort.stable):
        source, *options, dim, descending = arguments(node)
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
            keys = rows if descending else call(aten.neg.default, (rows,))
            places = call(getitem, (call(aten.topk.default, (keys, sides[-1])), 1))
            for user in list(node.users):
                part = places if user.args[1] == 1 else call(aten.gather.default, (rows, 1, places))
                replace(graph, user, call(aten.transpose.int, (call(aten.reshape.default, (part, sides)), *swap)))
        graph.graph.erase_node(node)
        changed += 1
    return changed
