"""Mish, x tanh(log(1 + e^x)), becomes x n / (n + 2) with n = e^x (e^x + 2), e^x of at most e^20: the hyperbolic tangent of a logarithm is a fraction.

Why: ExecuTorch writes it with log1p, a comparison and a selection, which XNNPACK has not; between int8 layers what is left of it does not even run. Above 20 both
forms give x itself in float32. Not for float16, whose largest number n passes at 5.5.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, replace

LARGEST = 20.0
"""e^40 lies far inside float32, and the fraction is 1 to its last digit from 9 on."""


def mish(graph: GraphModule) -> int:
    """Returns the number of Mish activations replaced."""
    changed = 0
    for node in calls(graph, aten.mish.default, aten.mish_.default):
        source = node.args[0]
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            power = call(aten.exp.default, (call(aten.clamp.default, (source, None, LARGEST)),))
            numerator = call(aten.mul.Tensor, (power, call(aten.add.Tensor, (power, 2.0))))
            fraction = call(aten.div.Tensor, (numerator, call(aten.add.Tensor, (numerator, 2.0))))
            new = call(aten.mul.Tensor, (source, fraction))
        replace(graph, node, new)
        changed += 1
    return changed
