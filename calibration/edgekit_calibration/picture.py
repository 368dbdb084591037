"""A picture of a set, read when it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit_calibration.pixels import read_pixels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Picture:
    name: str  # unique in its set: the file's name, or its path below the folder
    path: Path
    tags: tuple[str, ...] = ()
    licence: str = ""  # SPDX; empty for a user's own photographs
    origin: str = ""

    def tensor(self) -> Tensor:
        """(1, 3, height, width) float32 in [0, 1], RGB, contiguous; read from the file at each call. Raises InvalidFile if it has become unreadable."""
        import torch  # listing the sets needs no torch, and its import takes a second

        pixels = read_pixels(self.path)
        largest = 255 if pixels.dtype.itemsize == 1 else 65535
        return torch.from_numpy(pixels.transpose(2, 0, 1).astype("float32", order="C")).div_(largest).unsqueeze(0)


@dataclass(frozen=True)
class CalibrationSet:
    name: str
    pictures: tuple[Picture, ...]
    sha256: str  # over the pictures' own, in order: the same pictures give the same, wherever they lie
    unreadable: tuple[str, ...] = ()  # a line for each file that looks like a picture and is of no use; only a plain folder can have any
