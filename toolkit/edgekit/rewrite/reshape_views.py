"""Sides of length one come and go by reshaping, and one row of a tensor (`x[0]`) is a slice, reshaped.

Why: ExecuTorch makes `squeeze_copy` and `unsqueeze_copy` of squeeze, unsqueeze and select, which XNNPACK takes at the last side at most; it takes every reshaping.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, replace, shape_of, written

VIEWS = (aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default, aten.select.int)


def reshape_views(graph: GraphModule) -> int:
    """Returns the number of views replaced: those that no operator writes through, because reshaping may copy."""
    changed = 0
    for node in calls(graph, *VIEWS):
        source, shape, before = node.args[0], shape_of(node), shape_of(node.args[0])
        if shape is None or before is None or written(node):
            continue
        with graph.graph.inserting_before(node):
            if node.target is aten.select.int:
                _, dim, index = arguments(node)
                index %= before[dim]
                source = graph.graph.call_function(aten.slice.Tensor, (source, dim, index, index + 1))
            new = graph.graph.call_function(aten.reshape.default, (source, list(shape)))
        replace(graph, node, new)
        changed += 1
    return changed
