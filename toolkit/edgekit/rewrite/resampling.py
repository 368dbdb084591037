"""Resizing that a converter lacks becomes slices, where every second (third ...) pixel is taken, or products with the matrices of its weights.

Why: coremltools (9.0) has no bicubic and no `nearest-exact` resizing; litert-torch (0.10) has no antialiasing, and takes other pixels than PyTorch where it shrinks
to the nearest, or enlarges by no whole factor, without an error. ExecuTorch makes 150 operators of one bicubic resizing, most of them outside XNNPACK. TFLite
computes bicubic ones as they are, in float: written as products they would be rounded in int8 files, so it does not ask for those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, constant_node, dtype_of, replace, shape_of

NEAREST = (aten.upsample_nearest2d.vec, aten._upsample_nearest_exact2d.vec)
ANTIALIASED = (aten._upsample_bicubic2d_aa.vec, aten._upsample_bilinear2d_aa.vec)

MOST = 1 << 22
"""Values that the matrices may hold together: those of a tile of 1024 px, enlarged twice. A whole photograph's would be larger than the network."""


def bicubic_resampling(graph: GraphModule) -> int:
    """The same for bicubic resizing without antialiasing."""
    return resampling(graph, (aten.upsample_bicubic2d.vec,))


def resampling(graph: GraphModule, kinds: Sequence[Any] = (*NEAREST, *ANTIALIASED)) -> int:
    """Returns the number of resizings replaced. Enlargements to the nearest pixel by whole factors stay, which every runtime has, if not `nearest-exact`."""
    changed = 0
    for node in calls(graph, *kinds):
        before, after = shape_of(node.args[0]), shape_of(node)
        if before is None or after is None or sum(a * b for a, b in zip(before[2:], after[2:], strict=True)) > MOST:
            continue
        whole = all(new % old == 0 for old, new in zip(before[2:], after[2:], strict=True))
        if whole and node.target is aten.upsample_nearest2d.vec:
            continue
        value: Any = node.args[0]
        for dim in (2, 3):
            value = _resized(graph, node, value, dim, _weights(node, dim, before, after))
        replace(graph, node, value)
        changed += 1
    return changed


def _weights(node: Node, dim: int, before: tuple[int, ...], after: tuple[int, ...]) -> Tensor:
    """(new, old): the operator itself, given pictures in which one row (or column) is white. Their other side is as short as it can be."""
    side, other = before[dim], 5 - dim
    sides = {dim: side, other: min(before[other], 2 * -(-before[other] // after[other]))}
    white = torch.zeros(1, side, sides[2], sides[3], dtype=torch.float64)
    for line in range(side):
        white[0, line].select(dim - 2, line).fill_(1)
    with torch.no_grad():
        resized = node.target(white, *arguments(node)[1:])  # type: ignore[operator]
    return resized[0].select(4 - dim, 0).T.contiguous()


def _resized(graph: GraphModule, node: Node, value: Any, dim: int, weights: Tensor) -> Any:
    new, old = weights.shape
    taken = weights.argmax(1)
    step = int(taken[1] - taken[0]) if new > 1 else old
    with graph.graph.inserting_before(node):
        call = graph.graph.call_function
        if torch.equal(weights, torch.eye(old, dtype=weights.dtype)[taken]) and torch.equal(taken, taken[0] + step * torch.arange(new)):
            if (new, step) == (old, 1):
                return value
            return call(aten.slice.Tensor, (value, dim, int(taken[0]), int(taken[-1]) + 1, step))
        matrix = constant_node(graph, node, f"{node.name}_weights", weights.T.contiguous().to(dtype_of(node)))
        if dim == 3:
            return call(aten.matmul.default, (value, matrix))
        return call(aten.transpose.int, (call(aten.matmul.default, (call(aten.transpose.int, (value, 2, 3)), matrix)), 2, 3))
