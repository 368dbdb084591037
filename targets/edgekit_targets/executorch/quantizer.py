# ruff: noqa: TID253
"""What becomes int8 in a graph for XNNPACK, and with which ranges: a PT2E quantizer on top of ExecuTorch's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
from torch import Tensor
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.observer import ObserverBase, PerChannelMinMaxObserver, PlaceholderObserver
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationConfig,
    QuantizationSpec,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from edgekit.quantize import affine, estimator, matches, only_sums, sensitive_nodes
from edgekit.recipe import Quantize

aten = torch.ops.aten

WEIGHTED: dict[Any, str] = {aten.conv2d.default: "conv2d", aten.conv_transpose2d.input: "conv_transpose2d", aten.linear.default: "linear"}
ELEMENTWISE: dict[Any, str] = {aten.add.Tensor: "add", aten.mul.Tensor: "mul", aten.cat.default: "cat"}
LAYERS = WEIGHTED | ELEMENTWISE
"""Operators that can become int8 on XNNPACK -> their names in a recipe's `float_types`."""

STATISTICAL: tuple[Any, ...] = (
    aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.rsqrt.default, aten.sqrt.default, aten.pow.Tensor_Scalar
)  # fmt: skip

PRODUCTS = (*WEIGHTED, aten.bmm.default, aten.matmul.default)

PIXELS = FixedQParamsQuantizationSpec(torch.int8, scale=1 / 255, zero_point=-128, quant_min=-128, quant_max=127, qscheme=torch.per_tensor_affine)
"""[0, 1] on the 8-bit grid: exact for pictures, and a clamp for outputs."""


def layer_name(node: Node) -> str:
    """`body.0.body.0` for the convolution that reads `body.0.body.0.weight`; the graph's own name (`add_3`) for an operator without weights."""
    weight = node.args[1] if node.target in WEIGHTED else None
    if isinstance(weight, Node) and weight.op == "get_attr":
        return str(weight.target).removesuffix(".weight")
    return node.name


def layers(graph: GraphModule) -> dict[str, Node]:
    """Layer name -> node, in execution order, of everything that can become int8 and is part of the network.

    The arithmetic that a uint8 file does on its pixels at either end is not.
    """
    edges = _picture(graph) | set(_tail(graph)) | {n for n in graph.graph.nodes if _sums(graph, n)}
    return {layer_name(n): n for n in graph.graph.nodes if n.target in LAYERS and n not in edges}


class RangeObserver(ObserverBase):
    """Makes one of edgekit's range estimators an observer of torchao's. `least` is what its levels must be at least (`levels.fit`)."""

    def __init__(self, dtype: torch.dtype, kind: Any, percentile: float, **_: Any) -> None:
        super().__init__(dtype)
        self.quant_min, self.quant_max, self.qscheme = -128, 127, torch.per_tensor_affine
        self.estimator = estimator(kind, percentile)
        self.least = 0.0

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        self.estimator.update(x)
        return x

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        scale, zero_point = affine(*self.estimator.range(), least=self.least)
        return torch.tensor([scale], dtype=torch.float32), torch.tensor([zero_point], dtype=torch.int32)


def weight_spec(axis: int = 0) -> QuantizationSpec:
    """int8 per output channel, symmetric, -127 .. 127. ExecuTorch's own config bounds the scale below by 2^-12, which costs bits in every channel whose
    weights all lie under 0.031; this one does not."""
    ctr = PerChannelMinMaxObserver.with_args(eps=torch.finfo(torch.float32).eps)
    return QuantizationSpec(torch.int8, ctr, -127, 127, torch.per_channel_symmetric, ch_axis=axis)


class StaticQuantizer(XNNPACKQuantizer):
    """ExecuTorch's XNNPACKQuantizer with edgekit's estimators, layers exempted by name or type, and exact 8-bit pictures at both ends."""

    def __init__(self, quantize: Quantize, default: str) -> None:
        super().__init__()
        ctr = RangeObserver.with_args(kind=quantize.estimator or default, percentile=quantize.percentile)
        activation = QuantizationSpec(torch.int8, ctr, -128, 127, torch.per_tensor_affine)
        self.set_global(QuantizationConfig(activation, activation, weight_spec(), None))
        self._quantize = quantize

    def annotate(self, model: GraphModule) -> GraphModule:
        wanted = set(layers(model).values()) - in_float(model, self._quantize)
        self.set_filter_function(lambda node: node.target not in LAYERS or node in wanted)
        model = super().annotate(model)
        for node in model.graph.nodes:
            # `mean` would inherit its input's range, which is far too coarse for it (InstanceNorm loses 15 dB); `cat` ignores the filter.
            if node.target in (aten.mean.dim, aten.mean.default) or (node.target in LAYERS and node not in wanted) or _shares_with_float(node):
                node.meta.pop(Q_ANNOTATION_KEY, None)
        picture = _picture(model)
        for node in model.graph.nodes:
            annotation = node.meta.get(Q_ANNOTATION_KEY)
            if annotation is not None:
                for source, spec in annotation.input_qspec_map.items():
                    if source in picture and isinstance(spec, QuantizationSpec):
                        annotation.input_qspec_map[source] = PIXELS
        self._pin_output(model)
        return model

    @staticmethod
    def _pin_output(model: GraphModule) -> None:
        """The last layer writes [0, 1] on the 8-bit grid, which is what the clamp behind it does; the clamp and the shuffle stay int8."""
        for node in _tail(model):
            producer = node.args[0]
            if not _is_clamp(node) or not isinstance(producer, Node) or len(producer.users) != 1:
                continue
            annotation = producer.meta.get(Q_ANNOTATION_KEY)
            if annotation is not None and isinstance(annotation.output_qspec, QuantizationSpec):
                annotation.output_qspec = PIXELS
                node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation({producer: PIXELS}, PIXELS, _annotated=True)


class DynamicQuantizer(XNNPACKQuantizer):
    """int8 weights, activations quantized at run time: the convolutions that XNNPACK runs that way.

    Lowering takes more than the runtime does: a convolution fed by a shuffle, slice, view, pad or normalization lowers and then fails to execute; depthwise
    and transposed ones are not covered, nor those of one input channel, which XNNPACK takes for depthwise. Of several that read one tensor the first is int8:
    SPAN, with four such pairs, loads and does not run. Neither does one that reads arithmetic on shuffled pixels.
    """

    FRAGILE = (aten.pixel_shuffle.default, aten.view.default, aten.reshape.default, aten.slice.Tensor, aten.instance_norm.default, aten.cat.default,
               aten.permute.default, aten.mean.dim, aten.constant_pad_nd.default)  # fmt: skip
    ACTIVATIONS = (aten.relu.default, aten.relu_.default, aten.leaky_relu.default, aten.leaky_relu_.default, aten.clamp.default, aten.clamp_.default,
                   aten.hardtanh.default, aten.hardtanh_.default)  # fmt: skip

    def __init__(self, quantize: Quantize) -> None:
        super().__init__()
        self._quantize = quantize

    def annotate(self, model: GraphModule) -> GraphModule:
        activation = QuantizationSpec(
            torch.int8,
            PlaceholderObserver.with_args(eps=2**-12),  # type: ignore[arg-type]
            -128,
            127,
            torch.per_tensor_affine,
            is_dynamic=True,
        )
        exempt = exempted(model, self._quantize)
        read: set[Node] = set()
        for node in layers(model).values():
            if node.target is aten.conv2d.default and node not in exempt and not self._fragile(node) and node.args[0] not in read:
                source, weight, *bias = node.all_input_nodes
                read.add(source)
                specs: dict[Node, Any] = {source: activation, weight: weight_spec(), **dict.fromkeys(bias)}
                node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(specs, None, _annotated=True)
        return model

    def _fragile(self, conv: Node) -> bool:
        groups = conv.args[6] if len(conv.args) > 6 else 1
        source, weight = conv.all_input_nodes[:2]
        shuffled = _reads_shuffled(source)
        while source.target in self.ACTIVATIONS:
            source = source.all_input_nodes[0]
        return bool(groups != 1) or weight.meta["val"].shape[1] == 1 or shuffled or source.target in self.FRAGILE


def _reads_shuffled(node: Node) -> bool:
    """Whether there is a pixel shuffle between the node and the nearest layers before it."""
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        if node.target is aten.pixel_shuffle.default:
            return True
        if node not in seen and node.target not in WEIGHTED:
            seen.add(node)
            waiting += node.all_input_nodes
    return False


def _shares_with_float(node: Node) -> bool:
    """Whether the levels of this operator, which only moves values, would be those of a result that stays float."""
    annotation = node.meta.get(Q_ANNOTATION_KEY)
    shared = annotation.output_qspec if annotation is not None else None
    return isinstance(shared, SharedQuantizationSpec) and isinstance(shared.edge_or_node, Node) and Q_ANNOTATION_KEY not in shared.edge_or_node.meta


def statistics(graph: GraphModule) -> set[Node]:
    """The arithmetic of normalizations that are written out (mean, subtraction, square, rsqrt, gain, offset), and of exponentials: 256 levels are far too few
    for it. A style network's instance normalizations lose 7 dB of 42 in int8, for nothing: XNNPACK runs them as fast in float."""
    found: set[Node] = set()
    for node in graph.graph.nodes:
        computed = [n for n in node.all_input_nodes if n.op != "get_attr"]
        averages = node.target is aten.mean.dim or _sums(graph, node)
        centres = node.target is aten.sub.Tensor and any(n.target is aten.mean.dim or _sums(graph, n) for n in computed)
        squares = node.target is aten.mul.Tensor and node.args[0] is node.args[1]
        powers = node.target is aten.exp.default
        if averages or centres or squares or powers or (node.target in STATISTICAL and computed and all(n in found for n in computed)):
            found.add(node)
    return found


def sensitive(graph: GraphModule) -> set[Node]:
    """The arithmetic around divisions, roots and angles that no layer reads or none writes: `edgekit.quantize.sensitive_nodes`."""
    return sensitive_nodes(graph, {n for n in graph.graph.nodes if n.target in PRODUCTS and not _sums(graph, n)})


def in_float(graph: GraphModule, quantize: Quantize) -> set[Node]:
    """What static int8 leaves in float: what the recipe asks for, and what 256 levels are too few for. Raises ValueError as `exempted` does."""
    return exempted(graph, quantize) | statistics(graph) | sensitive(graph)


def _sums(graph: GraphModule, node: Node) -> bool:
    """Whether this is a mean or a sum that `edgekit.rewrite.channel_sums` wrote as a product."""
    if node.target not in (aten.conv2d.default, aten.linear.default) or len(node.args) != 2:
        return False
    weight = node.args[1]
    if not isinstance(weight, Node) or weight.op != "get_attr":
        return False
    owner, _, name = str(weight.target).rpartition(".")
    value = getattr(graph.get_submodule(owner), name)
    return only_sums(value)


def exempted(graph: GraphModule, quantize: Quantize) -> set[Node]:
    """The layers a recipe keeps in float. Raises ValueError naming a glob or type that fits no layer."""
    found = layers(graph)
    for glob in quantize.float_layers:
        if not any(matches(name, (glob,)) for name in found):
            raise ValueError(f"float_layers: '{glob}' fits no layer; layers are {_few(found)}")
    types = {LAYERS[n.target] for n in found.values()}
    for kind in quantize.float_types:
        if kind not in types:
            raise ValueError(f"float_types: no layer is of type '{kind}'; types are {', '.join(sorted(types))}")
    return {n for name, n in found.items() if matches(name, quantize.float_layers) or LAYERS[n.target] in quantize.float_types}


def _few(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, Node) and value.op == "get_attr")


def _is_clamp(node: Node) -> bool:
    return node.target is aten.clamp.default and tuple(node.args[1:3]) == (0.0, 1.0)


CASTS = (aten.to.dtype, aten._to_copy.default)


def _picture(graph: GraphModule) -> set[Node]:
    """Nodes that hold an input picture, scaled to [0, 1]: the float input itself or uint8 / 255, and the same with a channel of ones or a border added."""
    held: set[Node] = set()
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            held.add(node)
        elif node.args and node.args[0] in held:
            pads = node.target is aten.constant_pad_nd.default and (len(node.args) < 3 or node.args[2] in (0, 1))
            scales = node.target is aten.mul.Tensor and node.args[0].target in CASTS and _is_number(node.args[1])
            if pads or scales or node.target in CASTS:
                held.add(node)
    return held


def _tail(graph: GraphModule) -> list[Node]:
    """From the outputs backwards, everything behind the last layer: rounding and casts of a uint8 file, shuffles, the clamp to [0, 1]."""
    passed: tuple[Callable[..., Any], ...] = (*CASTS, aten.clamp.default, aten.pixel_shuffle.default, aten.view.default, aten.permute.default)
    nodes: list[Node] = []
    waiting = list(graph.graph.output_node().all_input_nodes)
    rounds = any(n.target in CASTS for n in waiting)
    while waiting:
        node = waiting.pop()
        if node.target in passed or (rounds and node.target in (aten.mul.Tensor, aten.add.Tensor) and _is_number(node.args[1])):
            nodes.append(node)
            if not _is_clamp(node):
                waiting.extend(node.all_input_nodes[:1])
    return nodes
