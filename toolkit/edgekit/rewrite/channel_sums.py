"""Means and sums over channels become products with a constant: a 1x1 convolution of (N, C, H, W) over C, else a linear layer over the last side.

Why: XNNPACK under ExecuTorch averages over a picture's height and width only, and sums nothing; each layer normalization of NAFNet, Restormer and SwinIR takes two
means over channels. In int8 files the products stay float: quantizers know them by their equal weights (`edgekit.quantize.only_sums`).
"""

from __future__ import annotations

from math import prod

import torch
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, constant_node, dtype_of, replace, shape_of


def channel_sums(graph: GraphModule) -> int:
    """Returns the number of means and sums replaced. Means over height and width stay, with the sides of length one kept."""
    changed = 0
    for node in calls(graph, aten.mean.dim, aten.sum.dim_IntList):
        source, dims, keepdim, dtype = arguments(node)
        shape, wanted = shape_of(source), shape_of(node)
        if shape is None or wanted is None or not dims or dtype is not None or not dtype_of(source).is_floating_point:
            continue
        sides = sorted(dim % len(shape) for dim in dims)
        averages, picture = node.target is aten.mean.dim, (len(shape), sides) == (4, [2, 3])
        if picture and averages and keepdim:
            continue
        with graph.graph.inserting_before(node):
            new = _averaged(graph, source, averages, shape) if picture else _product(graph, node, source, sides, averages, shape)
            if not (keepdim and (len(shape), sides) in ((4, [1]), (4, [2, 3]), (len(shape), [len(shape) - 1]))):
                new = graph.graph.call_function(aten.reshape.default, (new, list(wanted)))
        replace(graph, node, new)
        changed += 1
    return changed


def _averaged(graph: GraphModule, source: Node, averages: bool, shape: tuple[int, ...]) -> Node:
    call = graph.graph.call_function
    mean = call(aten.mean.dim, (source, [2, 3], True))
    return mean if averages else call(aten.mul.Tensor, (mean, shape[2] * shape[3]))


def _product(graph: GraphModule, node: Node, source: Node, sides: list[int], averages: bool, shape: tuple[int, ...]) -> Node:
    """Sides other than the channels or the last are gathered there first."""
    call, rank, count = graph.graph.call_function, len(shape), prod(shape[side] for side in sides)
    weight = torch.full((1, count), 1 / count if averages else 1.0, dtype=dtype_of(source))
    if (rank, sides) == (4, [1]):
        return call(aten.conv2d.default, (source, constant_node(graph, node, f"{node.name}.weight", weight.view(1, count, 1, 1))))
    if sides != [rank - 1]:
        rest = [side for side in range(rank) if side not in sides]
        source = call(aten.permute.default, (source, [*rest, *sides]))
        source = call(aten.reshape.default, (source, [*(shape[side] for side in rest), count]))
    return call(aten.linear.default, (source, constant_node(graph, node, f"{node.name}.weight", weight)))
