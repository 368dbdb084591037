"""Instance normalization becomes mean, subtraction, product, mean and rsqrt.

Why: ExecuTorch makes `_native_batch_norm_legit.no_stats` of it, which XNNPACK does not take; the operators here it does. They compute the same statistics in
float32 and stay float in int8 files: no backend's quantizer may annotate `mean`.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, constant, constant_node, dtype_of, replace, shape_of


def instance_norm(graph: GraphModule) -> int:
    """Returns the number of normalizations replaced: those of (N, C, H, W) that use the picture's own statistics, batch normalization of one picture included."""
    changed = 0
    for node in calls(graph, aten.instance_norm.default, aten.batch_norm.default):
        source, weight, bias, _, _, uses_picture, _, eps, _ = arguments(node)
        shape = shape_of(source)
        gain, offset = constant(graph, weight), constant(graph, bias)
        computed = (weight is not None and gain is None) or (bias is not None and offset is None)
        one_picture = node.target is aten.instance_norm.default or (shape is not None and shape[0] == 1)
        if not uses_picture or shape is None or len(shape) != 4 or computed or not one_picture:
            continue
        dtype = dtype_of(node)
        stored: list[Node | None] = [
            None if value is None else constant_node(graph, node, f"{node.name}_{kind}", value.to(dtype).view(1, -1, 1, 1))
            for kind, value in (("gain", gain), ("offset", offset))
        ]
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            centred = call(aten.sub.Tensor, (source, call(aten.mean.dim, (source, [2, 3], True))))
            variance = call(aten.mean.dim, (call(aten.mul.Tensor, (centred, centred)), [2, 3], True))
            scale = call(aten.rsqrt.default, (call(aten.add.Tensor, (variance, eps)),))
            if stored[0] is not None:
                scale = call(aten.mul.Tensor, (scale, stored[0]))
            value = call(aten.mul.Tensor, (centred, scale))
            if stored[1] is not None:
                value = call(aten.add.Tensor, (value, stored[1]))
        replace(graph, node, value)
        changed += 1
    return changed
