"""A variance becomes the mean of squared differences from the mean.

Why: ExecuTorch keeps `var` as an operator, which XNNPACK has not; community networks write their layer normalizations with it.
"""

from __future__ import annotations

from math import prod

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, replace, shape_of


def variance(graph: GraphModule) -> int:
    """Returns the number of variances replaced: those over given sides."""
    changed = 0
    for node in calls(graph, aten.var.dim, aten.var.correction):
        source, dims, correction, keepdim = arguments(node)
        shape = shape_of(source)
        if shape is None or not dims:
            continue
        count = prod(shape[dim] for dim in dims)
        correction = 1 if correction is None else int(correction)
        if count <= correction:
            continue
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            centred = call(aten.sub.Tensor, (source, call(aten.mean.dim, (source, dims, True))))
            value = call(aten.mean.dim, (call(aten.mul.Tensor, (centred, centred)), dims, keepdim))
            if correction:
                value = call(aten.mul.Tensor, (value, count / (count - correction)))
        replace(graph, node, value)
        changed += 1
    return changed
