"""The neighbourhood of each pixel and the patches of a transformer, `unfold` (im2col), become slices of the padded picture and concatenations, first of rows,
then of columns: as many as a neighbourhood has offsets, or as there are neighbourhoods.

Why: ExecuTorch and LiteRT make index operators of it, which XNNPACK does not take; in ExecuTorch with a border inside that has no int8 levels: files of KBNet and
HAT did not load in int8.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, pair, replace, shape_of

MOST = 64
"""Slices. With more, the index operators are less work."""


def neighbourhoods(graph: GraphModule) -> int:
    """Returns the number of operators replaced: those that at most MOST slices can stand for."""
    changed = 0
    for node in calls(graph, aten.im2col.default):
        source, kernel, dilation, padding, stride = (value if index == 0 else pair(value) for index, value in enumerate(arguments(node)))
        shape, result = shape_of(source), shape_of(node)
        if shape is None or result is None or len(shape) != 4:
            continue
        sides = [side + 2 * p for side, p in zip(shape[2:], padding, strict=True)]
        counts = [(side - d * (k - 1) - 1) // s + 1 for side, k, d, s in zip(sides, kernel, dilation, stride, strict=True)]
        axes = list(zip(kernel, counts, dilation, stride, strict=True))
        if any(d > 1 and s > 1 for _, _, d, s in axes) or sum(axis[0] if _by_offset(*axis) else axis[1] for axis in axes) > MOST:
            continue
        call, pictures = graph.graph.call_function, shape[0] * shape[1]
        with graph.graph.inserting_before(node):
            padded = call(aten.constant_pad_nd.default, (source, [padding[1]] * 2 + [padding[0]] * 2, 0.0)) if any(padding) else source
            rows = _windows(graph, call(aten.reshape.default, (padded, [pictures, sides[0], sides[1]])), pictures, sides[1], *axes[0])
            height = pictures * kernel[0] * counts[0]
            both = _windows(graph, call(aten.reshape.default, (rows, [height, sides[1], 1])), height, 1, *axes[1])
            apart = call(aten.reshape.default, (both, [pictures * kernel[0], counts[0], kernel[1], counts[1]]))
            replace(graph, node, call(aten.reshape.default, (call(aten.permute.default, (apart, [0, 2, 1, 3])), list(result))))
        changed += 1
    return changed


def _by_offset(kernel: int, count: int, dilation: int, stride: int) -> bool:
    """One slice per offset within a neighbourhood, rather than one per neighbourhood: whatever needs fewer without steps, which XNNPACK does not take."""
    return stride == 1 and (kernel <= count or dilation > 1)


def _windows(graph: GraphModule, source: Node, before: int, behind: int, kernel: int, count: int, dilation: int, stride: int) -> Node:
    """`source` [before, side, behind] as [before, kernel, count, behind]."""
    call = graph.graph.call_function
    if _by_offset(kernel, count, dilation, stride):
        starts, length, piece, axis = range(0, kernel * dilation, dilation), count, [before, 1, count, behind], 1
    else:
        starts, length, piece, axis = range(0, count * stride, stride), kernel, [before, kernel, 1, behind], 2
    slices = [call(aten.reshape.default, (call(aten.slice.Tensor, (source, 1, start, start + length)), piece)) for start in starts]
    return call(aten.cat.default, (slices, axis)) if len(slices) > 1 else slices[0]
