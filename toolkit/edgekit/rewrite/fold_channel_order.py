"""Reordered channels (BGR networks) disappear: the neighbouring convolution's weights are reordered instead.

Why: slices and a concatenation, a flip or an index at full resolution are pure memory traffic; the flip and the index are outside XNNPACK altogether.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, constant, constant_node, conv_of, only_user, repeat, replace, replace_conv, shape_of
from edgekit.rewrite.neighbours import conv_before, is_copying_pad, product, shift
from edgekit.rewrite.pad_by_slices import concatenated

ELEMENTWISE = (aten.clamp.default, aten.tanh.default, aten.sigmoid.default, aten.relu.default)
"""Operators without constants per channel: they give the same whether channels are reordered before or after."""

REORDER = aten.index_select.default
"""What a reordering is while this file looks for its convolution; one that finds none becomes slices and a concatenation in the end."""


def fold_channel_order(graph: GraphModule) -> int:
    """Returns the number of reorderings removed, across constant factors and offsets, activations, copying paddings and PixelShuffle."""
    orders = _mark(graph)
    changed = repeat(
        graph, lambda g: any(_into_user(g, node, order) or _into_source(g, node, order) for node, order in orders.items() if node in _live(g))
    )
    for node in _live(graph):
        if node in orders:
            with graph.graph.inserting_before(node):
                parts = [graph.graph.call_function(aten.slice.Tensor, (node.args[0], 1, i, i + 1)) for i in orders[node]]
                new = concatenated(graph, parts, 1)
            replace(graph, node, new)
    return changed


def _live(graph: GraphModule) -> list[Node]:
    return list(calls(graph, REORDER))


def _mark(graph: GraphModule) -> dict[Node, list[int]]:
    """Every reordering of channels becomes one `REORDER` node."""
    orders: dict[Node, list[int]] = {}
    for node in calls(graph, aten.cat.default, aten.flip.default, aten.index.Tensor):
        source, order = _order(graph, node)
        if source is None or sorted(order) != list(range((shape_of(source) or (0, 0))[1])) or order == sorted(order):
            continue
        with graph.graph.inserting_before(node):
            new = graph.graph.call_function(REORDER, (source, 1, torch.tensor(order)))
        replace(graph, node, new)
        orders[new] = order
    graph.graph.eliminate_dead_code()
    return orders


def _order(graph: GraphModule, node: Node) -> tuple[Node | None, list[int]]:
    """(what is reordered, the channels in their new order) of a node that may be a reordering."""
    shape = shape_of(node)
    if shape is None or len(shape) != 4:
        return None, []
    source, *rest = arguments(node)
    if node.target is aten.flip.default and rest[0] in ([1], [-3]):
        return source, list(reversed(range(shape[1])))
    if node.target is aten.index.Tensor and len(rest[0]) == 2 and rest[0][0] is None:
        index = constant(graph, rest[0][1])
        return (None, []) if index is None or index.dim() != 1 else (source, [int(i) % shape[1] for i in index])
    if node.target is aten.cat.default and rest[0] in (1, -3):
        slices = [arguments(part) for part in source if part.target is aten.slice.Tensor]
        single = [s for s in slices if s[0] is slices[0][0] and s[1] == 1 and s[2] is not None and s[3] == s[2] + 1 and s[4] == 1]
        if single and len(single) == len(source):
            return single[0][0], [int(s[2]) for s in single]
    return None, []


def _into_user(graph: GraphModule, node: Node, order: list[int]) -> bool:
    """x[order] -> ... -> conv becomes x -> ... -> conv with its input channels put back."""
    between: list[Node] = []
    current, user = node, only_user(node)
    while user is not None and _source(graph, user) is current:
        between.append(user)
        current, user = user, only_user(user)
    conv = conv_of(graph, user)
    if conv is None or conv.groups != 1 or conv.weight.shape[1] != len(order) or conv.node.args[0] is not current:
        return False
    back = torch.tensor(order).argsort().tolist()
    replace_conv(graph, conv, conv.weight[:, back], conv.bias)
    _remove(graph, node, between, back)
    return True


def _into_source(graph: GraphModule, node: Node, order: list[int]) -> bool:
    """conv -> ... -> y[order] becomes conv with its output channels in that order -> ..."""
    between: list[Node] = []
    current, user = node.args[0], node
    while (before := conv_before(graph, current, user)) is None:
        assert isinstance(current, Node)
        inner = _source(graph, current)
        if inner is None or only_user(current) is not user:
            return False
        between.append(current)
        current, user = inner, current
    conv, factor = before
    if conv.transposed or conv.groups != 1 or conv.channels != len(order) * factor**2:
        return False
    outputs = torch.arange(conv.channels).view(-1, factor**2)[order].flatten()
    replace_conv(graph, conv, conv.weight[outputs], conv.bias[outputs])
    _remove(graph, node, between, order)
    return True


def _source(graph: GraphModule, node: Node) -> Node | None:
    """What `node` reads, if the channels of its result are those of that, one by one."""
    if node.target in ELEMENTWISE or is_copying_pad(node):
        return node.args[0] if isinstance(node.args[0], Node) else None
    found = product(graph, node) or shift(graph, node)
    return found[0] if found is not None and shape_of(found[0]) == shape_of(node) else None


def _remove(graph: GraphModule, node: Node, between: list[Node], order: list[int]) -> None:
    """Takes the reordering out; constants per channel on the way are reordered instead."""
    for one in between:
        for place, value in enumerate(one.args):
            found = constant(graph, value)
            if isinstance(value, Node) and found is not None and found.numel() > 1:
                channels = found.expand(1, len(order), 1, 1) if found.dim() <= 4 else found
                one.update_arg(place, constant_node(graph, one, "reordered", channels[:, order].to(found.dtype)))
    node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
    graph.graph.erase_node(node)
