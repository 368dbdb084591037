"""Products of stacks of matrices become `bmm` between reshapings.

Why: ExecuTorch expands both operands of `matmul` to the shapes they have already, by `expand_copy`, which XNNPACK does not take: four cuts in each attention.
"""

from __future__ import annotations

from math import prod

from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, replace, shape_of


def batched_products(graph: GraphModule) -> int:
    """Returns the number of products replaced: those of two stacks of the same sides."""
    changed = 0
    for node in calls(graph, aten.matmul.default):
        left, right = node.args[:2]
        a, b, shape = shape_of(left), shape_of(right), shape_of(node)
        if a is None or b is None or shape is None or len(a) < 3 or a[:-2] != b[:-2]:
            continue
        count = prod(a[:-2])
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            stacks = [call(aten.reshape.default, (operand, [count, *sides[-2:]])) for operand, sides in ((left, a), (right, b))]
            new = call(aten.reshape.default, (call(aten.bmm.default, tuple(stacks)), list(shape)))
        replace(graph, node, new)
        changed += 1
    return changed
