"""How much each layer alone loses when it is rounded to int8: which ones to keep in float, if any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from edgekit import metrics, palette
from edgekit.quantize import affine, round_weight
from edgekit.rewrite.graph import aten, layer_name

WEIGHTED: dict[Any, int] = {aten.conv2d.default: 0, aten.conv_transpose2d.input: 1}
"""Operator -> the axis of its weight's output channels."""


@dataclass(frozen=True)
class LayerSensitivity:
    """PSNR against the float network when only this layer is rounded, in dB: of the worst tile, and the mean over the tiles."""

    layer: str
    worst_psnr_db: float
    psnr_db: float


def measure(
    graph: GraphModule,
    tiles: Sequence[tuple[Tensor, ...]],
    *,
    bits: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[LayerSensitivity]:
    """The convolutions of an ATen graph, most sensitive first.

    A layer is rounded as int8 files round it: weights per output channel, symmetric; its input and its output over their ranges on `tiles`, 256 levels.
    With `bits` only its weights change: to a palette of 2^bits values, the nearest ones.
    Names are those of recipes: `body.0.body.0` for the convolution that reads `body.0.body.0.weight`.
    """
    layers = {name: node for node in graph.graph.nodes if node.target in WEIGHTED and (name := layer_name(node))}
    ranges: dict[Node, tuple[float, float]] = {}
    watched = {node for layer in layers.values() for node in (layer, layer.all_input_nodes[0])}
    with torch.no_grad():
        floats = [_Run(graph, watch=watched, ranges=ranges)(tile) for tile in tiles]
        found = []
        for number, (name, node) in enumerate(layers.items()):
            psnr = [
                metrics.psnr_db(expected, _Run(graph, rounded=node, bits=bits, ranges=ranges)(tile))
                for expected, tile in zip(floats, tiles, strict=True)
            ]
            found.append(LayerSensitivity(name, min(psnr), sum(psnr) / len(psnr)))
            progress(number + 1, len(layers))
    return sorted(found, key=lambda s: s.worst_psnr_db)


class _Run(Interpreter):
    """Executes the graph; notes the ranges of `watch`, or rounds one node's operands and result."""

    def __init__(
        self,
        graph: GraphModule,
        *,
        ranges: dict[Node, tuple[float, float]],
        watch: set[Node] | None = None,
        rounded: Node | None = None,
        bits: int | None = None,
    ) -> None:
        super().__init__(graph)
        self._ranges, self._watch, self._rounded, self._bits = ranges, watch or set(), rounded, bits

    def __call__(self, tile: tuple[Tensor, ...]) -> Tensor:
        result = self.run(*tile)
        return (result if isinstance(result, Tensor) else result[0]).clamp(0, 1)

    def run_node(self, n: Node) -> Any:
        if n is self._rounded:
            arguments, options = self.fetch_args_kwargs_from_env(n)
            source, weight, *rest = arguments
            if self._bits:
                return n.target(source, palette.snap(weight, palette.cluster(weight, self._bits)), *rest, **options)  # type: ignore[operator]
            value = n.target(self._round(source, n.all_input_nodes[0]), round_weight(weight, WEIGHTED[n.target]), *rest, **options)  # type: ignore[operator]
            return self._round(value, n)
        value = super().run_node(n)
        if n in self._watch:
            low, high = (float(v) for v in value.aminmax())
            old = self._ranges.get(n, (0.0, 0.0))
            self._ranges[n] = (min(low, old[0]), max(high, old[1]))
        return value

    def _round(self, x: Tensor, node: Node) -> Tensor:
        scale, zero = affine(*self._ranges[node])
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, -128, 127)
