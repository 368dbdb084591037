"""The angle of a point on the horizontal axis, `atan2(0, x)`, is written out: a half turn on the left, none on the right and in the middle.

Why: on the left coremltools (9.0) gives 0 and torch.onnx (2.13) minus a half turn. In the middle coremltools keeps from 0 / 0 by 2e-8, which is 0 in float16.
"""

from __future__ import annotations

import math

from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, dtype_of


def half_turns(graph: GraphModule) -> int:
    """Returns the number of angles changed. A zero counts as positive."""
    angles = list(calls(graph, aten.atan2.default))
    for node in angles:
        y, x = node.args
        with graph.graph.inserting_before(node.next):
            call = graph.graph.call_function
            left = call(aten.to.dtype, (call(aten.lt.Scalar, (x, 0)), dtype_of(node)))
            angle = call(aten.where.self, (call(aten.eq.Scalar, (y, 0)), call(aten.mul.Tensor, (left, math.pi)), node))
        angle.meta |= {key: value for key, value in node.meta.items() if key == "val"}
        node.replace_all_uses_with(angle, delete_user_cb=lambda user, new=angle: user is not new)
    return len(angles)
