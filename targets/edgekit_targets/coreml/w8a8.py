"""int8 weights and activations, decided in PyTorch: quantize / dequantize operators that coremltools translates one to one.

coremltools' own activation calibration predicts and so needs a Mac; ExecuTorch's CoreMLQuantizer works here but takes a minute to trace its patterns,
whatever the network, and offers two of our estimators. The operators and their placement are the same as its: around convolutions and residual
additions, activations int8 per tensor (uint8 where a ReLU, a clamp or the picture itself says that nothing is negative), weights int8 per output channel,
all without zero points. That one writes signed activations as uint8 around 128, which coremltools turns into int8 around 0 where they have one reader only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from edgekit.errors import LoweringError
from edgekit.quantize import RangeEstimator, estimator, matches, sensitive_nodes
from edgekit.recipe import Estimator, Quantize

aten = torch.ops.aten
quantized_ops = torch.ops.quantized_decomposed

DEFAULT_ESTIMATOR: Estimator = "min-max"
WEIGHTED = (aten.conv2d.default, aten.linear.default, aten.conv_transpose2d.input)
INT8 = (aten.conv2d.default, aten.linear.default)
"""Transposed convolutions stay float: Core ML fuses no quantized ones."""

ACTIVATIONS = (aten.relu.default, aten.relu_.default, aten.leaky_relu.default, aten.silu.default, aten.hardswish.default, aten.hardtanh.default)
"""Fused with the convolution before them; the quantize operator stands behind."""

LEVELS = (quantized_ops.quantize_per_tensor.default, quantized_ops.dequantize_per_tensor.default)
"""From float to levels and back."""
WEIGHT_LEVELS = quantized_ops.dequantize_per_channel.default

FLOAT_TYPES = {
    "conv2d": aten.conv2d.default,
    "conv_transpose2d": aten.conv_transpose2d.input,
    "linear": aten.linear.default,
    "add": aten.add.Tensor,
}


@dataclass(frozen=True)
class Quantized:
    graph: GraphModule
    layers: tuple[str, ...]
    estimator: Estimator
    tiles: int
    ranges: dict[str, tuple[float, float]]
    """Of each layer's output, its activation included."""


def quantize(graph: GraphModule, quantize: Quantize, tiles: Sequence[tuple[Tensor, ...]], *, weights: bool = True) -> Quantized:
    """Changes `graph` (ATen operators, float32) in place; without `weights` only the activations.

    Raises LoweringError if there is nothing to quantize or nothing to calibrate with."""
    if not tiles:
        raise LoweringError("coreml: int8 needs calibration tiles; got none")
    chosen = _chosen(graph, quantize)
    kind = quantize.estimator or DEFAULT_ESTIMATOR
    tensors: dict[Node, None] = {}
    for node in chosen:
        tensors |= dict.fromkeys(n for n in (node.args[:1] if node.target in INT8 else node.args[:2]) if isinstance(n, Node))
        tensors[_fused(node)] = None
    bounds = _bounds(graph)
    ranges = _calibrate(graph, [t for t in tensors if t not in bounds], quantize, kind, tiles)
    for tensor in tensors:
        _quantize_activation(graph, tensor, *bounds.get(tensor, ranges.get(tensor, (0.0, 0.0))), known=tensor in bounds or _is_never_negative(tensor))
    layers = [node for node in chosen if node.target in INT8]
    names = [_layer(node) for node in layers]
    outputs = {_layer(node): bounds.get(tensor := _fused(node)) or ranges.get(tensor) for node in layers}
    for node in layers if weights else ():
        _quantize_weight(graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return Quantized(graph, tuple(names), kind, min(len(tiles), quantize.tiles), {name: found for name, found in outputs.items() if found})


def _layer(node: Node) -> str:
    """`body.0.body.0` for the convolution that reads `body.0.body.0.weight`; the node's name if it has no stored weight."""
    weight = node.args[1] if len(node.args) > 1 else None
    return str(weight.target).removesuffix(".weight") if isinstance(weight, Node) and weight.op == "get_attr" else node.name


def _chosen(graph: GraphModule, quantize: Quantize) -> list[Node]:
    """Convolutions, linear layers and residual additions that the recipe does not exempt, and of which 256 levels do not make too little."""
    for name in quantize.float_types:
        if name not in FLOAT_TYPES:
            raise LoweringError(f"coreml: float_types has '{name}'; expected some of {', '.join(FLOAT_TYPES)}")
    exempt = {FLOAT_TYPES[name] for name in quantize.float_types}
    arithmetic = sensitive_nodes(graph, {n for n in graph.graph.nodes if n.target in (*WEIGHTED, aten.bmm.default, aten.matmul.default)})
    candidates = [n for n in graph.graph.nodes if n not in arithmetic and ((n.target in INT8 and n.args[1].op == "get_attr") or _is_residual(n))]
    for glob in quantize.float_layers:
        if not any(matches(_layer(node), [glob]) for node in graph.graph.nodes if node.target in (*WEIGHTED, aten.add.Tensor)):
            names = [_layer(node) for node in candidates]
            raise LoweringError(f"coreml: float_layers has '{glob}', which fits no layer; layers are {', '.join(names[:6])} ...")
    chosen = [n for n in candidates if n.target not in exempt and not matches(_layer(n), quantize.float_layers)]
    if not any(node.target in INT8 for node in chosen):
        raise LoweringError("coreml: no layer is left to quantize; shorten float_layers or float_types, or use the fp16 recipe")
    return chosen


def _is_residual(node: Node) -> bool:
    """An addition of two computed tensors of one shape."""
    if node.target is not aten.add.Tensor or len(node.args) != 2:
        return False
    shapes = [n.meta["val"].shape for n in node.args if isinstance(n, Node) and n.op != "get_attr"]
    return len(shapes) == 2 and shapes[0] == shapes[1]


def _only_user(node: Node) -> Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def _fused(node: Node) -> Node:
    """The node whose output is the operator's: its activation's if one follows."""
    user = _only_user(node)
    return user if user is not None and user.target in ACTIVATIONS else node


def _is_never_negative(node: Node) -> bool:
    return node.target in (aten.relu.default, aten.relu_.default)


def _bounds(graph: GraphModule) -> dict[Node, tuple[float, float]]:
    """Ranges that follow from the graph alone: the picture's [0, 1], its padding, and what a clamp right behind a node leaves of it."""
    found: dict[Node, tuple[float, float]] = {}
    for node in graph.graph.nodes:
        source = found.get(node.args[0]) if node.args and isinstance(node.args[0], Node) else None
        if node.op == "placeholder":
            found[node] = (0.0, 1.0)
        elif node.target is aten.constant_pad_nd.default and source is not None:
            fill = float(node.args[2]) if len(node.args) > 2 else 0.0
            found[node] = (min(source[0], fill), max(source[1], fill))
        elif node.target is aten.clamp.default and len(node.args) == 3 and None not in node.args:
            low, high = float(node.args[1]), float(node.args[2])
            if low <= 0 <= high:
                found[node] = (low, high)
                if isinstance(node.args[0], Node) and _only_user(node.args[0]) is node:
                    found[node.args[0]] = (low, high)
    return found


def _calibrate(
    graph: GraphModule, tensors: Sequence[Node], quantize: Quantize, kind: Estimator, tiles: Sequence[tuple[Tensor, ...]]
) -> dict[Node, tuple[float, float]]:
    estimators: dict[Node, RangeEstimator] = {tensor: estimator(kind, quantize.percentile) for tensor in tensors}

    class Watch(Interpreter):
        def run_node(self, n: Node) -> Any:
            value = super().run_node(n)
            if n in estimators:
                try:
                    estimators[n].update(value)
                except ValueError as error:
                    raise LoweringError(f"coreml: calibrating '{n.name}': {error}") from error
            return value

    with torch.no_grad():
        for tile in tiles[: quantize.tiles]:
            Watch(graph).run(*tile)
    return {tensor: estimators[tensor].range() for tensor in tensors}


def _quantize_activation(graph: GraphModule, tensor: Node, low: float, high: float, *, known: bool) -> None:
    """tensor -> quantize -> one dequantize per reader, the pattern that Core ML's int8 kernels are matched by."""
    is_unsigned = known and low >= 0
    scale = max(high, 1e-6) / 255 if is_unsigned else max(-low, high, 1e-6) / 127
    readers = list(tensor.users)
    arguments = (scale, 0, 0, 255, torch.uint8) if is_unsigned else (scale, 0, -128, 127, torch.int8)
    with graph.graph.inserting_after(tensor):
        levels = graph.graph.call_function(quantized_ops.quantize_per_tensor.default, (tensor, *arguments))
    for reader in readers:
        with graph.graph.inserting_before(reader):
            value = graph.graph.call_function(quantized_ops.dequantize_per_tensor.default, (levels, *arguments))
        reader.replace_input_with(tensor, value)


def _quantize_weight(graph: GraphModule, node: Node) -> None:
    """Replaces the float weight by int8 levels and a scale per output channel (dimension 0 of both kinds)."""
    source = node.args[1]
    assert isinstance(source, Node)
    path, _, name = str(source.target).rpartition(".")
    owner: nn.Module = graph.get_submodule(path)
    weight: Tensor = getattr(owner, name).detach()
    scale = weight.abs().flatten(1).amax(1).clamp(min=1e-12) / 127
    levels = (weight / scale.view(-1, *[1] * (weight.dim() - 1))).round().clamp(-127, 127).to(torch.int8)
    parts = {f"{name}_int8": levels, f"{name}_scale": scale, f"{name}_zero": torch.zeros_like(scale, dtype=torch.int64)}
    for part, value in parts.items():
        owner.register_buffer(part, value)
    with graph.graph.inserting_before(node):
        stored = [graph.graph.get_attr(f"{path}.{part}" if path else part) for part in parts]
        value = graph.graph.call_function(quantized_ops.dequantize_per_channel.default, (*stored, 0, -128, 127, torch.int8))
    node.replace_input_with(source, value)
    if not source.users:
        graph.graph.erase_node(source)
        delattr(owner, name)
