"""A repetition becomes a product with ones where a side of length one is repeated, and copies side by side elsewhere.

Why: litert-torch (0.10) loses the sides' order where a repetition meets pictures with their channels last ("Attempting to broadcast a dimension of length ..."), as
where a style of one value per channel is spread over the picture and joined to it.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, constant_node, dtype_of, replace, shape_of

MOST_COPIES = 16


def repeats(graph: GraphModule) -> int:
    """Returns the number of repetitions and expansions replaced: those that keep the number of sides, with few copies of sides that are longer than one."""
    changed = 0
    for node in calls(graph, aten.repeat.default, aten.expand.default, aten.expand_as.default):
        before, after = shape_of(node.args[0]), shape_of(node)
        if before is None or after is None or len(before) != len(after) or 0 in before or not dtype_of(node).is_floating_point:
            continue
        times = [new // old for old, new in zip(before, after, strict=True)]
        copied = {dim: count for dim, count in enumerate(times) if count > 1 and before[dim] > 1}
        spread = [count if before[dim] == 1 else 1 for dim, count in enumerate(times)]
        if max(copied.values(), default=0) > MOST_COPIES:
            continue
        ones = constant_node(graph, node, f"{node.name}_ones", torch.ones(spread, dtype=dtype_of(node)))
        with graph.graph.inserting_before(node):
            value = node.args[0]
            for dim, count in copied.items():
                value = graph.graph.call_function(aten.cat.default, ([value] * count, dim))
            value = graph.graph.call_function(aten.mul.Tensor, (value, ones))
        replace(graph, node, value)
        changed += 1
    return changed
