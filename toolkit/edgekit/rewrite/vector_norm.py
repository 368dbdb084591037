"""The Euclidean length of vectors becomes the root of a sum of squares.

Why: ExecuTorch makes `pow` with a fractional exponent and `sum` of it, neither of which XNNPACK takes. Transposed and cosine attention divide by such lengths.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, replace


def vector_norm(graph: GraphModule) -> int:
    """Returns the number of lengths replaced: Euclidean ones over given sides."""
    changed = 0
    for node in calls(graph, aten.linalg_vector_norm.default):
        source, order, dims, keepdim, dtype = arguments(node)
        if order != 2 or not dims or dtype is not None:
            continue
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            squares = call(aten.sum.dim_IntList, (call(aten.mul.Tensor, (source, source)), dims, keepdim))
            value = call(aten.sqrt.default, (squares,))
        replace(graph, node, value)
        changed += 1
    return changed
