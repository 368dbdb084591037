"""The neighbourhood of each pixel and the patches of a transformer, `unfold` (im2col), become slices of the padded picture and concatenations, first of rows,
then of columns: as many as strides make a neighbourhood, or as there are neighbourhoods.

Why: ExecuTorch and LiteRT make index operators of it, which XNNPACK does not take; in ExecuTorch with a border inside that has no int8 levels: files of KBNet and
HAT did not load in int8.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, pair, replace, shape_of, written
from edgekit.rewrite.patches import Axis, axes

MOST = 64
"""Slices. With more, the index operators are less work."""


def neighbourhoods(graph: GraphModule) -> int:
    """Returns the number of operators replaced: those that at most MOST slices can stand for."""
    changed = 0
    for node in calls(graph, aten.im2col.default):
        source, *options = arguments(node)
        kernel, dilation, padding, stride = map(pair, options)
        shape, result = shape_of(source), shape_of(node)
        if shape is None or result is None or len(shape) != 4:
            continue
        sides = [side + 2 * p for side, p in zip(shape[2:], padding, strict=True)]
        rows, columns = axes((sides[0], sides[1]), kernel, dilation, stride)
        if rows.has_holes_and_steps or columns.has_holes_and_steps or _slices(rows) + _slices(columns) > MOST:
            continue
        call, pictures = graph.graph.call_function, shape[0] * shape[1]
        with graph.graph.inserting_before(node):
            padded = call(aten.constant_pad_nd.default, (source, [padding[1]] * 2 + [padding[0]] * 2, 0.0)) if any(padding) else source
            high = _windows(graph, call(aten.reshape.default, (padded, [pictures, sides[0], sides[1]])), pictures, sides[1], rows)
            height = pictures * rows.kernel * rows.count
            both = _windows(graph, call(aten.reshape.default, (high, [height, sides[1], 1])), height, 1, columns)
            apart = call(aten.reshape.default, (both, [pictures * rows.kernel, rows.count, columns.kernel, columns.count]))
            new = call(aten.reshape.default, (call(aten.permute.default, (apart, [0, 2, 1, 3])), list(result)))
            replace(graph, node, call(aten.clone.default, (new,)) if written(node) else new)
        changed += 1
    return changed


def _slices(axis: Axis) -> int:
    """How many stand for one axis: one per stride within a neighbourhood where strides divide it, or one per neighbourhood, whatever is less."""
    strides = axis.kernel // axis.stride
    return axis.count if axis.kernel % axis.stride or (axis.dilation == 1 and axis.count < strides) else strides


def _windows(graph: GraphModule, source: Node, before: int, behind: int, axis: Axis) -> Node:
    """`source` [before, side, behind] as [before, kernel, count, behind]."""
    kernel, count, stride = axis.kernel, axis.count, axis.stride
    call, number, parts = graph.graph.call_function, _slices(axis), []
    by_stride = number * stride == kernel
    for i in range(number):
        start, length = (i * stride * axis.dilation, count * stride) if by_stride else (i * stride, kernel)
        part = call(aten.slice.Tensor, (source, 1, start, start + length))
        if by_stride and stride > 1:
            parts.append(call(aten.permute.default, (call(aten.reshape.default, (part, [before, count, stride, behind])), [0, 2, 1, 3])))
        else:
            parts.append(call(aten.reshape.default, (part, [before, stride, count, behind] if by_stride else [before, kernel, 1, behind])))
    return call(aten.cat.default, (parts, 1 if by_stride else 2)) if len(parts) > 1 else parts[0]
