"""Makes a calibration set from a folder of a user's own photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import InvalidFile
from edgekit_calibration.crop import MULTIPLE, TooSmall, cut, save
from edgekit_calibration.folder import find_photographs, none_usable, within
from edgekit_calibration.pixels import read_pixels
from edgekit_calibration.placing import set_folder
from edgekit_calibration.setfile import Entry, SetFile, file_sha256, write_set_file


@dataclass(frozen=True)
class BuildReport:
    kept: tuple[str, ...]  # paths below the source folder
    unreadable: tuple[str, ...]  # a line each: path and reason
    too_small: tuple[str, ...]  # a line each
    not_needed: int = 0  # photographs beyond the limit, not looked at


def build(
    source_dir: Path,
    out_dir: Path,
    *,
    size: int = 384,
    limit: int = 64,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> BuildReport:
    """Writes a set of at most `limit` squares of `size` pixels to `out_dir`, one from each photograph below `source_dir`; `load(out_dir)` reads it.

    Each photograph is reduced by at least 2 where it is large enough, so that JPEG blocks vanish (`crop.cut`), and stored as lossless WebP.
    Of more than `limit` photographs a fixed choice spread over all of them is taken. The same photographs give the same set. `out_dir`
    appears when it is whole; an existing set is replaced only with `force`. `progress` gets the pictures made and their final number at most.
    Raises InvalidFile: no usable photograph, an existing or unwritable `out_dir`.
    """
    if size < MULTIPLE or size % MULTIPLE:
        raise ValueError(f"size is {size}; expected a multiple of {MULTIPLE}")
    if limit < 1:
        raise ValueError(f"limit is {limit}; expected at least 1")
    found, unreadable = find_photographs(source_dir)
    source, out = source_dir.resolve(), out_dir.resolve()
    if out == source or out in source.parents:
        raise InvalidFile(f"{out_dir}: holds the photographs themselves; expected another folder for the set")
    found = [path for path in found if out not in path.resolve().parents]  # the set of an earlier build, inside the source
    too_small: list[str] = []
    entries: dict[str, Entry] = {}
    waiting = _spread(source_dir, found)
    total = min(limit, len(found))
    with set_folder(out_dir, force=force) as folder:
        while waiting and len(entries) < limit:
            path = waiting.pop()
            name = path.relative_to(source_dir).as_posix()
            try:
                entries[name] = _entry(path, name, folder, len(entries), size)
            except TooSmall as error:
                too_small.append(f"{name}: {error}")
            except InvalidFile as error:
                unreadable.append(within(source_dir, error))
            if progress:
                progress(len(entries), total)
        if not entries:
            raise none_usable(source_dir, sorted(unreadable) + sorted(too_small))
        ordered = tuple(entries[name] for name in sorted(entries))
        write_set_file(folder, SetFile(out.name, f"{len(ordered)} photographs of {source.name}", ordered))
    return BuildReport(tuple(sorted(entries)), tuple(sorted(unreadable)), tuple(sorted(too_small)), len(waiting))


def _spread(folder: Path, found: list[Path]) -> list[Path]:
    """In an order that does not follow names or dates, the same each time: any part of it is a fair choice of the whole."""
    return sorted(found, key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")).digest())


def _entry(path: Path, name: str, folder: Path, number: int, size: int) -> Entry:
    picture = cut(read_pixels(path), size)
    place = folder / f"{number:04}.webp"
    save(picture, place)
    return Entry(place.name, name, file_sha256(place), picture.width, picture.height)
