"""Layer normalization becomes mean, subtraction, product, mean and rsqrt.

Why: XNNPACK under ExecuTorch has no `native_layer_norm`; SwinIR has two in each block. The operators here it takes, once `channel_sums` has written the means as
products; in int8 files they stay float, as those of `instance_norm` do.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, replace


def layer_norm(graph: GraphModule) -> int:
    """Returns the number of normalizations replaced, of however many last sides."""
    changed = 0
    for node in calls(graph, aten.layer_norm.default):
        source, normalized, gain, offset, eps, _ = arguments(node)
        dims = list(range(-len(normalized), 0))
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            centred = call(aten.sub.Tensor, (source, call(aten.mean.dim, (source, dims, True))))
            variance = call(aten.mean.dim, (call(aten.mul.Tensor, (centred, centred)), dims, True))
            value = call(aten.mul.Tensor, (centred, call(aten.rsqrt.default, (call(aten.add.Tensor, (variance, eps)),))))
            if gain is not None:
                value = call(aten.mul.Tensor, (value, gain))
            if offset is not None:
                value = call(aten.add.Tensor, (value, offset))
        replace(graph, node, value)
        changed += 1
    return changed
