"""Rounding shifts what a layer gives on average; the shift is measured on calibration tiles and taken out of the layer's bias.

After Nagel et al. 2019 (arXiv 1906.04721), the empirical form: the float network and the rounded one compute side by side, layer by layer, and each layer is
corrected behind those that were corrected before it. The rounding is simulated in torch and no runtime's own: weights per output channel; where activations are
rounded too, 256 levels for what layers, sums and concatenations read and give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.utils._pytree import tree_leaves, tree_map_only

from edgekit.quantize import affine, estimator, matches, only_sums, round_weight
from edgekit.recipe import Quantize
from edgekit.rewrite.graph import arguments, aten, constant, layer_name, own_name, put

WEIGHTED: dict[Any, tuple[str, int, int]] = {
    aten.conv2d.default: ("conv2d", 0, 1),
    aten.conv_transpose2d.input: ("conv_transpose2d", 1, 1),
    aten.linear.default: ("linear", 0, -1),
}
"""Operator -> its name in recipes, the axis of its weight's output channels, and that of its result's."""

JOINING: dict[Any, str] = {aten.add.Tensor: "add", aten.cat.default: "cat"}
"""Operators of several activations that int8 files compute in int8, and their names in recipes."""

CLIPPING = (aten.relu.default, aten.hardtanh.default, aten.clamp.default)
"""Runtimes compute these together with the layer before, and round once."""

TILES = 16
"""Averages change little with more."""

PIXELS = TILES * 128 * 128
"""What all tiles together may hold: every activation is kept for all of them."""


def correct(graph: GraphModule, tiles: Sequence[tuple[Tensor, ...]], quantize: Quantize) -> int:
    """Changes the biases of those layers of an ATen graph that `quantize` rounds, in place; returns how many.

    `tiles` are calibration tiles, each as the graph takes it; if they are many, evenly spread ones are used. Raises ValueError where an activation is not finite.
    """
    area = max((t.shape[-1] * t.shape[-2] for t in tiles[0] if t.ndim == 4), default=1)
    count = min(len(tiles), TILES, max(2, PIXELS // area))
    chosen = [tiles[i * len(tiles) // count] for i in range(count)]
    run = _SideBySide(graph, quantize)
    with torch.no_grad():
        run.run(*(_Beside(list(values), list(values)) for values in zip(*chosen, strict=True)))
    for node, shift in run.shifts.items():
        _add_to_bias(graph, node, shift)
    graph.recompile()
    return len(run.shifts)


class _Beside:
    """One value of the graph, for each tile: in the float network, and in the rounded one."""

    def __init__(self, exact: list[Any], rounded: list[Any]) -> None:
        self.exact, self.rounded = exact, rounded


class _SideBySide(Interpreter):
    """`shifts`: layer -> what its output channels lack on average."""

    def __init__(self, graph: GraphModule, quantize: Quantize) -> None:
        super().__init__(graph)
        self.shifts: dict[Node, Tensor] = {}
        self._graph, self._quantize = graph, quantize

    def run_node(self, n: Node) -> Any:
        if n.op == "output":
            return None
        if n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if not any(isinstance(leaf, _Beside) for leaf in tree_leaves((args, kwargs))):
            return super().run_node(n)
        exact = self._each(n, args, kwargs, lambda value: value.exact)
        if n.target in JOINING and self._joins_int8(n):
            args = tree_map_only(_Beside, self._levels, args)
        if n.target not in WEIGHTED or not self._is_rounded(n):
            return _Beside(exact, self._each(n, args, kwargs, lambda value: value.rounded))
        _, weight_axis, axis = WEIGHTED[n.target]
        args = (self._levels(args[0]), round_weight(args[1], weight_axis), *args[2:])
        rounded = self._each(n, args, kwargs, lambda value: value.rounded)
        others = [d for d in range(exact[0].ndim) if d != axis % exact[0].ndim]
        shift = torch.stack([(e - r).double().mean(others) for e, r in zip(exact, rounded, strict=True)]).mean(0).float()
        if not shift.isfinite().all():  # rounded, a root is of less than nothing: nothing behind it can be told
            return _Beside(exact, rounded)
        self.shifts[n] = shift
        shape = [1 if d in others else -1 for d in range(exact[0].ndim)]
        result = _Beside(exact, [value + shift.view(shape) for value in rounded])
        users = list(n.users)
        return result if len(users) == 1 and users[0].target in CLIPPING else self._levels(result)

    @staticmethod
    def _each(n: Node, args: Any, kwargs: Any, side: Any) -> list[Any]:
        """The node's values for all tiles, on one side."""
        count = next(len(leaf.exact) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, _Beside))
        found = []
        for i in range(count):
            own, named = tree_map_only(_Beside, lambda value, i=i: side(value)[i], (args, kwargs))
            found.append(n.target(*own, **named))  # type: ignore[operator]
        return found

    def _is_rounded(self, n: Node) -> bool:
        """A layer that the recipe rounds, with constants for weight and bias."""
        name, kind, bias = layer_name(n), WEIGHTED[n.target][0], arguments(n)[2]
        weight = constant(self._graph, n.args[1])
        if name is None or weight is None or (only_sums(weight) if bias is None else constant(self._graph, bias) is None):
            return False
        return kind not in self._quantize.float_types and not matches(name, self._quantize.float_layers)

    def _joins_int8(self, n: Node) -> bool:
        return JOINING[n.target] not in self._quantize.float_types and len(n.all_input_nodes) > 1

    def _levels(self, value: _Beside) -> _Beside:
        """`value` on 256 levels over its float range, if the recipe rounds activations."""
        if not self._quantize.rounds_activations or not isinstance(value.exact[0], Tensor) or not value.exact[0].is_floating_point():
            return value
        span = estimator(self._quantize.estimator or "min-max", self._quantize.percentile)
        for tensor in value.exact:
            span.update(tensor)
        scale, zero = affine(*span.range())
        return _Beside(value.exact, [torch.fake_quantize_per_tensor_affine(tensor, scale, zero, -128, 127) for tensor in value.rounded])


def _add_to_bias(graph: GraphModule, node: Node, shift: Tensor) -> None:
    operands = arguments(node)
    old = constant(graph, operands[2])
    name = f"{own_name(node)}.bias"
    put(graph, name, shift if old is None else old + shift.to(old.dtype))
    with graph.graph.inserting_before(node):
        operands[2] = graph.graph.get_attr(name)
    node.args, node.kwargs = tuple(operands), {}
