"""A number as small as 1e-8 that is added becomes a tensor of one value.

Why: torch.onnx's simplifier (onnxscript 0.7) takes a lone number so close to zero for zero and leaves the addition out, and what guarded a division by zero is
gone: HVI-CIDNet divides by infinitely little wherever the picture is grey or black.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, constant_node, dtype_of

TAKEN_FOR_ZERO = 1e-8


def tiny_addends(graph: GraphModule) -> int:
    """Returns the number of additions and subtractions whose number became a tensor."""
    changed = 0
    for node in calls(graph, aten.add.Tensor, aten.sub.Tensor):
        addend = node.args[1]
        if not isinstance(addend, float) or not 0 < abs(addend) <= TAKEN_FOR_ZERO or not dtype_of(node).is_floating_point:
            continue
        node.update_arg(1, constant_node(graph, node, f"{node.name}_addend", torch.tensor([addend], dtype=dtype_of(node))))
        changed += 1
    return changed
