"""Would TFLite's GPU delegate (OpenCL, OpenGL ES) take this file? Our own rules, because TensorFlow 2.21's analyzer calls every file compatible.

The facts come from TensorFlow's sources, named by each rule; where a rule says OpenGL, only that fallback refuses. What the delegate does with integer files
is in `QUANTIZED`. Nothing here was run on a GPU.
"""
# ruff: noqa: TID253

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekit_targets.tflite import flatbuffer
from edgekit_targets.tflite.flatbuffer import Op, Tensor

OPERATORS = "tensorflow/lite/tools/versioning/gpu_compatibility.cc"
SHAPES = "tensorflow/lite/delegates/gpu/common/model_builder_helper.cc"
TYPES = "tensorflow/lite/delegates/gpu/common/model_builder.cc"
OPENGL = "tensorflow/lite/delegates/gpu/gl/compiler.cc"

QUANTIZED = (
    "the GPU delegate computes integer files in floating point: weights are dequantized once, activations are float with their ranges simulated between "
    "operators; no faster than the fp32 or fp16 file, which loses nothing (tensorflow/lite/g3doc/performance/gpu_advanced.md)"
)

TAKEN = frozenset(
    """
    ABS ADD ADD_N ATAN2 AVERAGE_POOL_2D BATCH_MATMUL CAST CEIL CONCATENATION CONV_2D COS CUMSUM DENSIFY DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV
    DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GELU GREATER GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS
    LESS_EQUAL LOG LOGICAL_AND LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_MAX
    REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SELECT SELECT_V2 SIGN SIN SLICE SOFTMAX SPACE_TO_DEPTH
    SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE STABLEHLO_CLAMP STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE TRANSPOSE_CONV
    """.split()  # noqa: SIM905
)
"""Operators that the delegate has at all."""

COMPUTED = frozenset(("FLOAT32", "FLOAT16", "INT8", "UINT8"))
"""Types of computed tensors that every operator may have; INT8 and UINT8 quantized only."""

MORE_TYPES = {
    "CAST": ("INT32", "BOOL"),
    "EMBEDDING_LOOKUP": ("INT32",),
    "GATHER": ("INT32",),
    "ONE_HOT": ("INT32",),
    "SELECT": ("BOOL",),
    "SELECT_V2": ("BOOL",),
    "EQUAL": ("BOOL",),
    "NOT_EQUAL": ("BOOL",),
    "GREATER": ("BOOL",),
    "GREATER_EQUAL": ("BOOL",),
    "LESS": ("BOOL",),
    "LESS_EQUAL": ("BOOL",),
    "LOGICAL_AND": ("BOOL",),
}

CASTS = frozenset((a, b) for a in ("FLOAT32", "FLOAT16") for b in ("BOOL",)) | {
    ("BOOL", "FLOAT32"),
    ("BOOL", "FLOAT16"),
    ("FLOAT32", "INT32"),
    ("INT32", "FLOAT32"),
    ("FLOAT32", "FLOAT32"),
    ("INT32", "INT32"),
}


@dataclass(frozen=True)
class Violation:
    """`tensor` is the operator's output by name; `rule` says what is wrong; `source` is the TensorFlow file that the rule was read from."""

    op: str
    tensor: str
    rule: str
    source: str


@dataclass(frozen=True)
class GpuAudit:
    """`violations`: operators that would stay on the CPU, by rule. `opengl_only`: what only the OpenGL fallback refuses, for the whole file.
    `note` says what happens to a quantized file."""

    violations: tuple[Violation, ...]
    opengl_only: tuple[Violation, ...]
    note: str | None

    @property
    def compatible(self) -> bool:
        """Whether OpenCL would take every operator."""
        return not self.violations

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "compatible": self.compatible,
            "violations": [f"{v.op}: {v.rule} ({v.source})" for v in self.violations],
            "opengl_only": sorted({f"{v.op}: {v.rule} ({v.source})" for v in self.opengl_only}),
            "quantized": self.note,
            "checked_by": "edgekit's rules, not run on a GPU",
        }


def audit(file: Path) -> GpuAudit:
    """Raises InvalidFile if the file is not TFLite."""
    graph = flatbuffer.read(file.read_bytes(), file.name)
    violations = tuple(Violation(op.kind, op.outputs[0].name if op.outputs else "", rule, source) for op in graph.ops for rule, source in _check(op))
    batch = graph.inputs[0].shape[0] if graph.inputs and graph.inputs[0].shape else 1
    opengl = tuple(
        Violation(op.kind, t.name, f"OpenGL wants one batch size in the whole file, has {batch} and {t.shape[0]}", OPENGL)
        for op in graph.ops
        for t in op.outputs
        if t.shape and t.shape[0] != batch
    )
    quantized = any(t.dtype == "INT8" for op in graph.ops for t in (*op.inputs, *op.outputs) if t is not None)
    return GpuAudit(violations, opengl, QUANTIZED if quantized else None)


def _check(op: Op) -> Iterator[tuple[str, str]]:
    if op.kind not in TAKEN:
        yield "no such operator on the GPU", OPERATORS
        return
    computed = [t for t in (*op.inputs, *op.outputs) if t is not None and not t.is_constant]
    for tensor in computed:
        if not 1 <= len(tensor.shape) <= 4:
            yield f"tensor of rank {len(tensor.shape)}; 1 to 4 are taken", SHAPES
            break
    allowed = COMPUTED.union(MORE_TYPES.get(op.kind, ()))
    for tensor in computed:
        if tensor.dtype not in allowed:
            yield f"computed tensor of type {tensor.dtype}; {', '.join(sorted(allowed))} are taken", TYPES
            break
    limit = LIMITS.get(op.kind)
    if limit is not None and (rule := limit(op)) is not None:
        yield rule, OPERATORS


def _runtime(op: Op) -> list[Tensor]:
    return [t for t in op.inputs if t is not None and not t.is_constant]


def _elementwise_pair(op: Op) -> str | None:
    constants = sum(t is not None and t.is_constant for t in op.inputs)
    if (len(_runtime(op)), constants) in ((2, 0), (1, 1)):
        return None
    return f"{len(_runtime(op))} computed and {constants} constant operands; two computed, or one and one, are taken"


def _broadcast(op: Op) -> str | None:
    a, b = ((t.shape if t is not None else ()) for t in op.inputs[:2])
    fits = all(x == y or 1 in (x, y) for x, y in zip(reversed(a), reversed(b), strict=False))
    if not fits:
        return f"operands {list(a)} and {list(b)} do not broadcast"
    if op.kind == "MUL" and len(a) == len(b) and any(x < y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True)):
        return f"operands {list(a)} and {list(b)} broadcast both ways; one must cover the other"
    return None


def _convolution(op: Op) -> str | None:
    return None if len(_runtime(op)) <= 2 else f"{len(_runtime(op))} computed inputs; at most 2 are taken"


def _depthwise(op: Op) -> str | None:
    source = op.inputs[0]
    if source is not None and op.options.depthMultiplier != 1 and source.shape[-1] != 1:
        return f"depth multiplier {op.options.depthMultiplier} on {source.shape[-1]} channels; 1 on several, or several on 1, are taken"
    return _convolution(op)


def _constant_axes(op: Op) -> str | None:
    axes = op.inputs[1] if len(op.inputs) > 1 else None
    return None if axes is not None and axes.is_constant and axes.dtype == "INT32" else "axes that are not constant INT32"


def _padding(op: Op) -> str | None:
    pads = op.inputs[1]
    if op.kind == "MIRROR_PAD" and op.options.mode != schema.MirrorPadMode.REFLECT:
        return "symmetric mirror padding; reflection is taken"
    return (
        None
        if pads is not None and pads.shape in ((3, 2), (4, 2))
        else f"paddings of shape {list(pads.shape) if pads else []}; 3x2 and 4x2 are taken"
    )


def _slice(op: Op) -> str | None:
    source = op.inputs[0]
    return None if source is not None and len(source.shape) in (3, 4) else f"slice of rank {len(source.shape) if source else 0}; 3 and 4 are taken"


def _strided_slice(op: Op) -> str | None:
    for mask in ("ellipsisMask", "newAxisMask", "shrinkAxisMask"):
        if getattr(op.options, mask):
            return f"strided slice with {mask}"
    return _slice(op)


def _cast(op: Op) -> str | None:
    source, result = (op.inputs[0].dtype if op.inputs[0] else ""), op.outputs[0].dtype
    return None if (source, result) in CASTS else f"cast from {source} to {result}"


def _gather(op: Op) -> str | None:
    source, indices = op.inputs[:2]
    if source is None or indices is None or source.dtype == "INT32" or indices.dtype != "INT32" or len(indices.shape) != 1:
        return "gather other than float by one-dimensional INT32 indices"
    return None


def _softmax(op: Op) -> str | None:
    return None if op.options.beta == 1 else f"softmax with beta {op.options.beta}; 1 is taken"


def _bilinear(op: Op) -> str | None:
    return "align_corners together with half_pixel_centers" if op.options.alignCorners and op.options.halfPixelCenters else None


def _block(op: Op) -> str | None:
    return None if op.options.blockSize > 1 else f"block size {op.options.blockSize}; more than 1 is taken"


def _dequantize(op: Op) -> str | None:
    return "16-bit integers to dequantize" if op.inputs[0] is not None and op.inputs[0].dtype == "INT16" else None


def _fully_connected(op: Op) -> str | None:
    if op.options.weightsFormat != schema.FullyConnectedOptionsWeightsFormat.DEFAULT:
        return "shuffled weights"
    return _convolution(op)


def _one_input(op: Op) -> str | None:
    return None if len(_runtime(op)) == 1 else f"{len(_runtime(op))} computed inputs; 1 is taken"


LIMITS: dict[str, Callable[[Op], str | None]] = {
    "ADD": _broadcast,
    "MUL": _broadcast,
    "CONV_2D": _convolution,
    "TRANSPOSE_CONV": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "CAST": _cast,
    "DEQUANTIZE": _dequantize,
    "DEPTH_TO_SPACE": _block,
    "SPACE_TO_DEPTH": _block,
    "GATHER": _gather,
    "RESIZE_BILINEAR": _bilinear,
    "SLICE": _slice,
    "SOFTMAX": _softmax,
    "STRIDED_SLICE": _strided_slice,
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _padding),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"), _constant_axes),
    **dict.fromkeys(("RESHAPE", "TRANSPOSE", "TILE", "HARD_SWISH", "QUANTIZE", "RESIZE_NEAREST_NEIGHBOR"), _one_input),
    **dict.fromkeys(
        ("ATAN2", "DIV", "EQUAL", "FLOOR_DIV", "FLOOR_MOD", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOGICAL_AND", "MAXIMUM", "MINIMUM"),
        _elementwise_pair,
    ),
    **dict.fromkeys(("NOT_EQUAL", "POW", "SQUARED_DIFFERENCE", "SUB"), _elementwise_pair),
}
"""What the delegate asks of an operator beyond taking it; the texts say what is wrong, None is fine."""
