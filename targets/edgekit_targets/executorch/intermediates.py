"""What each layer gives. A `.pte` shows nothing of what XNNPACK computes inside its partitions, so the quantized graph that was lowered is made again and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from edgekit.errors import CannotRunHere
from edgekit.recipe import Quantize
from edgekit_targets.executorch import lower
from edgekit_targets.executorch.quantizer import WEIGHTED
from edgekit_targets.layer_values import Calibration, LayerValue, Trace

aten = torch.ops.aten

IDEMPOTENT = (aten.relu.default, aten.relu_.default, aten.clamp.default, aten.hardtanh.default, aten.hardtanh_.default)
ACTIVATIONS = (*IDEMPOTENT, aten.leaky_relu.default, aten.leaky_relu_.default, aten.silu.default, aten.hardswish.default)


class Intermediates:
    source = "the quantized graph before lowering, made again from the recipe and the calibration tiles, in PyTorch; not the file"
    is_file = False
    by_name: ClassVar[tuple[str, ...]] = ()
    by_type: ClassVar[tuple[str, ...]] = ()

    def __init__(self, file: Path, graph: GraphModule, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Calibration) -> None:
        """`graph` is the rewritten network, `tiles` gives what the file was calibrated with. Raises CannotRunHere for fp32 files, LoweringError."""
        if quantize is None or quantize.precision == "fp32":
            raise CannotRunHere(
                f"{file.name} shows no layer inside XNNPACK's partitions, and its graph before lowering is the network itself; "
                "only its output can be compared, as `edgekit validate` does"
            )
        self._prepared = lower.prepare(graph, example, quantize, tiles() if quantize.precision == "int8" else [])
        nodes = {node.name: node for node in self._prepared.graph.graph.nodes}
        self._layers = [_Layer(nodes[node], name) for node, name in self._prepared.names.items() if node in nodes]
        order = {node: i for i, node in enumerate(nodes.values())}
        self._layers.sort(key=lambda layer: order[layer.node])
        shown = {layer.output for layer in self._layers}
        for layer in self._layers:
            layer.inputs = [_before_rounding(source, shown) for source in layer.inputs]

    def __call__(self, tile: tuple[Tensor, ...]) -> Trace:
        """`tile`: NCHW in the file's dtype."""
        wanted = {node for layer in self._layers for node in (layer.output, *layer.inputs)}
        run = _Run(self._prepared.graph, wanted)
        with torch.no_grad():
            result = run.run(*tile)
        values = run.found
        layers = tuple(
            LayerValue(
                layer.name,
                lambda layer=layer: values[layer.output],
                lambda shapes, layer=layer: [values[source] for source in layer.inputs],
                layer.activated,
            )
            for layer in self._layers
        )
        return Trace(layers, tuple(result) if isinstance(result, tuple | list) else (result,))


class _Layer:
    def __init__(self, node: Node, name: str) -> None:
        self.node, self.name = node, name
        self.inputs: list[Node] = [
            a for a in (node.args[:1] if node.target in WEIGHTED else _flat(node.args)) if isinstance(a, Node) and a.op != "get_attr"
        ]
        self.output, self.activated = _rounded(node)


class _Run(Interpreter):
    def __init__(self, graph: GraphModule, wanted: set[Node]) -> None:
        super().__init__(graph)
        self._wanted = wanted
        self.found: dict[Node, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n in self._wanted:
            self.found[n] = value.detach().float()
        return value


def _is(node: Node, operation: str) -> bool:
    """Whether the node is quantize_per_tensor or dequantize_per_tensor, of whatever dialect."""
    return node.op == "call_function" and str(node.target).split(".")[-2:-1] == [f"{operation}_per_tensor"]


def _rounded(node: Node) -> tuple[Node, bool]:
    """Where a layer's result can be read as its readers do: behind its activation and its rounding; and whether an activation that changes what it gets twice lies
    between. The node itself if it is not rounded for all."""
    current, activated = node, False
    while True:
        users = list(current.users)
        if users and all(_is(user, "quantize") for user in users) and users[0].users:
            return next(iter(users[0].users)), activated
        if len(users) != 1 or users[0].target not in ACTIVATIONS:
            return node, False
        current = users[0]
        activated = activated or current.target not in IDEMPOTENT


def _before_rounding(source: Node, shown: set[Node]) -> Node:
    """What a layer reads, before the rounding that is done for it alone; what another layer's rounding gave it stays."""
    if not _is(source, "dequantize"):
        return source
    levels = source.all_input_nodes[0]
    copies = set(levels.users)
    if copies & shown or not _is(levels, "quantize"):
        return next(iter(copies & shown), source)
    return levels.all_input_nodes[0]


def _flat(arguments: Any) -> list[Any]:
    return [one for a in arguments for one in (_flat(a) if isinstance(a, tuple | list) else [a])]
