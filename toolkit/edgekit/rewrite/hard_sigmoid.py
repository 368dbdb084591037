"""Hard-sigmoid becomes clamp(x / 6 + 1/2, 0, 1); `fold_scales` and `fold_mean_shift` put the factor and the offset into the convolution before it.

Why: ExecuTorch makes arithmetic with whole-number constants of it, which are cast in the file for every tile, outside XNNPACK. What is left is a clamp, which
XNNPACK does inside the convolution. Squeeze-and-excite blocks of MobileNetV3 end in it.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, only_user, replace


def hard_sigmoid(graph: GraphModule) -> int:
    """Returns the number of hard-sigmoids replaced: not one that writes into a tensor that others read."""
    changed = 0
    for node in calls(graph, aten.hardsigmoid.default, aten.hardsigmoid_.default):
        if node.target is aten.hardsigmoid_.default and only_user(node.args[0]) is None:  # type: ignore[arg-type]
            continue
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            line = call(aten.add.Tensor, (call(aten.mul.Tensor, (node.args[0], 1 / 6)), 0.5))
            new = call(aten.clamp.default, (line, 0.0, 1.0))
        replace(graph, node, new)
        changed += 1
    return changed
