"""Tensors of more than five sides become tensors of at most five: sides that stay neighbours are one, and a permutation that needs more is made in several.

Why: Core ML refuses a network with one tensor of rank six (OmniSR divides pictures and channels at once: rank seven), and XNNPACK permutes six sides at most.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from edgekit.rewrite.graph import arguments, aten, calls, constant, constant_node, replace, shape_of, writes, written

LIMIT = 5

RESHAPINGS = (aten.reshape.default, aten.view.default, aten._unsafe_view.default, aten.unsqueeze.default, aten.squeeze.default,
              aten.squeeze.dim, aten.squeeze.dims, aten.flatten.using_ints, aten.unflatten.int)  # fmt: skip

REDUCTIONS = (aten.sum.dim_IntList, aten.mean.dim, aten.amax.default, aten.amin.default)

Shape = tuple[int, ...]
Call = Callable[..., Node]


def rank_limit(graph: GraphModule) -> int:
    """Returns the number of operators replaced: those that read or give more than LIMIT sides, reshapings left out. What stays is an operator of another kind,
    or one that writes."""
    changed = 0
    for node in [n for n in graph.graph.nodes if n.op == "call_function" and n.target not in RESHAPINGS and _is_high(n)]:
        if writes(node) or written(node):
            continue
        with graph.graph.inserting_before(node):
            new = _lowered(node, graph.graph.call_function)
            if new is not None:
                replace(graph, node, graph.graph.call_function(aten.reshape.default, (new, list(shape_of(node) or ()))))
                changed += 1
    _join_reshapings(graph)
    return changed


def _is_high(node: Node) -> bool:
    return any(len(shape_of(n) or ()) > LIMIT for n in (node, *node.all_input_nodes))


def _lowered(node: Node, call: Call) -> Node | None:
    """The same values, in any shape."""
    source, shape = node.args[0], shape_of(node.args[0])
    if shape is None or shape_of(node) is None:
        return None
    if node.target in (aten.permute.default, aten.transpose.int):
        return _permuted(source, shape, _order(node, len(shape)), call)
    if node.target in (aten.slice.Tensor, aten.select.int, aten.softmax.int):
        dim = arguments(node)[1] % len(shape)
        part = call(aten.reshape.default, (source, [prod(shape[:dim]), shape[dim], prod(shape[dim + 1 :])]))
        return call(node.target, (part, 1, *arguments(node)[2:]))
    if node.target in (aten.layer_norm.default, aten.linear.default):
        kept = len(arguments(node)[1]) if node.target is aten.layer_norm.default else 1
        rows = call(aten.reshape.default, (source, [prod(shape[: len(shape) - kept]), *shape[len(shape) - kept :]]))
        return call(node.target, (rows, *node.args[1:]), node.kwargs)
    if node.target is aten.matmul.default and shape[:-2] == (shape_of(node.args[1]) or ())[:-2]:
        pair = [call(aten.reshape.default, (n, [prod(shape[:-2]), *(shape_of(n) or ())[-2:]])) for n in node.all_input_nodes]
        return call(node.target, (pair[0], pair[-1]))
    if node.target in REDUCTIONS:
        return _reduced(node, source, shape, call)
    return _pointwise(node, call)


def _pointwise(node: Node, call: Call) -> Node | None:
    """Sides on which each operand has either one value or the result's number become one."""
    shape = shape_of(node) or ()
    shapes = {n: shape_of(n) for n in node.all_input_nodes}
    pointwise = isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags
    if not (pointwise or node.target in (aten.contiguous.default, aten.clone.default)) or any(s is None for s in shapes.values()):
        return None
    aligned = {n: (1,) * (len(shape) - len(s)) + s for n, s in shapes.items() if s is not None}
    groups = _groups(shape, [tuple(s[i] == shape[i] for s in aligned.values()) for i in range(len(shape))])
    if len(groups) > LIMIT:
        return None
    operands = {n: call(aten.reshape.default, (n, [prod(s[i] for i in group) for group in groups])) for n, s in aligned.items()}
    args, kwargs = (map_arg(given, lambda n: operands[n]) for given in (node.args, node.kwargs))
    return call(node.target, args, kwargs)


def _reduced(node: Node, source: Any, shape: Shape, call: Call) -> Node | None:
    _, dims, keep, *_ = arguments(node)
    over = {dim % len(shape) for dim in ([dims] if isinstance(dims, int) else dims or range(len(shape)))}
    groups = _groups(shape, [(side in over,) for side in range(len(shape))])
    if len(groups) > LIMIT:
        return None
    low = call(aten.reshape.default, (source, [prod(shape[i] for i in group) for group in groups]))
    places = [place for place, group in enumerate(groups) if group[0] in over]
    return call(node.target, (low, places, keep, *node.args[3:]), node.kwargs) if places else low


def _groups(shape: Shape, kinds: list[tuple[bool, ...]]) -> list[list[int]]:
    """Neighbouring sides of one kind, together; sides of one value are left out."""
    groups: list[list[int]] = []
    for side in (side for side in range(len(shape)) if shape[side] != 1):
        if groups and kinds[groups[-1][0]] == kinds[side]:
            groups[-1].append(side)
        else:
            groups.append([side])
    return groups or [[0]]


def _order(node: Node, rank: int) -> list[int]:
    if node.target is aten.permute.default:
        return [side % rank for side in node.args[1]]  # type: ignore[union-attr]
    _, first, second = arguments(node)
    order = list(range(rank))
    order[first % rank], order[second % rank] = order[second % rank], order[first % rank]
    return order


def _permuted(source: Any, shape: Shape, order: list[int], call: Call) -> Node:
    for low, step in steps(shape, order):
        source = call(aten.permute.default, (call(aten.reshape.default, (source, list(low))), list(step)))
    return source


def steps(shape: Shape, order: list[int]) -> list[tuple[Shape, Shape]]:
    """A permutation as (shape to see the tensor in, permutation of it), one after another, of at most LIMIT sides each."""
    order = [side for side in order if shape[side] != 1] or [0]
    blocks: list[list[int]] = []
    kept = sorted(order)
    for side in order:
        if blocks and kept.index(side) == kept.index(blocks[-1][-1]) + 1:
            blocks[-1].append(side)
        else:
            blocks.append([side])
    current, found = sorted(blocks), []
    if len(blocks) <= LIMIT:
        return [(tuple(prod(shape[s] for s in b) for b in current), tuple(current.index(b) for b in blocks))]
    for place, block in enumerate(blocks):
        at = current.index(block)
        if at == place:
            continue
        # before, passed, the block, behind: only the block moves, to the front of those that it passes.
        groups = [current[:place], current[place:at], [block], current[at + 1 :]]
        found.append((tuple(prod(shape[s] for b in group for s in b) for group in groups), (0, 2, 1, 3)))
        current = [*groups[0], *groups[2], *groups[1], *groups[3]]
    return found


def _join_reshapings(graph: GraphModule) -> None:
    """Reshapings read what was reshaped to many sides, which nobody then reads."""
    for node in calls(graph, *RESHAPINGS):
        source, noted = node.args[0], shape_of(node)
        shape = arguments(node)[1] if noted is None else noted  # this rewrite's own say their shape
        while isinstance(source, Node) and source.target in RESHAPINGS and len(shape_of(source) or ()) > LIMIT and not written(source):
            source = source.args[0]
        stored = constant(graph, source)
        if stored is not None and stored.ndim > LIMIT:
            replace(graph, node, constant_node(graph, node, f"{node.name}_constant", stored.reshape(shape)))
        elif source is not node.args[0]:
            with graph.graph.inserting_before(node):
                replace(graph, node, graph.graph.call_function(aten.reshape.default, (source, list(shape))))
