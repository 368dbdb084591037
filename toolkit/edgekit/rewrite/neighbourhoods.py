"""The neighbourhood of each pixel, `unfold` (im2col), becomes shifted slices of the padded picture and a concatenation.

Why: ExecuTorch makes index operators of it, which XNNPACK does not take, and a border inside that has no int8 levels: files of KBNet did not load in int8.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, pair, replace, shape_of

MOST = 25
"""Pixels of a neighbourhood: 5x5. Larger ones are patches of a transformer, which are as many operators as slices would be."""


def neighbourhoods(graph: GraphModule) -> int:
    """Returns the number of operators replaced: those of stride 1 whose neighbourhoods have at most MOST pixels."""
    changed = 0
    for node in calls(graph, aten.im2col.default):
        source, kernel, dilation, padding, stride = (value if index == 0 else pair(value) for index, value in enumerate(arguments(node)))
        shape, result = shape_of(source), shape_of(node)
        if shape is None or result is None or len(shape) != 4 or stride != (1, 1) or kernel[0] * kernel[1] > MOST:
            continue
        height, width = (side + 2 * p - d * (k - 1) for side, p, d, k in zip(shape[2:], padding, dilation, kernel, strict=True))
        call = graph.graph.call_function
        with graph.graph.inserting_before(node):
            padded = call(aten.constant_pad_nd.default, (source, [padding[1]] * 2 + [padding[0]] * 2, 0.0)) if any(padding) else source
            shifted = []
            for row in range(kernel[0]):
                rows = call(aten.slice.Tensor, (padded, 2, row * dilation[0], row * dilation[0] + height))
                for column in range(kernel[1]):
                    part = call(aten.slice.Tensor, (rows, 3, column * dilation[1], column * dilation[1] + width))
                    shifted.append(call(aten.reshape.default, (part, [shape[0], shape[1], 1, height * width])))
            together = call(aten.cat.default, (shifted, 2)) if len(shifted) > 1 else shifted[0]
            replace(graph, node, call(aten.reshape.default, (together, list(result))))
        changed += 1
    return changed
