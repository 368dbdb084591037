"""A tensor with a part written over becomes the concatenation of what stays and what is new.

Why: `x[:, :16] = conv(x[:, :16])` (PLKSR) is, without the assignment, a slice_scatter. Core ML and ONNX compute that element by element, with an index for
each; XNNPACK has nothing for it.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, dtype_of, replace, shape_of


def slice_scatter(graph: GraphModule) -> int:
    """Returns the number of assignments replaced: those of neighbours (step 1)."""
    for node in calls(graph, aten.copy.default):  # what is assigned, in the shape and type of its place
        value = node.args[1]
        if isinstance(value, Node) and shape_of(value) == shape_of(node) and dtype_of(value) == dtype_of(node):
            node.replace_all_uses_with(value)
            graph.graph.erase_node(node)
    changed = 0
    for node in calls(graph, aten.slice_scatter.default):
        whole, part, dim, start, end, step = arguments(node)
        shape = shape_of(whole)
        if shape is None or step != 1:
            continue
        first, last, _ = slice(start, end).indices(shape[dim])
        with graph.graph.inserting_before(node):
            before, after = (graph.graph.call_function(aten.slice.Tensor, (whole, dim, *ends)) for ends in ((0, first), (last, shape[dim])))
            parts = [*([before] if first else []), part, *([after] if last < shape[dim] else [])]
            value = graph.graph.call_function(aten.cat.default, (parts, dim)) if len(parts) > 1 else part
        if value is part:
            node.replace_all_uses_with(part)
            graph.graph.erase_node(node)
        else:
            replace(graph, node, value)
        changed += 1
    return changed
