"""Runs an .mlpackage where Core ML is: on macOS."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgekit.errors import CannotRunHere, InvalidFile


class Session:
    """An opened package, executed by macOS's Core ML on all compute units. This class has never been run: no Mac was at hand when it was written."""

    def __init__(self, file: Path) -> None:
        """Raises CannotRunHere off a Mac, InvalidFile if Core ML refuses the package."""
        if sys.platform != "darwin":
            raise CannotRunHere(f"{file.name}: Core ML executes on macOS and iOS only, this is {sys.platform}; not measured")
        from edgekit_targets.coreml.library import ct

        try:
            self._model = ct.models.MLModel(str(file))
        except (OSError, RuntimeError, ValueError) as error:
            raise InvalidFile(f"{file}: Core ML cannot open it ({str(error).splitlines()[0][:200]}); export it again") from error
        description = self._model.get_spec().description
        self._inputs = [(value.name, value.type.WhichOneof("Type")) for value in description.input]
        self._outputs = [value.name for value in description.output]

    @property
    def threads(self) -> int:
        """0: Core ML chooses processors and threads itself."""
        return 0

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """NCHW float32 tensors (packages with image I/O: uint8) -> the outputs, NCHW in the same dtype."""
        feed = {name: _to_image(t) if kind == "imageType" else t.numpy() for (name, kind), t in zip(self._inputs, inputs, strict=True)}
        results = self._model.predict(feed)
        return tuple(_from_output(results[name]) for name in self._outputs)


def _to_image(tensor: Tensor) -> object:
    from PIL import Image

    pixels = tensor[0].permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _from_output(value: Any) -> Tensor:
    array = np.asarray(value.convert("RGB") if hasattr(value, "convert") else value)
    if array.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)[None]))
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
