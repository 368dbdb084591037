"""What TensorRT's ONNX parser would refuse, found without TensorRT: our own rules, each with its source.

The engine is built on the machine that runs it (its kernels are chosen for that GPU), so this check is all that can be said here. It errs on the strict
side: an operator that is not in `OPERATORS` is refused even if a later release takes it.
"""

# ruff: noqa: TID253
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from edgekit.errors import InvalidFile, first_line
from edgekit_targets.onnx import graphs

RELEASES = "TensorRT 10.0 or newer"
OPSETS = range(9, 21)
"""TensorRT 10.15 and 11.2 read 9 to 24; 20 is what we make and what the first releases of 10 read."""

PARSER = "onnx-tensorrt docs/operators.md, TensorRT 10.15"
QUANTIZATION = "docs.nvidia.com/deeplearning/tensorrt: Working with Quantized Types, Explicit Quantization"
TYPING = "docs.nvidia.com/deeplearning/tensorrt: Migrating trtexec Usage from TensorRT 10.x to 11.x"

RULES = {
    "opset": f"opset {OPSETS.start} to {OPSETS.stop - 1} ({PARSER})",
    "operator": f"only operators that the parser imports, default domain ({PARSER})",
    "static-shape": "every input and output side is a number: enhancers are tiled at one size, and the trtexec line needs no shape profiles",
    "dtype": f"float32, float16, int32, int64, bool inside; uint8 only as network input or output, next to a Cast ({PARSER})",
    "strong-typing": f"the operands of one operator share one float type: precision flags are gone, nothing is cast silently ({TYPING})",
    "constant-weight": "weights of convolutions are constants, plain or dequantized from int8: computed weights cannot be fused into int8 kernels",
    "int8-only": f"QuantizeLinear and DequantizeLinear handle int8, not uint8 or int32 ({PARSER})",
    "zero-point": f"zero points are 0: quantization is symmetric ({PARSER}; {QUANTIZATION})",
    "scale": f"scales are positive constants ({QUANTIZATION})",
    "granularity": f"activations have one scale; weights one, or one per output channel ({QUANTIZATION})",
    "float-bias": "biases are float: an int32 bias would need DequantizeLinear from int32, which the parser does not import",
    "resize": f"Resize is nearest or linear, stretched, without antialiasing ({PARSER})",
}

_IMPORTED = """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos CumSum DepthToSpace
    DequantizeLinear Div Einsum Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
    GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log
    LogSoftmax MatMul Max MaxPool Mean Min Mish Mod Mul Neg Not Or Pad Pow PRelu QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax
    Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Unsqueeze Where Xor
"""
OPERATORS = frozenset(_IMPORTED.split())
"""The part of the parser's list that image networks use."""

FLOATS: dict[int | None, str] = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16"}
INSIDE = {*FLOATS, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
SAME_TYPE = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Max", "Min", "Concat", "PRelu")


@dataclass(frozen=True)
class Finding:
    """`rule` is a key of RULES, `place` the node or tensor."""

    rule: str
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what} (rule {self.rule})"


def audit_file(file: Path) -> tuple[Finding, ...]:
    """The findings on an ONNX file. Raises InvalidFile if it cannot be read as one."""
    try:
        model = onnx.load(file)
        onnx.checker.check_model(model)
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        raise InvalidFile(f"{file}: not a readable ONNX file ({first_line(error)}); export it again") from error
    return audit(model)


def audit(model: ModelProto) -> tuple[Finding, ...]:
    """Every place that breaks one of RULES; empty if TensorRT should take the file."""
    graph = _Graph(model)
    return tuple(finding for check in CHECKS for finding in check(graph))


class _Graph:
    """The model with its look-up tables."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.nodes: list[NodeProto] = list(model.graph.node)
        self.constants = graphs.constants(model)
        self.producers = graphs.producers(model)
        inferred = onnx.shape_inference.infer_shapes(model)
        values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
        self.types: dict[str, int] = {v.name: v.type.tensor_type.elem_type for v in values}
        self.types |= {name: tensor.data_type for name, tensor in self.constants.items()}

    def name(self, dtype: int | None) -> str:
        return TensorProto.DataType.Name(cast(Any, dtype)).lower() if dtype else "unknown"

    def source(self, tensor: str, op: str) -> NodeProto | None:
        """The node that computes `tensor`, if it is an `op`."""
        node = self.producers.get(tensor)
        return node if node is not None and node.op_type == op else None


def _opset(graph: _Graph) -> Iterator[Finding]:
    for entry in graph.model.opset_import:
        if entry.domain in ("", "ai.onnx") and entry.version not in OPSETS:
            yield Finding("opset", "model", f"opset is {entry.version}; expected {OPSETS.start} to {OPSETS.stop - 1}")


def _operators(graph: _Graph) -> Iterator[Finding]:
    for node in graph.nodes:
        if node.domain not in ("", "ai.onnx"):
            yield Finding("operator", node.name, f"{node.domain}.{node.op_type} is a contributed operator")
        elif node.op_type not in OPERATORS:
            yield Finding("operator", node.name, f"{node.op_type} is not imported")


def _shapes(graph: _Graph) -> Iterator[Finding]:
    for value in (*graph.model.graph.input, *graph.model.graph.output):
        if any(d.dim_value <= 0 for d in value.type.tensor_type.shape.dim) or not value.type.tensor_type.HasField("shape"):
            yield Finding("static-shape", value.name, "has a side that is not a number")


def _dtypes(graph: _Graph) -> Iterator[Finding]:
    outside = {value.name for value in (*graph.model.graph.input, *graph.model.graph.output)}
    for node in graph.nodes:
        for tensor in (*node.input, *node.output):
            dtype = graph.types.get(tensor)
            if not tensor or dtype is None or dtype in INSIDE or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                continue
            if dtype == TensorProto.UINT8 and tensor in outside and node.op_type == "Cast":
                continue
            yield Finding("dtype", node.name, f"'{tensor}' is {graph.name(dtype)}")


def _typing(graph: _Graph) -> Iterator[Finding]:
    for node in graph.nodes:
        found = {FLOATS[dtype] for tensor in node.input if (dtype := graph.types.get(tensor)) in FLOATS}
        if node.op_type in SAME_TYPE and len(found) > 1:
            yield Finding("strong-typing", node.name, f"{node.op_type} reads {' and '.join(sorted(found))}")


def _weights(graph: _Graph) -> Iterator[Finding]:
    for node in graph.nodes:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        dequantized = graph.source(node.input[1], "DequantizeLinear")
        weight = dequantized.input[0] if dequantized is not None else node.input[1]
        if weight not in graph.constants:
            yield Finding("constant-weight", node.name, f"weight '{node.input[1]}' is computed")
        if len(node.input) > 2 and node.input[2] and graph.source(node.input[2], "DequantizeLinear") is not None:
            yield Finding("float-bias", node.name, f"bias '{node.input[2]}' is quantized")


def _quantization(graph: _Graph) -> Iterator[Finding]:
    for node in graph.nodes:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale, zero = graph.constants.get(node.input[1]), graph.constants.get(node.input[2]) if len(node.input) > 2 else None
        # Without a zero point, QuantizeLinear makes uint8 by definition; DequantizeLinear takes its input's type.
        inner = graph.types.get(node.input[0] if node.op_type == "DequantizeLinear" else node.output[0])
        dtype = zero.data_type if zero is not None else inner if node.op_type == "DequantizeLinear" else TensorProto.UINT8
        if dtype != TensorProto.INT8:
            yield Finding("int8-only", node.name, f"quantized type is {graph.name(dtype)}")
        if len(node.input) > 2 and node.input[2] and zero is None:
            yield Finding("zero-point", node.name, "zero point is computed")
        elif zero is not None and np.any(numpy_helper.to_array(zero) != 0):
            yield Finding("zero-point", node.name, f"zero point is {numpy_helper.to_array(zero).reshape(-1)[:3].tolist()}")
        if scale is None:
            yield Finding("scale", node.name, "scale is computed")
            continue
        values = numpy_helper.to_array(scale)
        if not np.all(np.isfinite(values) & (values > 0)):
            yield Finding("scale", node.name, f"scale is {values.reshape(-1)[:3].tolist()}")
        if values.size > 1 and node.input[0] not in graph.constants:
            yield Finding("granularity", node.name, f"an activation has {values.size} scales")


def _resize(graph: _Graph) -> Iterator[Finding]:
    for node in graph.nodes:
        if node.op_type != "Resize":
            continue
        settings = {a.name: a.s.decode() if a.type == onnx.AttributeProto.STRING else a.i for a in node.attribute}
        if settings.get("mode", "nearest") not in ("nearest", "linear"):
            yield Finding("resize", node.name, f"mode is {settings['mode']}")
        if settings.get("antialias", 0) or settings.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            yield Finding("resize", node.name, "is antialiased or keeps the aspect ratio")


CHECKS = (_opset, _operators, _shapes, _dtypes, _typing, _weights, _quantization, _resize)
