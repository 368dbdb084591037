"""The angle of a point on the horizontal axis, `atan2(0, x)`, is written out: a half turn on the left, none on the right and in the middle.

Why: on the left coremltools (9.0) gives 0 and torch.onnx (2.13) minus a half turn. In the middle coremltools keeps from 0 / 0 by 2e-8, which is 0 in float16.
"""

from __future__ import annotations

import math

import torch
from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, constant_node, dtype_of

ENDS = {"left": math.pi, "right": 0.0}


def half_turns(graph: GraphModule) -> int:
    """Returns the number of angles changed. A zero counts as positive."""
    angles = list(calls(graph, aten.atan2.default))
    for node in angles:
        y, x = node.args
        behind = node.next
        half, none = (
            constant_node(graph, behind, f"{node.name}.{name}", torch.full((1,), turn, dtype=dtype_of(node))) for name, turn in ENDS.items()
        )
        with graph.graph.inserting_before(behind):
            call = graph.graph.call_function
            axis = call(aten.where.self, (call(aten.lt.Scalar, (x, 0)), half, none))
            angle = call(aten.where.self, (call(aten.eq.Scalar, (y, 0)), axis, node))
        angle.meta |= {key: value for key, value in node.meta.items() if key == "val"}
        node.replace_all_uses_with(angle, delete_user_cb=lambda user, new=angle: user is not new)
    return len(angles)
