"""Softplus, log(1 + e^x), becomes max(x, 0) + log(1 + e^-|x|), in which nothing can overflow; log-sigmoid is the negative softplus of -x.

Why: ExecuTorch writes them with log1p, a comparison and a selection, which XNNPACK has not, and between int8 layers the rest does not lower or run.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, replace

LEAST_THRESHOLD = 15.0
"""Above its threshold softplus is x itself, which at 15 is 3e-7 less than the formula."""


def softplus(graph: GraphModule) -> int:
    """Returns the number of softplus and log-sigmoid activations replaced: not those that turn into lines early."""
    changed = 0
    call = graph.graph.call_function
    for node in calls(graph, aten.softplus.default, aten.log_sigmoid.default):
        source, beta, threshold = arguments(node) if node.target is aten.softplus.default else (node.args[0], -1, LEAST_THRESHOLD)
        if beta == 0 or threshold < LEAST_THRESHOLD:
            continue
        with graph.graph.inserting_before(node):
            scaled = source if beta == 1 else call(aten.mul.Tensor, (source, float(beta)))
            power = call(aten.exp.default, (call(aten.neg.default, (call(aten.abs.default, (scaled,)),)),))
            bend = call(aten.log.default, (call(aten.add.Tensor, (power, 1.0)),))
            new = call(aten.add.Tensor, (call(aten.relu.default, (scaled,)), bend))
            new = new if beta == 1 else call(aten.mul.Tensor, (new, 1 / beta))
        replace(graph, node, new)
        changed += 1
    return changed
