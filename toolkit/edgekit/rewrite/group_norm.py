"""Group normalization becomes what `instance_norm` makes, the means of a group's channels averaged.

Why: XNNPACK under ExecuTorch has no group normalization, so each one cuts its partition, and the portable kernel adds up a group's values in float32 one after the
other: over 512x512 px RestoreFormer lost half its digits (42 dB in a float32 file). Only means of one value per channel are reshaped, never the picture, which
XNNPACK keeps with its channels last.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, constant, constant_node, dtype_of, replace, shape_of


def group_norm(graph: GraphModule) -> int:
    """Returns the number of normalizations replaced: those of one picture (1, C, H, W) whose gain and offset are constants."""
    changed = 0
    for node in calls(graph, aten.group_norm.default):
        source, groups, weight, bias, eps, _ = arguments(node)
        shape = shape_of(source)
        gain, offset = constant(graph, weight), constant(graph, bias)
        computed = (weight is not None and gain is None) or (bias is not None and offset is None)
        if shape is None or len(shape) != 4 or shape[0] != 1 or computed:
            continue
        channels, dtype = shape[1], dtype_of(node)
        grouped, single = [1, groups, channels // groups, 1], [1, channels, 1, 1]
        gains = torch.ones(channels, dtype=dtype) if gain is None else gain.to(dtype)
        # bring the value of a group to its channels
        ones = constant_node(graph, node, f"{node.name}_channels", torch.ones(1, 1, channels // groups, 1, dtype=dtype))
        scales = constant_node(graph, node, f"{node.name}_gain", gains.view(grouped))
        added = None if offset is None else constant_node(graph, node, f"{node.name}_offset", offset.to(dtype).view(single))
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function

            def mean(value: Node, grouped: list[int] = grouped) -> Node:
                """(1, groups, 1, 1)"""
                each = graph.graph.call_function(aten.mean.dim, (value, [2, 3], True))
                each = graph.graph.call_function(aten.reshape.default, (each, grouped))
                return graph.graph.call_function(aten.mean.dim, (each, [2, 3], True))

            middle = call(aten.reshape.default, (call(aten.mul.Tensor, (mean(source), ones)), single))
            centred = call(aten.sub.Tensor, (source, middle))
            variance = mean(call(aten.mul.Tensor, (centred, centred)))
            scale = call(aten.mul.Tensor, (call(aten.rsqrt.default, (call(aten.add.Tensor, (variance, eps)),)), scales))
            value = call(aten.mul.Tensor, (centred, call(aten.reshape.default, (scale, single))))
            if added is not None:
                value = call(aten.add.Tensor, (value, added))
        replace(graph, node, value)
        changed += 1
    return changed
