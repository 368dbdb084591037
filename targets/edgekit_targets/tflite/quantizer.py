"""ai-edge-quantizer with one instruction per operator: which layers become 8 (or 16) bits is decided here, not by its policies."""
# ruff: noqa: TID253

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.quantizer import Quantizer

from edgekit.errors import LoweringError
from edgekit.quantize import comparing, sensitive_arithmetic
from edgekit.recipe import Precision
from edgekit_targets.tflite import flatbuffer
from edgekit_targets.tflite.calibrate import Ranges
from edgekit_targets.tflite.flatbuffer import LAYER_KINDS, Graph, Op

NAMES = {
    "TRANSPOSE_CONV": qtyping.TFLOperationName.CONV_2D_TRANSPOSE,
}
"""Operators that ai-edge-quantizer calls by another name than the schema."""

MOVEMENT = ("RESHAPE", "TRANSPOSE")
"""Operators that only move values: behind an 8-bit layer they move 8 bits, a quarter of the bytes, and change nothing."""

SENSITIVE = (
    "SQRT", "RSQRT", "POW", "LOG", "SIN", "COS", "ATAN2", "FLOOR_MOD", "FLOOR", "EQUAL", "GREATER", "LESS", "GREATER_EQUAL", "LESS_EQUAL"
)  # fmt: skip
"""Operators that make much of little, besides divisions by what is computed: see `edgekit.quantize.sensitive_arithmetic`."""

WEIGHT_TYPES = {"fp16": "FLOAT16", "int8": "INT8", "int8-dynamic": "INT8", "int8-weights": "INT8"}


def followers(graph: Graph, layers: Sequence[Op], sums: bool) -> list[Op]:
    """The operators behind 8-bit `layers` that gain by working on 8 bits too: those that only move values, and (`sums`) additions of two 8-bit operands.

    On EDSR x2 16 x 64, integer additions make the file 10 % faster and cost 0.8 dB of 52.4 against the fp32 reference. Other operators stay float: integer
    normalizations and activations cost far more accuracy than they save time, and split the delegate's partition. So do additions that end in angles or
    quotients.
    """
    sensitive = _sensitive(graph)
    integer = {t.index for op in layers for t in op.outputs}
    found = []
    for op in graph.ops:
        sources = op.inputs[:1] if op.kind in MOVEMENT else op.inputs if sums and op.kind == "ADD" and op.index not in sensitive else ()
        if sources and all(t is not None and t.index in integer for t in sources):
            found.append(op)
            integer.update(t.index for t in op.outputs)
    return found


def _sensitive(graph: Graph) -> set[int]:
    """The operators around divisions, roots and angles that no layer reads or none writes."""
    divisions = {op.index for op in graph.ops if op.kind == "DIV" and op.inputs[1] is not None and not op.inputs[1].is_constant}
    return sensitive_arithmetic(_reads(graph), _layers(graph), divisions | {op.index for op in graph.ops if op.kind in SENSITIVE})


def compared(graph: Graph) -> set[int]:
    """The operators, layers too, that are only compared: `edgekit.quantize.comparing`."""
    return comparing(_reads(graph), _layers(graph), {op.index for op in graph.ops if op.kind in ("ARG_MIN", "ARG_MAX")})


def _reads(graph: Graph) -> dict[int, list[int]]:
    producers = {t.index: op.index for op in graph.ops for t in op.outputs}
    return {op.index: [producers[t.index] for t in op.inputs if t is not None and t.index in producers] for op in graph.ops}


def _layers(graph: Graph) -> set[int]:
    return {op.index for op in graph.ops if op.kind in LAYER_KINDS or op.kind == "BATCH_MATMUL"}


def quantize(content: bytes, precision: Precision, ops: Sequence[Op], ranges: Ranges) -> bytes:
    """The file with `ops` in `precision`. `ranges` (static int8 only) covers their activations. Raises LoweringError if fewer layers than asked changed, or
    if the file did not shrink."""
    quantizer = Quantizer(content)
    for op in ops:
        scope = f"^{re.escape(''.join(f'{t.name};' for t in op.outputs))}$"
        name = NAMES.get(op.kind) or qtyping.TFLOperationName(op.kind)
        if precision == "int8":
            quantizer.add_static_config(scope, name, 8, 8)
        elif precision == "int8-dynamic":
            quantizer.add_dynamic_config(scope, name, 8)
        elif precision == "int8-weights":
            quantizer.add_weight_only_config(scope, name, 8)
        else:
            quantizer.add_weight_only_config(scope, name, 16, qtyping.QuantGranularity.TENSORWISE, AlgorithmName.FLOAT_CASTING)
    statistics: dict[str, qtyping.QSV] = {name: {"min": _cell(low), "max": _cell(high)} for name, (low, high) in ranges.items()}
    result = quantizer.quantize(statistics or None, enable_progress_bar=False, enable_progress_report=False)
    quantized = bytes(result.quantized_model or b"")
    _check(quantized, len(content), precision, sum(op.kind in LAYER_KINDS for op in ops))
    return quantized


def _cell(value: float) -> np.ndarray:
    return np.full((1, 1, 1, 1), value, dtype=np.float32)


def _check(quantized: bytes, size: int, precision: Precision, asked: int) -> None:
    graph = flatbuffer.read(quantized, "ai-edge-quantizer's result")
    changed = sum(_stored_weights(graph, op) == WEIGHT_TYPES[precision] for op in graph.ops if op.kind in LAYER_KINDS)
    if changed < asked or not asked:
        raise LoweringError(f"tflite {precision}: {changed} of {asked} layers have {WEIGHT_TYPES[precision]} weights; expected all, and at least one")
    if len(quantized) >= size:
        raise LoweringError(f"tflite {precision}: the file grew from {size} to {len(quantized)} bytes; expected a smaller one")


def _stored_weights(graph: Graph, op: Op) -> str | None:
    """The type in which a layer's weights lie in the file, also behind a DEQUANTIZE."""
    weights = op.weights
    if weights is not None and not weights.is_constant:
        producer = graph.producer(weights)
        weights = producer.inputs[0] if producer is not None and producer.kind == "DEQUANTIZE" else None
    return weights.dtype if weights is not None and weights.is_constant else None
