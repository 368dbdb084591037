"""A square becomes a product, the power of a half a root.

Why: XNNPACK takes `pow` with the whole number 2 only, and Python code says `pow(2.0)`, `** 0.5`; torch.export turns exponents into fractions.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, replace

ROOTS = {0.5: aten.sqrt.default, -0.5: aten.rsqrt.default}


def power(graph: GraphModule) -> int:
    """Returns the number of powers replaced: 2, 3, 0.5 and -0.5."""
    changed = 0
    for node in calls(graph, aten.pow.Tensor_Scalar):
        source, exponent = node.args[:2]
        if exponent not in (2, 3, *ROOTS):
            continue
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            if exponent in ROOTS:
                value = call(ROOTS[exponent], (source,))  # type: ignore[index]
            else:
                value = call(aten.mul.Tensor, (source, source))
                value = call(aten.mul.Tensor, (value, source)) if exponent == 3 else value
        replace(graph, node, value)
        changed += 1
    return changed
