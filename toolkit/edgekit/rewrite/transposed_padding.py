"""A transposed convolution with padding that TFLite does not know pads less and crops its result.

Why: TFLite's operator pads nothing ("VALID") or so much that each pixel becomes `stride` pixels ("SAME"); litert-torch fails at everything else, such as the
kernel 4 with stride 2 and padding 3 that ends RealCUGAN. Padding p of a transposed convolution is nothing but a crop of its result by p pixels on every side.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, pair, replace, shape_of


def transposed_padding(graph: GraphModule) -> int:
    """Returns the number of transposed convolutions changed. Those with output padding are left alone: `output_padding` removes it."""
    changed = 0
    for node in calls(graph, aten.conv_transpose2d.input):
        source, weight, bias, stride, padding, more, groups, dilation = arguments(node)
        kernel, shape = shape_of(weight), shape_of(node)
        if kernel is None or shape is None or any(pair(more)):
            continue
        padding = pair(padding)
        kept = _known(pair(dilation), kernel[2:], pair(stride), padding)
        if kept == padding:
            continue
        with graph.graph.inserting_before(node):
            operands = (source, weight, bias, list(pair(stride)), list(kept), [0, 0], groups, list(pair(dilation)))
            value = graph.graph.call_function(aten.conv_transpose2d.input, operands)
            for dim, cut in zip((2, 3), (p - k for p, k in zip(padding, kept, strict=True)), strict=True):
                if cut:
                    value = graph.graph.call_function(aten.slice.Tensor, (value, dim, cut, cut + shape[dim]))
        replace(graph, node, value)
        changed += 1
    return changed


def _known(dilation: tuple[int, int], kernel: tuple[int, ...], stride: tuple[int, int], padding: tuple[int, int]) -> tuple[int, int]:
    """The most padding, none larger than `padding`, that TFLite has an operator for: "SAME" in both directions, else none."""
    spare = [d * (k - 1) + 1 - s for d, k, s in zip(dilation, kernel, stride, strict=True)]
    same = (spare[0] // 2, spare[1] // 2)
    fits = all(s >= 0 and s % 2 == 0 and s // 2 <= p for s, p in zip(spare, padding, strict=True))
    return same if fits else (0, 0)
