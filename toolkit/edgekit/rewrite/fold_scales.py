"""Multiplications by constants disappear into the neighbouring convolution: input range, residual scaling, output range.

Why: every backend would run one more pass over the picture, and quantizers would round it. Scaling commutes with zero padding, with padding by the picture's
own values and, per output channel, with PixelShuffle, so this is exact everywhere.
"""

from __future__ import annotations

from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, constant_node, dtype_of, only_user, per_channel, repeat, replace, replace_conv
from edgekit.rewrite.neighbours import conv_after, conv_before, product, shift


def fold_scales(graph: GraphModule) -> int:
    """conv * s, s * conv, conv / s and conv(x * s), conv(x / s) become conv with scaled weights, also across an addition of a constant. Returns the number of
    products removed."""
    return repeat(graph, _fold_one)


def _fold_one(graph: GraphModule) -> bool:
    for node in graph.graph.nodes:
        found = product(graph, node)
        if found is not None and (_into_source(graph, node, *found) or _into_user(graph, node, *found)):
            return True
    return False


def _into_source(graph: GraphModule, node: Node, source: Node, factor: Tensor) -> bool:
    """(conv + b) * s becomes conv * s + b * s. `source` is what `node` multiplies by `factor`."""
    moved = shift(graph, source) if only_user(source) is node else None
    before = conv_before(graph, *((moved[0], source) if moved else (source, node)))
    if before is None:
        return False
    conv, shuffle = before
    scale = per_channel(factor, conv.channels // shuffle**2)
    offset = per_channel(moved[1], conv.channels // shuffle**2) if moved else None
    if scale is None or (moved and offset is None):
        return False
    dtype = dtype_of(node)
    per_output = scale.repeat_interleave(shuffle**2)
    new = replace_conv(graph, conv, conv.scaled(per_output), conv.bias * per_output)
    if moved and offset is not None:
        value = constant_node(graph, node, "scaled_shift", (offset * scale).to(dtype).view(1, -1, 1, 1))
        with graph.graph.inserting_before(node):
            total = graph.graph.call_function(aten.add.Tensor, (new if moved[0] is conv.node else moved[0], value))
        replace(graph, node, total)
        graph.graph.erase_node(source)
    else:
        node.replace_all_uses_with(new if source is conv.node else source)
        graph.graph.erase_node(node)
    return True


def _into_user(graph: GraphModule, node: Node, source: Node, factor: Tensor) -> bool:
    """conv(x * s + b) becomes conv((x + b / s) * s), and that conv with scaled weights."""
    user = only_user(node)
    moved = shift(graph, user)
    after = conv_after(graph, user if moved and user is not None else node)
    if after is None:
        return False
    conv = after[0]
    scale = per_channel(factor, conv.weight.shape[1])
    offset = per_channel(moved[1], conv.weight.shape[1]) if moved else None
    if scale is None or (moved and (offset is None or not bool((scale != 0).all()))):
        return False
    dtype = dtype_of(node)
    replace_conv(graph, conv, conv.weight * scale.view(1, -1, 1, 1), conv.bias)
    if moved and offset is not None and user is not None:
        value = constant_node(graph, user, "scaled_shift", (offset / scale).to(dtype).view(1, -1, 1, 1))
        with graph.graph.inserting_before(user):
            total = graph.graph.call_function(aten.add.Tensor, (source, value))
        replace(graph, user, total)
    else:
        node.replace_all_uses_with(source)
    graph.graph.erase_node(node)
    return True
