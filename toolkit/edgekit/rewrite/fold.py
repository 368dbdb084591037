"""Patches laid over each other and summed, `fold` (col2im), become padded patches and sums, first of columns, then of rows.

Why: LiteRT loads no file in which patches overlap, coremltools refuses them, and ExecuTorch makes index operators of them, which XNNPACK does not take (IPT).
"""

from __future__ import annotations

from functools import reduce

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, pair, replace, shape_of, written
from edgekit.rewrite.patches import Axis, axes

MOST = 64
"""Sums. With more, the index operators are less work."""


def fold(graph: GraphModule) -> int:
    """Returns the number of operators replaced: those that at most MOST sums can stand for."""
    changed = 0
    for node in calls(graph, aten.col2im.default):
        source, *options = arguments(node)
        size, kernel, dilation, padding, stride = map(pair, options)
        shape = shape_of(node)
        if shape is None or len(shape) != 4:
            continue
        sides = [side + 2 * p for side, p in zip(size, padding, strict=True)]
        rows, columns = axes((sides[0], sides[1]), kernel, dilation, stride)
        if rows.has_holes_and_steps or columns.has_holes_and_steps or _sums(rows) + _sums(columns) > MOST:
            continue
        call, pictures = graph.graph.call_function, shape[0] * shape[1]
        with graph.graph.inserting_before(node):
            apart = call(aten.reshape.default, (source, [pictures * rows.kernel, columns.kernel, rows.count, columns.count]))
            height = pictures * rows.kernel * rows.count
            narrow = call(aten.reshape.default, (call(aten.permute.default, (apart, [0, 2, 1, 3])), [height, columns.kernel, columns.count, 1]))
            wide = _summed(graph, narrow, height, 1, sides[1], columns)
            both = call(aten.reshape.default, (wide, [pictures, rows.kernel, rows.count, sides[1]]))
            whole = _summed(graph, both, pictures, sides[1], sides[0], rows)
            for axis, (p, side) in enumerate(zip(padding, size, strict=True), 1):
                whole = call(aten.slice.Tensor, (whole, axis, p, p + side)) if p else whole
            new = call(aten.reshape.default, (whole, list(shape)))
            replace(graph, node, call(aten.clone.default, (new,)) if written(node) else new)
        changed += 1
    return changed


def _sums(axis: Axis) -> int:
    """How many stand for one axis: one per stride within a patch where strides divide it, or else one per patch."""
    return axis.count if axis.kernel % axis.stride else axis.kernel // axis.stride


def _summed(graph: GraphModule, source: Node, before: int, behind: int, side: int, axis: Axis) -> Node:
    """`source` [before, kernel, count, behind] as [before, side, behind], each patch at its place."""
    kernel, count, stride = axis.kernel, axis.count, axis.stride
    call = graph.graph.call_function

    def padded(part: Node, first: int, length: int) -> Node:
        return call(aten.constant_pad_nd.default, (part, [0, 0, first, side - first - length], 0.0)) if side != length else part

    parts = []
    if kernel % stride == 0:
        for step in range(kernel // stride):  # patches side by side, then as many again, a stride further
            beside = call(aten.slice.Tensor, (source, 1, step * stride, (step + 1) * stride))
            ordered = beside if stride == 1 else call(aten.permute.default, (beside, [0, 2, 1, 3]))
            placed = call(aten.reshape.default, (ordered, [before, count * stride, behind]))
            parts.append(padded(placed, step * stride * axis.dilation, count * stride))
    else:
        for position in range(count):
            patch = call(aten.reshape.default, (call(aten.slice.Tensor, (source, 2, position, position + 1)), [before, kernel, behind]))
            parts.append(padded(patch, position * stride, kernel))
    return reduce(lambda total, part: call(aten.add.Tensor, (total, part)), parts)
