"""A hard tanh becomes a clamp with bounds that are written out, and fractions.

Why: a trace leaves out what is the default, and ExecuTorch's fusion and coremltools read the bounds all the same: neither makes a file of nn.Hardtanh(0, 1).
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, dtype_of, replace


def hardtanh(graph: GraphModule) -> int:
    """Returns the number of operators replaced: those of floating-point numbers."""
    changed = 0
    for node in calls(graph, aten.hardtanh.default, aten.hardtanh_.default):
        source, low, high = arguments(node)
        if not dtype_of(source).is_floating_point:
            continue
        with graph.graph.inserting_before(node):
            replace(graph, node, graph.graph.call_function(aten.clamp.default, (source, float(low), float(high))))
        changed += 1
    return changed
