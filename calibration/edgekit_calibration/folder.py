"""A user's folder: which files look like photographs, and which of them can be used."""

from __future__ import annotations

import os
from pathlib import Path

from edgekit.errors import InvalidFile
from edgekit_calibration.picture import CalibrationSet, Picture
from edgekit_calibration.pixels import SUFFIXES, read_pixels, read_size
from edgekit_calibration.setfile import combined_sha256, file_sha256

MIN_SIDE = 32  # below this a picture is an icon


def find_photographs(folder: Path) -> tuple[list[Path], list[str]]:
    """(every file below `folder` that is named like a picture, ordered by its path; a line for each subfolder that cannot be listed).

    Links are followed, but each real file and folder counts once, so that loops end. Names that begin with a dot are left out.
    Raises InvalidFile if `folder` itself is not a folder.
    """
    if not folder.is_dir():
        raise InvalidFile(f"{folder}: {'is not a folder' if folder.exists() else 'no such folder'}; expected a folder of photographs")
    found: list[Path] = []
    closed: list[str] = []
    seen = {os.path.realpath(folder)}
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            children = sorted(here.iterdir())
        except OSError as error:
            closed.append(f"{here.relative_to(folder).as_posix()}: cannot be listed ({error.strerror}); expected a folder")
            continue
        for child in children:
            if child.name.startswith("."):
                continue
            is_folder = child.is_dir()
            if not is_folder and child.suffix.lower() not in SUFFIXES:
                continue
            real = os.path.realpath(child)  # Path.resolve raises for a link to itself
            if real in seen:
                continue
            seen.add(real)
            (waiting if is_folder else found).append(child)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix()), sorted(closed)


def load_folder(folder: Path) -> CalibrationSet:
    """Every photograph below `folder` that can be read, whole as it is; the others are named in `unreadable`. Raises InvalidFile if none can be used."""
    found, unreadable = find_photographs(folder)
    pictures: list[Picture] = []
    digests: list[str] = []
    for path in found:
        name = path.relative_to(folder).as_posix()
        try:
            read_pixels(path, shrink=True)  # to the last byte: half a picture is found here, not in the middle of an export
            width, height = read_size(path)
            if min(width, height) < MIN_SIDE:
                raise InvalidFile(f"{path}: {width}x{height} pixels; expected at least {MIN_SIDE} on each side")
            digests.append(file_sha256(path))
        except InvalidFile as error:
            unreadable.append(within(folder, error))
            continue
        pictures.append(Picture(name, path, origin=name))
    if not pictures:
        raise none_usable(folder, unreadable)
    return CalibrationSet(folder.resolve().name or "pictures", tuple(pictures), combined_sha256(digests), tuple(unreadable))


def within(folder: Path, error: InvalidFile) -> str:
    """The error's line with the file's path below `folder`, which the reader has just named himself."""
    return str(error).replace(f"{folder}/", "", 1)


def none_usable(folder: Path, reasons: list[str]) -> InvalidFile:
    """What to raise when a folder yields no picture."""
    if not reasons:
        return InvalidFile(f"{folder}: holds no photographs; expected JPEG, PNG, WebP, TIFF or BMP files")
    return InvalidFile(f"{folder}: none of {len(reasons)} pictures can be used; expected at least one (the first: {reasons[0]})")
