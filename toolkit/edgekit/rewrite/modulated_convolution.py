"""A convolution whose constant weight is multiplied per picture, by a factor for each input or output channel (StyleGAN2's modulation, Karras et al. 2020),
multiplies its picture and its result instead. Sums of such a weight's squares, by which it is normalized, become sums over channels.

Why: a weight that is computed in the graph is no layer: XNNPACK leaves the convolution to the portable kernels (GFPGAN: minutes a picture), no quantizer touches
it, and the products of the whole weight are made again for every tile. A factor of a channel passes through a convolution, whose sums over pixels it shares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite import graph as nodes
from edgekit.rewrite.graph import arguments, aten, calls, constant, put, shape_of

SHAPES = (aten.view.default, aten.reshape.default, aten.unsqueeze.default, aten.squeeze.dim, aten.contiguous.default, aten.clone.default)
PRODUCTS = (aten.mul.Tensor,)


@dataclass(frozen=True)
class Modulated:
    """A stored `weight` (O, I, kh, kw), called `name`, and the nodes it is multiplied by: factors of (I,) and of (O,) values, in any shape."""

    name: str
    weight: Tensor
    inputs: tuple[Node, ...] = ()
    outputs: tuple[Node, ...] = ()


def modulated_convolution(graph: GraphModule) -> int:
    """Returns the number of convolutions that got a constant weight: those of one group and one picture."""
    changed: list[Modulated] = []
    for node in calls(graph, aten.conv2d.default):
        shape = shape_of(node.args[1])
        found = _modulated(graph, node.args[1], shape) if shape is not None and arguments(node)[6] == 1 else None
        if found is not None and (found.inputs or found.outputs):
            _plain(graph, node, found)
            changed.append(found)
    if changed:
        for node in calls(graph, aten.sum.dim_IntList):
            _sum_of_squares(graph, node)
        graph.graph.eliminate_dead_code()
        for found in changed:
            _name_as_before(graph, found)
    return len(changed)


def _modulated(graph: GraphModule, node: Any, shape: tuple[int, ...]) -> Modulated | None:
    """What the products behind `node` are, seen as a weight of `shape`; None if they are something else."""
    if not isinstance(node, Node) or _core(node, len(shape)) != shape:
        return None
    stored = constant(graph, node)
    if stored is not None:
        return Modulated(str(node.target), stored.reshape(shape))
    if node.target in SHAPES:
        return _modulated(graph, node.args[0], shape)
    if node.target not in PRODUCTS:
        return None
    for whole, factor in (node.args[:2], node.args[1::-1]):
        around = _core(factor, len(shape))
        found = _modulated(graph, whole, shape) if around is not None else None
        if found is not None and isinstance(factor, Node) and around is not None:
            if set(around[:1] + around[2:]) == {1}:
                return replace(found, inputs=(*found.inputs, factor))
            if set(around[1:]) == {1}:
                return replace(found, outputs=(*found.outputs, factor))
    return None


def _core(node: Any, rank: int) -> tuple[int, ...] | None:
    """A node's shape with `rank` sides, ones in front of it dropped or added; None if that cannot be."""
    shape = shape_of(node)
    if shape is None or any(side != 1 for side in shape[: max(0, len(shape) - rank)]):
        return None
    return (1,) * (rank - len(shape)) + shape[max(0, len(shape) - rank) :]


def _plain(graph: GraphModule, node: Node, found: Modulated) -> None:
    picture, _, bias, *settings = arguments(node)
    name = f"{found.name}_plain"
    put(graph, name, found.weight.contiguous())
    with graph.graph.inserting_before(node):
        call = graph.graph.call_function
        for factor in found.inputs:
            picture = call(aten.mul.Tensor, (picture, call(aten.reshape.default, (factor, _per_channel(factor)))))
        within = bias if not found.outputs else None
        result = call(aten.conv2d.default, (picture, graph.graph.get_attr(name), within, *settings))
        for factor in found.outputs:
            result = call(aten.mul.Tensor, (result, call(aten.reshape.default, (factor, _per_channel(factor)))))
        if bias is not None and within is None:
            result = call(aten.add.Tensor, (result, call(aten.reshape.default, (bias, [1, -1, 1, 1]))))
    nodes.replace(graph, node, result)


def _name_as_before(graph: GraphModule, found: Modulated) -> None:
    """The plain weight takes the name of the one that it was made from, where nobody reads that any more."""
    read = {str(node.target): node for node in graph.graph.nodes if node.op == "get_attr"}
    if found.name not in read and f"{found.name}_plain" in read:
        put(graph, found.name, found.weight.contiguous())
        for node in graph.graph.nodes:
            if node.op == "get_attr" and node.target == f"{found.name}_plain":
                node.target = found.name


def _per_channel(factor: Node) -> list[int]:
    shape = shape_of(factor)
    assert shape is not None
    return [1, max(shape, default=1), 1, 1]


def _sum_of_squares(graph: GraphModule, node: Node) -> None:
    """The sum over all but the output channels of a modulated weight's squares: of its constant squares over pixels, times the factors' squares."""
    squared, dims, *_ = arguments(node)
    shape = shape_of(squared)
    if shape is None or len(shape) < 4 or {d % len(shape) for d in dims} != set(range(len(shape) - 3, len(shape))):
        return
    base = squared.args[0] if squared.target is aten.pow.Tensor_Scalar and squared.args[1] == 2 else None
    if squared.target is aten.mul.Tensor and squared.args[0] is squared.args[1]:
        base = squared.args[0]
    found = _modulated(graph, base, shape[-4:]) if any(side != 1 for side in shape[-4:]) else None
    if found is None or not found.inputs or found.outputs:
        return
    name = f"{found.name}_squares"
    put(graph, name, found.weight.double().square().sum((2, 3)).to(found.weight.dtype))
    with graph.graph.inserting_before(node):
        call = graph.graph.call_function
        result = graph.graph.get_attr(name)
        for factor in found.inputs:
            flat = call(aten.reshape.default, (factor, [1, max(shape_of(factor) or (1,))]))
            result = call(aten.mul.Tensor, (result, call(aten.mul.Tensor, (flat, flat))))
        total = call(aten.sum.dim_IntList, (result, [1]))
        result = call(aten.reshape.default, (total, list(shape_of(node) or (-1,))))
    nodes.replace(graph, node, result)
