"""The float network, executed beside what the file gave for the same tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.node import map_arg

from edgekit import metrics
from edgekit.layers.values import CAP_DB, LayerLoss, LayerValue, Trace

aten = torch.ops.aten

WEIGHTED: dict[Any, str] = {
    aten.conv2d.default: "conv2d",
    aten.conv2d.padding: "conv2d",
    aten.convolution.default: "conv2d",
    aten.conv_transpose2d.input: "conv_transpose2d",
    aten.linear.default: "linear",
}
"""Operators that a weight's path names -> how recipes call them."""

IDEMPOTENT = (aten.relu.default, aten.clamp.default, aten.clamp_min.default, aten.hardtanh.default, aten.relu6.default)
"""Activations that change nothing when applied a second time."""

ACTIVATIONS = (
    *IDEMPOTENT,
    aten.leaky_relu.default,
    aten.silu.default,
    aten.hardswish.default,
    aten.gelu.default,
    aten.sigmoid.default,
    aten.tanh.default,
)


def sqnr_db(expected: Tensor, given: Tensor) -> float:
    """Signal to quantization noise, dB, between -150 and 150: any shape, the same for both. -150 for what is not finite, and for noise without a signal."""
    noise = float(torch.linalg.vector_norm((given - expected).flatten(), dtype=torch.float64))
    signal = float(torch.linalg.vector_norm(expected.flatten(), dtype=torch.float64))
    if noise == 0:
        return CAP_DB
    if not math.isfinite(noise) or signal == 0:
        return -CAP_DB
    return max(-CAP_DB, min(CAP_DB, 20 * math.log10(signal / noise)))


def psnr_db(a: Tensor, b: Tensor) -> float:
    return max(-CAP_DB, metrics.psnr_db(a, b))


def layer_name(node: Node) -> str:
    """`body.0.body.0` for the operator that reads `body.0.body.0.weight`; the graph's own name (`add_3`) for one without a weight."""
    weight = node.args[1] if node.target in WEIGHTED else None
    if isinstance(weight, Node) and weight.op == "get_attr" and str(weight.target).endswith(".weight"):
        return str(weight.target).removesuffix(".weight")
    return node.name


class Seen:
    """The numbers of one layer, a value per tile."""

    def __init__(self, kind: str, position: int) -> None:
        self.kind, self.position = kind, position
        self.accumulated: list[float] = []
        self.own: list[float] = []
        self.alone: list[float] = []
        self.local: list[float] = []

    def add(self, other: Seen) -> None:
        self.accumulated += other.accumulated
        self.own += other.own
        self.alone += other.alone
        self.local += other.local

    def loss(self, name: str) -> LayerLoss:
        whole = _worst_and_mean(self.accumulated)
        assert whole[0] is not None and whole[1] is not None
        parts = *_worst_and_mean(self.own), *_worst_and_mean(self.alone)
        return LayerLoss(name, self.kind, self.position, whole[0], whole[1], *parts, local_db=_worst_and_mean(self.local)[0])


def _worst_and_mean(values: Sequence[float]) -> tuple[float | None, float | None]:
    return (round(min(values), 2), round(sum(values) / len(values), 2)) if values else (None, None)


class Walk:
    """Executes the float graph on one tile, beside what the file gave for the same tile."""

    def __init__(self, graph: GraphModule, trace: Trace, *, alone: bool) -> None:
        self._nodes = list(graph.graph.nodes)
        self._run = Interpreter(graph)
        self._alone = alone
        self._dying = _last_uses(self._nodes)
        self.seen: dict[str, Seen] = {}
        self.hidden: list[str] = []
        self._given: dict[str, LayerValue] = {}
        for value in trace.layers:
            self._given.setdefault(_next_name(self._given, value.name), value)

    def __call__(self, tile: tuple[Tensor, ...]) -> Tensor:
        """The float output, (1, C, H, W) in [0, 1]."""
        self._tile = tile
        final = self._finish({}, 0)
        env: dict[Node, Any] = {}
        # The float network on what the file gave for the layers before: what is expected next if nothing else goes wrong.
        self._mixed: dict[Node, Any] = {}
        self._replaced: dict[Node, Tensor] = {}
        self._run.args_iter = iter(tile)
        used: dict[str, None] = {}
        behind: set[Node] = set()  # activations, which are part of the layer before them
        for position, node in enumerate(self._nodes):
            env[node] = self._value(node, env)
            if not self._alone:
                self._mixed[node] = self._expected(node, env)
            if node.op == "call_function":
                name = _next_name(used, layer_name(node))
                used[name] = None
                value = self._given.get(name)
                if value is not None and node not in behind and isinstance(env[node], Tensor) and env[node].is_floating_point():
                    behind.update(self._compare(name, node, position, value, env, final))
                elif node.target in WEIGHTED:
                    self.hidden.append(name)
            for dead in self._dying.get(node, ()):
                del env[dead]
                self._mixed.pop(dead, None)
        return final

    def _expected(self, node: Node, env: dict[Node, Any]) -> Any:
        """What the float operator makes of what the file gave, or what the file gave."""
        if node in self._replaced:
            return self._replaced.pop(node)
        return self._value(node, self._mixed) if node.op in ("call_function", "output") else env[node]

    def _compare(self, name: str, node: Node, position: int, value: LayerValue, env: dict[Node, Any], final: Tensor) -> Sequence[Node]:
        """Returns the activations that were counted to the layer."""
        chain, twice = _behind(node, activated=value.activated)
        expected, given = env[node], value.output()
        if given.shape != expected.shape:
            self.hidden.append(name)
            return ()
        seen = self.seen.setdefault(name, Seen(WEIGHTED.get(node.target) or _kind(node), position))
        end = self._through(chain, expected)
        given = self._through(twice, given)
        seen.accumulated.append(sqnr_db(end, given))
        if not self._alone:
            seen.local.append(sqnr_db(self._through(chain, self._mixed[node]), given))
            if chain:
                self._replaced[chain[-1]] = given
            else:
                self._mixed[node] = given
        operands = _operands(node)
        inputs = value.inputs([tuple(env[n].shape) for n in operands])
        if inputs is None or [tuple(t.shape) for t in inputs] != [tuple(env[n].shape) for n in operands]:
            return chain
        here = self._through(chain, self._value(node, env, inputs))
        seen.own.append(sqnr_db(here, given))
        if self._alone:
            error = given - here
            branch = {**env, (chain[-1] if chain else node): end + error}
            seen.alone.append(psnr_db(final, self._finish(branch, position + 1)) if bool(error.any()) else metrics.CAP_DB)
        return chain

    def _finish(self, env: dict[Node, Any], start: int) -> Tensor:
        """The output when the operators from `start` on are executed on what `env` holds."""
        if start == 0:
            self._run.args_iter = iter(self._tile)
        for node in self._nodes[start:]:
            if node not in env:
                env[node] = self._value(node, env)
            if node.op == "output":
                break
            for dead in self._dying.get(node, ()):
                env.pop(dead, None)
        result = env[self._nodes[-1]]
        return picture(result[0] if isinstance(result, tuple | list) else result)

    def _value(self, node: Node, env: dict[Node, Any], inputs: Sequence[Tensor] | None = None) -> Any:
        """The node's value; `inputs` take the place of its computed operands."""
        if inputs is not None:
            waiting = iter(inputs)
            arguments = map_arg(node.args, lambda n: env[n] if n.op == "get_attr" else next(waiting))
            return node.target(*arguments, **map_arg(node.kwargs, env.__getitem__))  # type: ignore[operator]
        self._run.env = env
        return self._run.run_node(node)

    def _through(self, chain: Sequence[Node], value: Tensor) -> Tensor:
        for node in chain:
            value = node.target(value, *node.args[1:], **node.kwargs)  # type: ignore[operator]
        return value


def _next_name(taken: Any, name: str) -> str:
    """`name`, or `name#2` and so on where a layer is used again."""
    count = 1
    while (full := name if count == 1 else f"{name}#{count}") in taken:
        count += 1
    return full


def _last_uses(nodes: Sequence[Node]) -> dict[Node, list[Node]]:
    """Node -> the nodes that nobody reads after it."""
    last: dict[Node, Node] = {}
    for node in nodes:
        last[node] = node
        for source in node.all_input_nodes:
            last[source] = node
    dying: dict[Node, list[Node]] = {}
    for node, end in last.items():
        if node.op != "output":
            dying.setdefault(end, []).append(node)
    return dying


def _behind(node: Node, *, activated: bool) -> tuple[list[Node], list[Node]]:
    """The activations right behind a layer that are applied to the float output, and to the file's, before the two are compared."""
    chain: list[Node] = []
    while len(node.users) == 1:
        (node,) = node.users
        if node.target not in ACTIVATIONS or node.args[0] is not node.all_input_nodes[0] or any(isinstance(a, Node) for a in node.args[1:]):
            break
        if node.target not in IDEMPOTENT and (chain or not activated):
            break
        chain.append(node)
    return chain, [n for n in chain if n.target in IDEMPOTENT]


def _operands(node: Node) -> list[Node]:
    """The computed tensors that the operator reads, in order, one that is read twice twice."""
    found: list[Node] = []
    map_arg(node.args, lambda n: found.append(n) if n.op != "get_attr" else None)
    return found


def _kind(node: Node) -> str:
    return str(getattr(node.target, "__name__", node.target)).split(".")[0]


def picture(value: Tensor) -> Tensor:
    """As float32 in [0, 1]."""
    return (value.float() / 255 if value.dtype == torch.uint8 else value.float()).clamp(0, 1)
