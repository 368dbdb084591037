"""Activation ranges, from the float file itself: what it computes on the calibration tiles is what the integer file will have to hold."""
# ruff: noqa: TID253

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor

from edgekit.errors import LoweringError
from edgekit.quantize import COARSEST, LEVELS, MinMax, RangeEstimator, estimator
from edgekit.recipe import Estimator, Quantize
from edgekit_targets.tflite import flatbuffer
from edgekit_targets.tflite.flatbuffer import LAYER_KINDS, Graph
from edgekit_targets.tflite.host import to_file

DEFAULT: Estimator = "min-max"

Ranges = dict[str, tuple[float, float]]


def ranges(content: bytes, graph: Graph, wanted: Iterable[flatbuffer.Tensor], tiles: Sequence[tuple[Tensor, ...]], quantize: Quantize) -> Ranges:
    """Tensor name -> range, for the tensors `wanted` of the float file `content`.

    `tiles` are NCHW, float32 in [0, 1] or uint8. The recipe's estimator decides, except for what lies between the input and the first layers: that takes the
    range which a black and a white picture give, so that 8-bit pixels fall on the integer levels exactly; and the tiles, whose colours may go beyond it (the
    hue of grey is nothing). Raises LoweringError without tiles.
    """
    if not tiles:
        raise LoweringError("tflite int8 needs calibration tiles; got none; pass a calibration set, or use int8-dynamic")
    before = _before_layers(graph)
    chosen = {t.name: t for t in wanted}
    pixels = {name: MinMax() for name, t in chosen.items() if t.index in before}
    values: dict[str, RangeEstimator] = {
        name: estimator(quantize.estimator or DEFAULT, quantize.percentile) for name, t in chosen.items() if t.index not in before
    }
    interpreter = Interpreter(model_content=content, num_threads=os.cpu_count(), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    white = 255 if tiles[0][0].dtype == torch.uint8 else 1
    for extreme in (0, white):
        _run(interpreter, tuple(torch.full_like(t, extreme) for t in tiles[0]))
        _update(interpreter, chosen, pixels)
    for tile in tiles:
        _run(interpreter, tile)
        _update(interpreter, chosen, pixels | values)
    return {name: seen.range() for name, seen in (pixels | values).items()}


def coarse_enough(found: Ranges, ops: Iterable[flatbuffer.Op]) -> Ranges:
    """`found` with wider ranges of the outputs whose levels would be too fine for XNNPACK (`edgekit.quantize.COARSEST`), as behind a ReLU that lets nothing
    through: it ends the process."""
    widened = dict(found)
    for op in ops:
        source, weights, result = op.inputs[0], op.weights, op.outputs[0].name
        if op.kind not in LAYER_KINDS or source is None or source.name not in widened or weights is None or weights.data is None:
            continue
        low, high = widened[source.name]
        level = (high - low) / LEVELS * float(abs(weights.data.view(np.float32)).max()) / 127
        low, high = widened[result]
        widened[result] = (low, max(high, low + LEVELS * level / COARSEST))
    return widened


def _run(interpreter: Interpreter, tile: tuple[Tensor, ...]) -> None:
    for detail, tensor in zip(interpreter.get_input_details(), tile, strict=True):
        interpreter.set_tensor(detail["index"], to_file(tensor))
    interpreter.invoke()


def _update(interpreter: Interpreter, chosen: dict[str, flatbuffer.Tensor], estimators: Mapping[str, RangeEstimator]) -> None:
    for name, seen in estimators.items():
        try:
            seen.update(torch.from_numpy(interpreter.get_tensor(chosen[name].index)))
        except ValueError as error:
            raise LoweringError(f"tflite calibration of tensor '{name}': {error}") from error


def _before_layers(graph: Graph) -> set[int]:
    """Indices of the tensors that are computed from the inputs without any layer."""
    found = {t.index for t in graph.inputs}
    for op in graph.ops:
        computed = [t for t in op.inputs if t is not None and not t.is_constant]
        if op.kind not in LAYER_KINDS and computed and all(t.index in found for t in computed):
            found.update(t.index for t in op.outputs)
    return found
