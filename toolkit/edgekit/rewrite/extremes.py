"""The largest or smallest values along a side that is then left out are taken with that side, which a reshaping removes; so are those of `max(dim)`, where
nobody asks for their places.

Why: XNNPACK takes extremes only with the side kept and without places, and a file with others is not made at all.
"""

from __future__ import annotations

import operator
from typing import Any

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, replace, shape_of

WITH_PLACES: dict[Any, Any] = {aten.max.dim: aten.amax.default, aten.min.dim: aten.amin.default}
KEPT: dict[Any, Any] = {aten.amax.default: aten.amax.default, aten.amin.default: aten.amin.default, **WITH_PLACES}


def extremes(graph: GraphModule) -> int:
    """Returns the number of operators replaced."""
    changed = 0
    for node in calls(graph, aten.amax.default, aten.amin.default, *WITH_PLACES):
        source, dims, keepdim = arguments(node)
        values: list[Node] = [node]
        if node.target in WITH_PLACES:
            for user in [user for user in node.users if not user.users]:
                graph.graph.erase_node(user)
            if any(user.target is not operator.getitem or user.args[1] != 0 for user in node.users):
                continue
            values, dims = list(node.users), [dims]
        elif keepdim:
            continue
        shape = shape_of(values[0]) if values else None
        if shape is None or not dims:
            continue
        with graph.graph.inserting_before(node):
            new = graph.graph.call_function(KEPT[node.target], (source, dims, True))
            if not keepdim:
                new = graph.graph.call_function(aten.reshape.default, (new, list(shape)))
        for value in values:
            replace(graph, value, new)
        if node not in values:
            graph.graph.erase_node(node)
        changed += 1
    return changed
