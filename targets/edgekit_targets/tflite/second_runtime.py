"""TensorFlow's own interpreter, as a second, independent runtime: its reference-style kernels share nothing with XNNPACK's."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

FLOAT_TOLERANCE = 1e-4
"""Largest difference to expect between two float kernels that sum in different orders, outputs in [0, 1]."""

INTEGER_TOLERANCE = 4 / 255
"""The same for int8 files: kernels round differently by a step here and there, and later layers add such steps up."""


def why_not() -> str | None:
    """Why there is no second opinion here; None if there is one."""
    if find_spec("tensorflow") is None:
        return 'TensorFlow is not installed: pip install "edgekit[tensorflow]"'
    return None


def max_difference(file: Path, inputs: Sequence[tuple[Tensor, ...]], outputs: Sequence[tuple[Tensor, ...]]) -> float | None:
    """The largest absolute difference between `outputs` (what another runtime made of `inputs`, both NCHW in the file's dtypes; uint8 pixels count in steps of
    1/255) and TensorFlow's, with its built-in kernels and no delegate. None where `why_not` says so. Raises InvalidFile if TensorFlow cannot load the file."""
    if why_not() is not None:
        return None
    from edgekit_targets.tflite import tensorflow_kernels

    return tensorflow_kernels.max_difference(file, inputs, outputs)


def facts(file: Path, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], integer: bool) -> dict[str, Any]:
    """For the manifest: one tile through TensorFlow, beside what LiteRT made of it."""
    difference = max_difference(file, [inputs], [outputs])
    if difference is None:
        return {"why_not": why_not()}
    tolerance = INTEGER_TOLERANCE if integer else FLOAT_TOLERANCE
    return {"runtime": "TensorFlow's interpreter, no delegate", "max_abs": difference, "tolerance": tolerance, "agrees": difference <= tolerance}
