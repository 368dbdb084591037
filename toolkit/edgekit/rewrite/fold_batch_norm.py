"""Batch normalization in evaluation mode is one factor and one offset per channel: they go into the convolution before it, transposed ones included.

Why: ai-edge-quantizer makes files that no interpreter takes of a normalization behind a transposed convolution ("num_scales must be 1"), in float LiteRT leaves that
convolution outside XNNPACK, and quantizers would round between the two. One that follows no convolution becomes a multiplication and an addition,
which every delegate has, and which the next rewrites fold into the convolution behind it. Instance normalization with stored statistics is the same.
"""

from __future__ import annotations

from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, constant, constant_node, dtype_of, replace, replace_conv, shape_of
from edgekit.rewrite.neighbours import conv_before


def fold_batch_norm(graph: GraphModule) -> int:
    """Returns the number of normalizations removed. Those that use the picture's own statistics are left alone."""
    changed = 0
    for node in calls(graph, aten.batch_norm.default, aten.instance_norm.default):
        folded = _affine(graph, node)
        if folded is None:
            continue
        scale, offset = folded
        before = conv_before(graph, node.args[0], node)
        if before is not None:
            conv, shuffle = before
            per_output = scale.repeat_interleave(shuffle**2)
            new = replace_conv(graph, conv, conv.scaled(per_output), conv.bias * per_output + offset.repeat_interleave(shuffle**2))
            replace(graph, node, new if shuffle == 1 else node.args[0])  # type: ignore[arg-type]
        else:
            _apart(graph, node, scale, offset)
        changed += 1
    return changed


def _affine(graph: GraphModule, node: Node) -> tuple[Tensor, Tensor] | None:
    """(factor, offset), both (C,) float64, or None if the statistics are not constants."""
    _, weight, bias, mean, variance, uses_picture, _, eps, _ = arguments(node)
    centre, spread = constant(graph, mean), constant(graph, variance)
    gain, shift = constant(graph, weight), constant(graph, bias)
    computed = (weight is not None and gain is None) or (bias is not None and shift is None)
    if uses_picture or centre is None or spread is None or computed:
        return None
    scale = (spread.double() + eps).rsqrt() * (1 if gain is None else gain.double())
    return scale, (0 if shift is None else shift.double()) - centre.double() * scale


def _apart(graph: GraphModule, node: Node, scale: Tensor, offset: Tensor) -> None:
    rank = len(shape_of(node.args[0]) or (0,) * 4)
    shape, dtype = (1, -1, *[1] * (rank - 2)), dtype_of(node)
    factor, added = (constant_node(graph, node, "batch_norm", value.to(dtype).view(shape)) for value in (scale, offset))
    with graph.graph.inserting_before(node):
        product = graph.graph.call_function(aten.mul.Tensor, (node.args[0], factor))
        total = graph.graph.call_function(aten.add.Tensor, (product, added))
    replace(graph, node, total)
