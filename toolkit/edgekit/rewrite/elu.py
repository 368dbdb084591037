"""ELU becomes the larger of x and e^min(x, 0) - 1.

Why: XNNPACK under ExecuTorch has no ELU, and TFLite's converter writes it as a comparison and a selection, which XNNPACK has not either: each one cuts the
delegate's partition (10 and 12 in an inpainting network with gated convolutions). For x below 0 the exponential's curve lies above its tangent x, above 0 its
place is taken by e^0 - 1 = 0.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, constant_node, dtype_of, replace


def elu(graph: GraphModule) -> int:
    """Returns the number of ELUs replaced: those with 0 < alpha <= 1 and no other scales (a larger alpha's curve crosses x)."""
    changed = 0
    for node in calls(graph, aten.elu.default, aten.elu_.default):
        source, alpha, scale, input_scale = arguments(node)
        if not 0 < alpha <= 1 or scale != 1 or input_scale != 1:
            continue
        zero = constant_node(graph, node, f"{node.name}_zero", torch.zeros(1, dtype=dtype_of(node)))
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            value = call(aten.sub.Tensor, (call(aten.exp.default, (call(aten.minimum.default, (source, zero)),)), 1.0))
            if alpha != 1:
                value = call(aten.mul.Tensor, (value, alpha))
            value = call(aten.maximum.default, (source, value))
        replace(graph, node, value)
        changed += 1
    return changed
