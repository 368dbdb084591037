"""A hard tanh becomes a clamp with bounds that are written out, and fractions.

Why: a trace leaves out what is the default, and ExecuTorch's fusion and coremltools read the bounds all the same: neither makes a file of nn.Hardtanh(0, 1).
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, replace


def hardtanh(graph: GraphModule) -> int:
    """Returns the number of operators replaced."""
    found = list(calls(graph, aten.hardtanh.default, aten.hardtanh_.default))
    for node in found:
        source, low, high = arguments(node)
        with graph.graph.inserting_before(node):
            replace(graph, node, graph.graph.call_function(aten.clamp.default, (source, float(low), float(high))))
    return len(found)
