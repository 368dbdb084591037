"""int8 by ONNX Runtime's quantizers, with the activation ranges of `edgekit.quantize`."""

# ruff: noqa: TID253
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from torch import Tensor

from edgekit.errors import LoweringError
from edgekit.quantize import RangeEstimator, comparing, estimator, matches, sensitive_arithmetic
from edgekit.recipe import Estimator, Quantize
from edgekit_targets.onnx import graphs
from edgekit_targets.onnx.host import session_options

DEFAULT_ESTIMATOR: Estimator = "min-max"

FLOAT_TYPES = {
    "conv2d": ("Conv",),
    "conv_transpose2d": ("ConvTranspose",),
    "linear": ("Gemm", "MatMul"),
    "add": ("Add",),
    "mul": ("Mul",),
    "relu": ("Relu",),
    "clamp": ("Clip",),
    "cat": ("Concat",),
    "pixel_shuffle": ("DepthToSpace",),
    "max_pool2d": ("MaxPool",),
}
"""A recipe's `float_types` -> ONNX operators. Multiplications are float in any case."""

STATIC = (*graphs.WEIGHTED, "Add", "Relu", "Clip", "Concat", "MaxPool", "DepthToSpace")
"""What ONNX Runtime's CPU computes in int8 between quantized neighbours. Multiplications, means and norms stay float: their ranges ruin an image."""

SENSITIVE = (
    "Reciprocal", "Sqrt", "ReduceL2", "Log", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Mod", "Floor",
    "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual",
)  # fmt: skip
"""Operators that make much of little, besides divisions by what is computed and powers: see `edgekit.quantize.sensitive_arithmetic`."""


@dataclass(frozen=True)
class Quantized:
    """`quantized` and `kept_float`: layers that have a weight."""

    model: ModelProto
    quantized: tuple[str, ...]
    kept_float: tuple[str, ...]
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Of each quantized layer's output, in static int8."""


def static(model: ModelProto, quantize: Quantize, tiles: Sequence[tuple[Tensor, ...]], *, symmetric: bool) -> Quantized:
    """QuantizeLinear / DequantizeLinear pairs around what can compute in int8, int8 weights per output channel, activations per tensor.

    Asymmetric (ONNX Runtime): uint8 activations, int32 biases. Symmetric (TensorRT): int8 activations with zero point 0, float biases, pairs only at the
    inputs of weighted operators, as TensorRT's placement advice has it. Raises LoweringError if nothing was quantized.
    """
    if not tiles:
        raise LoweringError("onnx: static int8 needs calibration tiles; got none")
    types = graphs.WEIGHTED if symmetric else STATIC
    nodes = _chosen(model, types, quantize)
    names = {name for node in nodes for name in (*node.input, *node.output)}
    ranges = activation_ranges(model, names, quantize, tiles)
    extra = {"ActivationSymmetric": symmetric, "WeightSymmetric": True}
    if symmetric:
        extra |= {"QuantizeBias": False, "OpTypesToExcludeOutputQuantization": list(types)}
    quantizer = QDQQuantizer(
        _copy(model),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, {k: (np.float32(lo), np.float32(hi)) for k, (lo, hi) in ranges.items()}),
        nodes_to_quantize=[node.name for node in nodes],
        nodes_to_exclude=[],
        op_types_to_quantize=list(types),
        extra_options=extra,
    )
    quantizer.quantize_model()
    _read_unrounded(quantizer.model.model, _sensitive(model), {name for node in nodes for name in node.output})
    if not symmetric:
        _shield(quantizer.model.model)
    quantizer.model.topological_sort()
    result, known = _checked(model, quantizer.model.model), graphs.constants(model)
    outputs = {graphs.layer(node, known): node.output[0] for node in nodes if node.op_type in graphs.WEIGHTED}
    return replace(result, ranges={layer: ranges[tensor] for layer, tensor in outputs.items() if tensor in ranges and layer in result.quantized})


def dynamic(model: ModelProto, quantize: Quantize) -> Quantized:
    """uint8 weights; each convolution finds its input's range when it runs (DynamicQuantizeLinear, ConvInteger). Raises LoweringError if nothing changed."""
    types = ("Conv", "MatMul")
    nodes = _chosen(model, types, quantize)
    with TemporaryDirectory() as folder:  # the quantizer can only write to a file
        path = Path(folder) / "dynamic.onnx"
        names = [node.name for node in nodes]
        quantize_dynamic(
            _without_shapes_of_constants(model), path, op_types_to_quantize=list(types), weight_type=QuantType.QUInt8, nodes_to_quantize=names
        )
        result = onnx.load(path)
    known = graphs.constants(model)
    done = {node.name.removesuffix("_quant") for node in result.graph.node if node.op_type in ("ConvInteger", "MatMulInteger")}
    weighted = [(node.name, graphs.layer(node, known)) for node in model.graph.node if node.op_type in graphs.WEIGHTED]
    quantized = tuple(layer for name, layer in weighted if name in done)
    if not quantized:
        raise LoweringError("onnx: dynamic quantization left every convolution in float; nothing was quantized")
    return Quantized(result, quantized, tuple(layer for name, layer in weighted if name not in done))


def _without_shapes_of_constants(model: ModelProto) -> ModelProto:
    """A copy. quantize_dynamic turns the weights of a linear layer (Gemm) around and then stumbles over the shapes that were told (ONNX Runtime 1.31)."""
    copy, constants = _copy(model), {constant.name for constant in model.graph.initializer}
    told = [value for value in copy.graph.value_info if value.name not in constants]
    del copy.graph.value_info[:]
    copy.graph.value_info.extend(told)
    return copy


def refuse_float_layers(quantize: Quantize) -> None:
    """Raises LoweringError if the recipe exempts layers where the precision holds for the whole graph."""
    if quantize.float_layers or quantize.float_types:
        raise LoweringError(f"onnx: {quantize.precision} converts the whole graph; float_layers and float_types do not apply: leave them out")


def activation_ranges(model: ModelProto, names: set[str], quantize: Quantize, tiles: Sequence[tuple[Tensor, ...]]) -> dict[str, tuple[float, float]]:
    """Tensor name -> (lo, hi) over the first `quantize.tiles` calibration tiles, for every float activation of `names`.

    What the graph itself bounds (the picture in [0, 1], its padding, a clamp) is taken as it is: pictures of the calibration set need not touch both ends.
    """
    bounded = _bounds(model)
    floats = {v.name for v in (*model.graph.value_info, *model.graph.input, *model.graph.output) if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    wanted = sorted((names & floats) - set(graphs.constants(model)) - set(bounded))
    estimators: dict[str, RangeEstimator] = {name: estimator(quantize.estimator or DEFAULT_ESTIMATOR, quantize.percentile) for name in wanted}
    probe = _copy(model)
    existing = {output.name for output in probe.graph.output}
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in wanted if name not in existing)
    options = session_options(torch.get_num_threads())
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = [i.name for i in session.get_inputs()]
    for tile in tiles[: quantize.tiles]:
        values = session.run(wanted, {name: t.numpy() for name, t in zip(inputs, tile, strict=True)})
        for name, value in zip(wanted, values, strict=True):
            try:
                estimators[name].update(torch.from_numpy(value))
            except ValueError as error:
                raise LoweringError(f"onnx: calibrating '{name}': {error}") from error
    return {name: bounded.get(name) or estimators[name].range() for name in sorted(names) if name in bounded or name in estimators}


def _bounds(model: ModelProto) -> dict[str, tuple[float, float]]:
    """Ranges that follow from the graph alone, by tensor name: from the pictures through casts, constant factors and padding, and from clamps on."""
    known = graphs.constants(model)
    ranges: dict[str, tuple[float, float]] = {}
    for value in model.graph.input:
        ranges[value.name] = (0.0, 255.0) if value.type.tensor_type.elem_type == TensorProto.UINT8 else (0.0, 1.0)
    for node in model.graph.node:
        source = ranges.get(node.input[0]) if node.input else None
        others = [graphs.scalar(known.get(name)) for name in node.input[1:]]
        if node.op_type == "Clip" and len(others) == 2 and None not in others:
            ranges[node.output[0]] = (min(0.0, float(others[0] or 0)), max(0.0, float(others[1] or 0)))
        elif source is None:
            continue
        elif node.op_type in ("Cast", "DepthToSpace", "SpaceToDepth", "Reshape", "Transpose", "Identity"):
            ranges[node.output[0]] = source
        elif node.op_type == "Mul" and others[0] is not None and others[0] > 0:
            ranges[node.output[0]] = (source[0] * others[0], source[1] * others[0])
        elif node.op_type == "Pad":
            fill = others[1] if len(others) > 1 and others[1] is not None else 0.0
            ranges[node.output[0]] = (min(source[0], fill), max(source[1], fill))
    return ranges


def _sensitive(model: ModelProto) -> set[str]:
    """The tensors around divisions, roots and angles that no layer reads or none writes, and what is only compared. A power of two or three is a product, no
    sensitive one."""
    known, kinds = graphs.constants(model), {name: node for node in model.graph.node for name in node.output}
    divisions = {name for name, node in kinds.items() if node.op_type == "Div" and node.input[1] not in known}
    powers = {name for name, node in kinds.items() if node.op_type == "Pow" and graphs.scalar(known.get(node.input[1])) not in (2.0, 3.0)}
    others = {name for name, node in kinds.items() if node.op_type in SENSITIVE}
    layers = {name for name, node in kinds.items() if node.op_type in graphs.WEIGHTED}
    reads = {name: node.input for name, node in kinds.items()}
    choices = {name for name, node in kinds.items() if node.op_type in ("ArgMin", "ArgMax")}
    return sensitive_arithmetic(reads, layers, divisions | powers | others) | comparing(reads, layers, choices)


def _chosen(model: ModelProto, types: Sequence[str], quantize: Quantize) -> list[NodeProto]:
    """The nodes to quantize. Additions of a constant stay float: they are colour shifts and rounding, not residuals. So does sensitive arithmetic, and stacks
    of matrices: ONNX Runtime scales them along the wrong axis and then refuses its own file. Raises LoweringError on exemptions that fit nothing."""
    unknown = [t for t in quantize.float_types if t not in FLOAT_TYPES]
    if unknown:
        raise LoweringError(f"onnx: float_types has '{unknown[0]}'; expected some of {', '.join(FLOAT_TYPES)}")
    exempt = {op for t in quantize.float_types for op in FLOAT_TYPES[t]}
    known, sensitive = graphs.constants(model), _sensitive(model)
    candidates = [
        node
        for node in model.graph.node
        if node.op_type in types
        and (node.op_type not in graphs.WEIGHTED or node.input[1] in known)
        and (node.op_type != "MatMul" or len(known[node.input[1]].dims) <= 2)
        and (node.op_type != "Add" or not any(name in known for name in node.input))
        and node.output[0] not in sensitive
    ]
    layers = {node.name: graphs.layer(node, known) for node in candidates}
    for glob in quantize.float_layers:
        if not any(matches(layer, [glob]) for layer in layers.values()):
            raise LoweringError(f"onnx: float_layers has '{glob}', which fits no layer; layers are {', '.join(list(layers.values())[:6])} ...")
    chosen = [n for n in candidates if n.op_type not in exempt and not matches(layers[n.name], quantize.float_layers)]
    if not any(node.op_type in graphs.WEIGHTED for node in chosen):
        raise LoweringError("onnx: no layer is left to quantize; shorten float_layers or float_types, or use the fp32 recipe")
    return chosen


def _checked(before: ModelProto, after: ModelProto) -> Quantized:
    """Looks into the result: a layer counts as quantized if its weight is stored as int8 and its input arrives through a DequantizeLinear."""
    known, made, stored = graphs.constants(before), graphs.producers(after), graphs.constants(after)
    originals = {node.name: graphs.layer(node, known) for node in before.graph.node if node.op_type in graphs.WEIGHTED}
    quantized, kept = [], []
    for node in after.graph.node:
        if node.name not in originals:
            continue
        sources = [made.get(name) for name in node.input[:2]]
        is_int8 = all(s is not None and s.op_type == "DequantizeLinear" for s in sources)
        weight = stored.get(cast(NodeProto, sources[1]).input[0]) if is_int8 else None
        (quantized if weight is not None and weight.data_type == TensorProto.INT8 else kept).append(originals[node.name])
    if not quantized:
        raise LoweringError("onnx: the quantizer left every layer in float; nothing was quantized")
    return Quantized(after, tuple(quantized), tuple(kept))


def _read_unrounded(model: ModelProto, readers: set[str], integer: set[str]) -> None:
    """Gives float operators, by the tensors that they write, the operand itself where ONNX Runtime gives them what an int8 one besides them reads. What an
    int8 operator writes (`integer`) is rounded for all."""
    made = graphs.producers(model)
    for node in model.graph.node:
        for place, name in enumerate(node.input if node.output[0] in readers else ()):
            restores = made.get(name)
            rounds = made.get(restores.input[0]) if restores is not None and restores.op_type == "DequantizeLinear" else None
            if rounds is not None and rounds.input[0] not in integer:
                node.input[place] = rounds.input[0]


def _shield(model: ModelProto) -> None:
    """Keeps exempted layers float. ONNX Runtime (1.31.1; its pull requests 22969 and 25673) rounds the weight of a float layer that stands between
    dequantize and quantize when it loads the file; with one operator that changes nothing, a maximum with the lowest number, in between, it does not."""
    made = graphs.producers(model)
    lowest = "edgekit_lowest"
    added = []
    for node in model.graph.node:
        sources = [made.get(name) for name in node.input[:2]]
        if node.op_type in graphs.WEIGHTED and len(sources) == 2:
            behind = [source is not None and source.op_type == "DequantizeLinear" for source in sources]
            if behind == [True, False]:
                added.append(helper.make_node("Max", [node.input[0], lowest], [f"{node.name}_float_input"], name=f"{node.name}_shield"))
                node.input[0] = f"{node.name}_float_input"
    if added:
        model.graph.initializer.append(numpy_helper.from_array(np.array(np.finfo(np.float32).min, np.float32), lowest))
        model.graph.node.extend(added)


def _copy(model: ModelProto) -> ModelProto:
    """The quantizers change the model they are given."""
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy
