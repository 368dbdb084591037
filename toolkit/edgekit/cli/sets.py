"""Calibration sets as the pipeline takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

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
    from edgekit.cli.console import say

    found = edgekit_calibration.load(name_or_path)
    for line in found.unreadable:
        say(f"skipped {line}")
    return PictureSet(found.name, found.sha256, _Pictures(found))


def test_set() -> PictureSet:
    """The parity pictures: never the calibration ones."""
    import edgekit_calibration

    found = edgekit_calibration.test_set()
    return PictureSet(found.name, found.sha256, _Pictures(found))
