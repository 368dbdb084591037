"""A number as small as 1e-8 that is added becomes a tensor of one value.

Why: torch.onnx's simplifier (onnxscript 0.7) takes a lone number so close to zero for zero and leaves the addition out, and what guarded a division by zero is
gone: HVI-CIDNet divides by infinitely little wherever the picture is grey or black.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, constant_node, dtype_of, replace, shape_of

TAKEN_FOR_ZERO = 1e-8

WITH_RESULT: dict[Any, Any] = {
    **dict.fromkeys((aten.add.Tensor, aten.add_.Tensor), aten.add.Tensor),
    **dict.fromkeys((aten.sub.Tensor, aten.sub_.Tensor), aten.sub.Tensor),
}


def tiny_addends(graph: GraphModule) -> int:
    """Returns the number of additions and subtractions whose number became a tensor."""
    changed = 0
    for node in calls(graph, *WITH_RESULT):
        source, addend = node.args[:2]
        if not isinstance(addend, float) or not 0 < abs(addend) <= TAKEN_FOR_ZERO or not dtype_of(node).is_floating_point:
            continue
        value = constant_node(graph, node, f"{node.name}_addend", torch.tensor([addend], dtype=dtype_of(node)))
        with graph.graph.inserting_before(node):
            new = graph.graph.call_function(WITH_RESULT[node.target], (source, value), node.kwargs)
            if shape_of(node) == ():  # a tensor without sides is a lone number, too
                new = graph.graph.call_function(aten.reshape.default, (new, []))
        replace(graph, node, new)
        changed += 1
    return changed
