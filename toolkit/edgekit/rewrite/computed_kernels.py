"""A convolution whose kernel the network computes becomes products with the shifted picture, one for each place in the kernel, and their sum.

Why: coremltools (9.0) fails where such a convolution has no bias, and under ExecuTorch it runs in the portable kernels, outside XNNPACK. Networks that predict a
kernel, or mix several by the picture (CondConv, Yang et al. 2019), predict small ones.
"""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, constant, pair, replace, shape_of

MOST_PLACES = 49


def computed_kernels(graph: GraphModule) -> int:
    """Returns the number of convolutions replaced: those of one picture, in one group or in as many as there are channels."""
    changed = 0
    for node in calls(graph, aten.conv2d.default):
        source, weight, bias, *_, groups = arguments(node)
        before, kernel, after = shape_of(source), shape_of(weight), shape_of(node)
        if before is None or kernel is None or after is None or constant(graph, weight) is not None:
            continue
        if before[0] != 1 or groups not in (1, before[1]) or kernel[2] * kernel[3] > MOST_PLACES or (groups > 1 and kernel[0] != groups):
            continue
        with graph.graph.inserting_before(node):
            total = _summed(graph, node, kernel, after)
            if bias is not None:
                total = graph.graph.call_function(aten.add.Tensor, (total, graph.graph.call_function(aten.reshape.default, (bias, [1, -1, 1, 1]))))
        replace(graph, node, total)
        changed += 1
    return changed


def _summed(graph: GraphModule, node: Node, kernel: tuple[int, ...], after: tuple[int, ...]) -> Any:
    call = graph.graph.call_function
    source, weight, _, stride, padding, dilation, groups = arguments(node)
    (high, wide), (down, right), (apart, aside) = pair(padding), pair(stride), pair(dilation)
    outputs, inputs, height, width = kernel
    if high or wide:
        source = call(aten.constant_pad_nd.default, (source, [wide, wide, high, high], 0.0))
    total: Any = None
    for i in range(height):
        for j in range(width):
            part: Any = source
            for dim, start, step, count in ((2, i * apart, down, after[2]), (3, j * aside, right, after[3])):
                part = call(aten.slice.Tensor, (part, dim, start, start + step * (count - 1) + 1, step))
            place = weight
            for dim, at in ((2, i), (3, j)):
                place = call(aten.slice.Tensor, (place, dim, at, at + 1))
            if groups == 1:
                rows = call(aten.reshape.default, (part, [1, inputs, after[2] * after[3]]))
                part = call(aten.matmul.default, (call(aten.reshape.default, (place, [1, outputs, inputs])), rows))
            else:
                part = call(aten.mul.Tensor, (part, call(aten.reshape.default, (place, [1, outputs, 1, 1]))))
            total = part if total is None else call(aten.add.Tensor, (total, part))
    return call(aten.reshape.default, (total, list(after))) if groups == 1 else total
