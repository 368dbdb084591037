"""A convolution with padding "same" or "valid" says its padding in numbers, like every other convolution.

Why: torch.export gives it an operator of its own (aten.conv2d.padding), which no quantizer here and none of the other rewrites knows as a convolution.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, pair, replace, shape_of


def explicit_padding(graph: GraphModule) -> int:
    """Returns the number of convolutions changed. An even kernel pads one pixel more at the end, as PyTorch does, by an operator of its own."""
    changed = 0
    for node in calls(graph, aten.conv2d.padding):
        source, weight, bias, stride, padding, dilation, groups = arguments(node)
        kernel = shape_of(weight)
        if kernel is None:
            continue
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(pair(dilation), kernel[2:], strict=True)]
        extra = [side % 2 for side in total]
        with graph.graph.inserting_before(node):
            if any(extra):
                source = graph.graph.call_function(aten.constant_pad_nd.default, (source, [0, extra[1], 0, extra[0]], 0.0))
            operands = (source, weight, bias, list(pair(stride)), [side // 2 for side in total], list(pair(dilation)), groups)
            replace(graph, node, graph.graph.call_function(aten.conv2d.default, operands))
        changed += 1
    return changed
