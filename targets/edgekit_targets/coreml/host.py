"""Runs an .mlpackage on this machine: Core ML itself on macOS, our evaluator elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgekit.device import ExecutedBy
from edgekit.errors import InvalidFile


class CoreMLSession:
    """An opened package, executed by macOS's Core ML on all compute units. This class has never been run: no Mac was at hand when it was written."""

    executed_by: ExecutedBy = "coreml"
    why_no_latency: str | None = None
    threads = 0
    """Core ML chooses processors and threads itself."""

    def __init__(self, file: Path) -> None:
        """Raises InvalidFile if Core ML refuses the package."""
        from edgekit_targets.coreml.library import ct

        try:
            self._model = ct.models.MLModel(str(file))
        except (OSError, RuntimeError, ValueError) as error:
            raise InvalidFile(f"{file}: Core ML cannot open it ({str(error).splitlines()[0][:200]}); export it again") from error
        description = self._model.get_spec().description
        self._inputs = [(value.name, value.type.WhichOneof("Type")) for value in description.input]
        self._outputs = [value.name for value in description.output]

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """NCHW float32 tensors (packages with image I/O: uint8) -> the outputs, NCHW in the same dtype."""
        feed = {name: _to_image(t) if kind == "imageType" else t.numpy() for (name, kind), t in zip(self._inputs, inputs, strict=True)}
        results = self._model.predict(feed)
        return tuple(_from_output(results[name]) for name in self._outputs)


class EvaluatorSession:
    """An opened package, executed operator by operator in torch, each result rounded to the type that the file gives it."""

    executed_by: ExecutedBy = "evaluator"
    why_no_latency: str | None = "the evaluator computes Core ML's numbers, not its speed: measure on the iPhone or a Mac"

    def __init__(self, file: Path) -> None:
        """Raises InvalidFile, or CannotRunHere if the program has an operator that the evaluator does not know."""
        from edgekit_targets.coreml.evaluator import Program

        self._program = Program(file)

    @property
    def threads(self) -> int:
        return torch.get_num_threads()

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """NCHW float32 tensors (packages with image I/O: uint8) -> the outputs, NCHW in the same dtype."""
        outputs = self._program([t.float() for t in inputs])
        kinds = self._program.outputs.values()
        return tuple(_to_levels(t) if kind == "imageType" else t for t, kind in zip(outputs, kinds, strict=True))


def Session(file: Path) -> CoreMLSession | EvaluatorSession:
    """The package, opened by whoever can execute it here. Called like the class that every other runtime's host has."""
    return CoreMLSession(file) if sys.platform == "darwin" else EvaluatorSession(file)


def _to_image(tensor: Tensor) -> object:
    from PIL import Image

    pixels = tensor[0].permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _from_output(value: Any) -> Tensor:
    array = np.asarray(value.convert("RGB") if hasattr(value, "convert") else value)
    if array.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)[None]))
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _to_levels(value: Tensor) -> Tensor:
    """Whole numbers 0 .. 255 as bytes."""
    return value.round().clamp(0, 255).to(torch.uint8)
