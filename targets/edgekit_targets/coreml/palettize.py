"""Palettized weights, decided in PyTorch on calibration tiles: the values that coremltools then stores, one table per layer.

coremltools' own k-means sees the weights only; here each layer's outputs are fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from edgekit import palette
from edgekit.errors import LoweringError
from edgekit.quantize import matches
from edgekit.recipe import Quantize

aten = torch.ops.aten

WEIGHTED = {aten.conv2d.default: "conv2d", aten.linear.default: "linear", aten.conv_transpose2d.input: "conv_transpose2d"}
"""Operator -> its name in a recipe's `float_types`."""

POSITIONS = 2048
"""Places of each tile whose inputs are taken."""

MOST_TILES = 12


@dataclass
class _Inputs:
    """Second moments and sum of what a layer read, each input a column of its weight."""

    moments: Tensor
    total: Tensor
    count: int


def palettize(graph: GraphModule, quantize: Quantize, tiles: Sequence[tuple[Tensor, ...]], bits: int, *, whole_levels: bool) -> dict[str, int]:
    """Puts the weights of an ATen graph (float32) on palettes, in place; returns layer -> bits. Biases take up what the outputs shift on average.

    `quantize.palette_bits` names other bits for some layers (the last glob that fits counts; 16 leaves a layer float), `float_layers` those to leave alone.
    `whole_levels`: centres are int8 levels of one scale per layer. Raises LoweringError if there is nothing to do or nothing to calibrate with.
    """
    if not tiles:
        raise LoweringError("coreml: palettes are fitted to calibration tiles; got none")
    chosen = _chosen(graph, quantize, bits)
    inputs = _observe(graph, [node for node in chosen if _is_plain(node)], tiles[:MOST_TILES])
    for node, layer_bits in chosen.items():
        _replace(graph, node, layer_bits, inputs.get(node), whole_levels=whole_levels)
    return {layer_of(node): layer_bits for node, layer_bits in chosen.items()}


def layer_of(node: Node) -> str:
    """`body.0.body.0` for the operator that reads `body.0.body.0.weight`."""
    return str(node.args[1].target).removesuffix(".weight")  # type: ignore[union-attr]


def _chosen(graph: GraphModule, quantize: Quantize, bits: int) -> dict[Node, int]:
    nodes = [n for n in graph.graph.nodes if n.target in WEIGHTED and isinstance(n.args[1], Node) and n.args[1].op == "get_attr"]
    names = [layer_of(node) for node in nodes]
    for glob in (*quantize.float_layers, *quantize.palette_bits):
        if not any(matches(name, [glob]) for name in names):
            raise LoweringError(f"coreml: the recipe names '{glob}', which fits no layer; layers are {', '.join(names[:6])} ...")
    chosen = {}
    for node, name in zip(nodes, names, strict=True):
        own = [n for glob, n in quantize.palette_bits.items() if matches(name, [glob])]
        layer_bits = own[-1] if own else bits
        if layer_bits < 16 and WEIGHTED[node.target] not in quantize.float_types and not matches(name, quantize.float_layers):
            chosen[node] = layer_bits
    if not chosen:
        raise LoweringError("coreml: no layer is left to palettize; shorten float_layers or palette_bits, or use the fp16 recipe")
    return chosen


def _is_plain(node: Node) -> bool:
    """A convolution or linear layer in one group: its output is its weight times a column of inputs."""
    groups = node.args[6] if node.target is aten.conv2d.default and len(node.args) > 6 else 1
    return bool(node.target in (aten.linear.default, aten.conv2d.default) and groups == 1)


def _observe(graph: GraphModule, nodes: Sequence[Node], tiles: Sequence[tuple[Tensor, ...]]) -> dict[Node, _Inputs]:
    found: dict[Node, _Inputs] = {}
    random = torch.Generator().manual_seed(0)

    class Watch(Interpreter):
        def run_node(self, n: Node) -> Any:
            if n in watched:
                columns = _columns(n, self.fetch_args_kwargs_from_env(n)[0])
                some = columns[:, torch.randperm(columns.shape[1], generator=random)[:POSITIONS]]
                old = found.setdefault(n, _Inputs(torch.zeros(len(some), len(some)), torch.zeros(len(some)), 0))
                old.moments += some @ some.T
                old.total += some.sum(1)
                old.count += some.shape[1]
            return super().run_node(n)

    watched = set(nodes)
    with torch.no_grad():
        for tile in tiles:
            Watch(graph).run(*tile)
    return found


def _columns(node: Node, arguments: Sequence[Any]) -> Tensor:
    """(inputs of one output value, positions)."""
    x, weight, *rest = arguments
    if node.target is aten.linear.default:
        return x.reshape(-1, x.shape[-1]).T
    stride, padding, dilation = (rest[i] if len(rest) > i else default for i, default in ((1, 1), (2, 0), (3, 1)))
    return F.unfold(x[:1], weight.shape[2:], dilation=dilation, padding=padding, stride=stride)[0]


def _replace(graph: GraphModule, node: Node, bits: int, inputs: _Inputs | None, *, whole_levels: bool) -> None:
    weight = str(node.args[1].target)  # type: ignore[union-attr]
    before = _stored(graph, weight)
    importance = None if inputs is None else (torch.diag(inputs.moments) / inputs.count).clamp_min(1e-12).reshape(before.shape[1:])
    centres = palette.cluster(before, bits, importance)
    if whole_levels:
        scale = centres.abs().max().clamp_min(1e-12) / 127
        centres = (centres / scale).round() * scale
    if inputs is None:
        _set(graph, weight, palette.snap(before, centres))
        return
    after = palette.fit(before.flatten(1), centres, inputs.moments).reshape(before.shape)
    _set(graph, weight, after)
    bias = node.args[2] if len(node.args) > 2 else None
    if isinstance(bias, Node) and bias.op == "get_attr":
        shift = (before - after).flatten(1) @ (inputs.total / inputs.count)
        _set(graph, str(bias.target), _stored(graph, str(bias.target)) + shift)


def _stored(graph: GraphModule, path: str) -> Tensor:
    """A parameter, or a buffer: kernels that were never trained."""
    owner, _, name = path.rpartition(".")
    return getattr(graph.get_submodule(owner), name).detach()


def _set(graph: GraphModule, path: str, value: Tensor) -> None:
    """A new parameter: the old one, or the buffer, may be the enhancer's own."""
    owner, _, name = path.rpartition(".")
    module = graph.get_submodule(owner)
    module._buffers.pop(name, None)
    setattr(module, name, nn.Parameter(value, requires_grad=False))
