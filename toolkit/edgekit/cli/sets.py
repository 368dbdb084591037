"""Calibration sets as the pipeline takes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit.cli.console import say
from edgekit.pipeline import PictureSet

if TYPE_CHECKING:
    from torch import Tensor

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


def training_pictures(folder: Path | None) -> tuple[str, list[Tensor]]:
    """(what they are, (3, H, W) uint8 photographs): a user's folder, or the photographs behind the calibration set, fetched by package name into build/.

    Never a test picture. Large photographs are reduced as the sets' are, so that what is learned is not JPEG's.
    """
    import torch

    from edgekit.errors import InvalidFile
    from edgekit_calibration.crop import reduced
    from edgekit_calibration.fetch import fetch
    from edgekit_calibration.folder import find_photographs, none_usable, within
    from edgekit_calibration.pixels import read_pixels
    from edgekit_calibration.sources import read_sources

    if folder is None:
        roles = {p.id: p.role for p in read_sources().photograph}
        found = [path for name, path in sorted(fetch(Path("build/photographs")).items()) if roles[name] == "calibration"]
        label = "the photographs of calibration set 'photos', whole"
    else:
        found, label = find_photographs(folder)[0], f"photographs of the user's folder '{folder.name}'"
    pictures, unreadable = [], []
    for path in found:
        try:
            pixels = read_pixels(path)
        except InvalidFile as error:
            unreadable.append(within(folder, error) if folder else str(error))
            continue
        pictures.append(torch.from_numpy(np.array(reduced(pixels))).permute(2, 0, 1).contiguous())
    for line in unreadable:
        say(f"skipped {line}")
    if not pictures:
        raise none_usable(folder or Path("build/photographs"), unreadable)
    return label, pictures
