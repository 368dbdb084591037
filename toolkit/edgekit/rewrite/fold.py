"""Patches laid over each other and summed, `fold` (col2im), become padded patches and sums, first of columns, then of rows; patches side by side are put in
order only.

Why: LiteRT loads no file in which patches overlap, coremltools refuses them, and ExecuTorch makes index operators of them, which XNNPACK does not take (IPT).
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, pair, replace, shape_of

MOST = 64
"""Sums. With more, the index operators are less work."""


def fold(graph: GraphModule) -> int:
    """Returns the number of operators replaced: those that at most MOST sums can stand for."""
    changed = 0
    for node in calls(graph, aten.col2im.default):
        source, size, kernel, dilation, padding, stride = (value if index == 0 else pair(value) for index, value in enumerate(arguments(node)))
        shape = shape_of(node)
        if shape is None or len(shape) != 4:
            continue
        sides = [side + 2 * p for side, p in zip(size, padding, strict=True)]
        counts = [(side - d * (k - 1) - 1) // s + 1 for side, k, d, s in zip(sides, kernel, dilation, stride, strict=True)]
        axes = list(zip(kernel, counts, dilation, stride, strict=True))
        if any(d > 1 and s > 1 for _, _, d, s in axes) or sum(k if s == 1 else n for k, n, _, s in axes) > MOST:
            continue
        call, pictures = graph.graph.call_function, shape[0] * shape[1]
        with graph.graph.inserting_before(node):
            apart = call(aten.reshape.default, (source, [pictures * kernel[0], kernel[1], counts[0], counts[1]]))
            rows = pictures * kernel[0] * counts[0]
            columns = call(aten.reshape.default, (call(aten.permute.default, (apart, [0, 2, 1, 3])), [rows, kernel[1], counts[1], 1]))
            wide = _summed(graph, columns, rows, 1, sides[1], *axes[1])
            both = call(aten.reshape.default, (wide, [pictures, kernel[0], counts[0], sides[1]]))
            whole = _summed(graph, both, pictures, sides[1], sides[0], *axes[0])
            for axis, (p, side) in enumerate(zip(padding, size, strict=True), 1):
                whole = call(aten.slice.Tensor, (whole, axis, p, p + side)) if p else whole
            replace(graph, node, call(aten.reshape.default, (whole, list(shape))))
        changed += 1
    return changed


def _summed(graph: GraphModule, source: Node, before: int, behind: int, side: int, kernel: int, count: int, dilation: int, stride: int) -> Node:
    """`source` [before, kernel, count, behind] as [before, side, behind], each patch at its place."""
    call = graph.graph.call_function

    def padded(part: Node, first: int, length: int) -> Node:
        return call(aten.constant_pad_nd.default, (part, [0, 0, first, side - first - length], 0.0)) if side != length else part

    if stride == kernel and dilation == 1:
        ordered = call(aten.reshape.default, (call(aten.permute.default, (source, [0, 2, 1, 3])), [before, count * kernel, behind]))
        return padded(ordered, 0, count * kernel)
    axis, pieces, length, step = (1, kernel, count, dilation) if stride == 1 else (2, count, kernel, stride)
    total: Node | None = None
    for piece in range(pieces):
        part = call(aten.reshape.default, (call(aten.slice.Tensor, (source, axis, piece, piece + 1)), [before, length, behind]))
        placed = padded(part, piece * step, length)
        total = placed if total is None else call(aten.add.Tensor, (total, placed))
    assert total is not None
    return total
