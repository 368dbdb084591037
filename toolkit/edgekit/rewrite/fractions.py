"""What whole numbers leave of x, `x % 1`, becomes x less its floor.

Why: coremltools (9.0) writes it with a division by one, rounded down, and then takes that for a division that changes nothing: the file gives zero everywhere.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, dtype_of, replace


def fractions(graph: GraphModule) -> int:
    """Returns the number of remainders replaced: those of one, of floating-point numbers."""
    changed = 0
    for node in calls(graph, aten.remainder.Scalar):
        source, divisor = node.args[:2]
        if divisor != 1 or not dtype_of(source).is_floating_point:
            continue
        with graph.graph.inserting_before(node):
            whole = graph.graph.call_function(aten.floor.default, (source,))
            new = graph.graph.call_function(aten.sub.Tensor, (source, whole))
        replace(graph, node, new)
        changed += 1
    return changed
