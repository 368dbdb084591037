"""Parallel convolutions of one input whose results are added become one: 3x3 + 1x1 + identity, as re-parameterized networks are trained (RepVGG, Ding et al. 2021,
arXiv 2101.03697; ACNet 1x3 + 3x1; a scaled skip).

Why: the branches multiply the work and the memory traffic of a layer, and an integer file rounds each of them and each sum.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import Conv, aten, conv_of, only_user, per_channel, repeat, replace_conv, shape_of
from edgekit.rewrite.neighbours import product, shift


def merge_branches(graph: GraphModule) -> int:
    """Returns the number of branches that went into another. Convolutions merge if one kernel covers the other at the same stride and the one convolution costs
    no more multiplications than the two."""
    return repeat(graph, merge_one)


def merge_one(graph: GraphModule) -> bool:
    """Merges one pair of branches; False if there is none."""
    for node in graph.graph.nodes:
        if not _is_sum(node) or any(_is_sum(user) and only_user(node) is user for user in node.users):
            continue
        leaves = list(_leaves(node))
        for target in leaves:
            for other in leaves:
                if other is not target and _merge(graph, target, other):
                    return True
    return False


def _is_sum(node: Any) -> bool:
    return bool(
        isinstance(node, Node)
        and node.target is aten.add.Tensor
        and node.kwargs.get("alpha", 1) == 1
        and all(isinstance(a, Node) and shape_of(a) == shape_of(node) for a in node.args)
    )


def _leaves(total: Node) -> list[tuple[Node, Node]]:
    """(summand, the addition that reads it) of a tree of additions."""
    found: list[tuple[Node, Node]] = []
    for operand in total.args:
        assert isinstance(operand, Node)
        found += _leaves(operand) if _is_sum(operand) and only_user(operand) is total else [(operand, total)]
    return found


def _merge(graph: GraphModule, target: tuple[Node, Node], other: tuple[Node, Node]) -> bool:
    into = conv_of(graph, target[0])
    if into is None or only_user(into.node) is not target[1]:
        return False
    branch = _branch(graph, other, into)
    if branch is None or (branch.groups != into.groups and 1 not in (branch.groups, into.groups)):
        return False
    groups = gcd(branch.groups, into.groups)
    weight, small = dense(into.weight, into.groups, groups), dense(branch.weight, branch.groups, groups)
    place = _place(branch, into)
    # An identity multiplies nothing.
    cost = into.weight.numel() + (branch.weight.numel() if branch.node is other[0] else 0)
    if place is None or branch.stride != into.stride or weight.numel() > cost:
        return False
    y, x = place
    merged = weight.clone()
    merged[:, :, y : y + small.shape[2], x : x + small.shape[3]] += small
    summand, total = other
    rest = total.args[1] if total.args[0] is summand else total.args[0]
    new = replace_conv(graph, Conv(**{**vars(into), "groups": groups}), merged, into.bias + branch.bias)
    assert isinstance(rest, Node)
    total.replace_all_uses_with(new if rest is into.node else rest)
    graph.graph.erase_node(total)
    graph.graph.eliminate_dead_code()
    return True


def _branch(graph: GraphModule, other: tuple[Node, Node], into: Conv) -> Conv | None:
    """The other summand as a convolution of what `into` reads: a convolution, that input itself, or that input times a factor plus an
    offset per channel."""
    summand, total = other
    source = into.node.args[0]
    conv = conv_of(graph, summand)
    if conv is not None:
        return conv if conv.node.args[0] is source and only_user(conv.node) is total else None
    scale, offset = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    inner, reader = summand, total
    for read, step in ((shift, "offset"), (product, "scale")):
        found = read(graph, inner)
        if found is not None and inner is not source and only_user(inner) is reader:
            inner, reader = found[0], inner
            scale, offset = (found[1], offset) if step == "scale" else (scale, found[1])
    factors, offsets = per_channel(scale, into.channels), per_channel(offset, into.channels)
    size = into.weight.shape[1]
    if inner is not source or factors is None or offsets is None or size * into.groups != into.channels:
        return None
    weight = (torch.eye(size, dtype=torch.float64).repeat(into.groups, 1) * factors.view(-1, 1)).view(into.channels, size, 1, 1)
    return Conv(total, weight, offsets, (1, 1), (0, 0), (1, 1), into.groups)


def _place(small: Conv, large: Conv) -> tuple[int, int] | None:
    """Where the small kernel's first weight lies in the large kernel; None if it does not fit there."""
    place = []
    for axis in (0, 1):
        gap, step, taps = large.padding[axis] - small.padding[axis], large.dilation[axis], small.weight.shape[2 + axis]
        fits = taps == 1 or small.dilation[axis] == step
        if not fits or gap % step or not 0 <= gap // step <= large.weight.shape[2 + axis] - taps:
            return None
        place.append(gap // step)
    return place[0], place[1]


def dense(weight: Tensor, groups: int, wanted: int) -> Tensor:
    """A grouped weight (O, I/groups, kh, kw) as one of fewer groups, zero between them."""
    if groups == wanted:
        return weight
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    per_block = groups // wanted
    full = weight.new_zeros(weight.shape[0], inputs * per_block, *weight.shape[2:])
    for group in range(groups):
        rows, first = slice(group * outputs, (group + 1) * outputs), group % per_block * inputs
        full[rows, first : first + inputs] = weight[rows]
    return full
