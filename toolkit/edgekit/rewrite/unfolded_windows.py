"""Windows along one side (`x.unfold(dim, size, step)`) become a reshaping where they lie side by side, and slices stacked where they overlap.

Why: coremltools (9.0) has no such operator, and litert-torch (0.10) makes a padding of six sides of it, which LiteRT refuses.
"""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, replace, shape_of, written

MOST_SLICES = 64


def unfolded_windows(graph: GraphModule) -> int:
    """Returns the number of operators replaced."""
    changed = 0
    for node in calls(graph, aten.unfold.default):
        source, dim, size, step = arguments(node)
        before, after = shape_of(source), shape_of(node)
        if before is None or after is None or written(node) or (size != step and size > MOST_SLICES):
            continue
        dim %= len(before)
        count = after[dim]
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            if size == step:
                if before[dim] != count * size:
                    source = call(aten.slice.Tensor, (source, dim, 0, count * size))
                value: Any = call(aten.reshape.default, (source, [*before[:dim], count, size, *before[dim + 1 :]]))
                order = [i for i in range(len(before) + 1) if i != dim + 1]
                value = call(aten.permute.default, (value, [*order, dim + 1]))
            else:
                ends = step * (count - 1) + 1
                parts = [call(aten.slice.Tensor, (source, dim, i, i + ends, step)) for i in range(size)]
                value = call(aten.cat.default, ([call(aten.unsqueeze.default, (part, -1)) for part in parts], -1))
        replace(graph, node, value)
        changed += 1
    return changed
