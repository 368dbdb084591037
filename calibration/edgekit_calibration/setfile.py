"""set.toml: the list of a set's pictures, with origin, licence and sha256 of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgekit import toml
from edgekit.errors import InvalidFile
from edgekit_calibration.picture import CalibrationSet, Picture
from edgekit_calibration.pixels import read_size

SET_FILE = "set.toml"


@dataclass(frozen=True)
class Entry:
    file: str
    origin: str
    sha256: str
    width: int
    height: int
    author: str = ""
    licence: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetFile:
    name: str
    description: str
    picture: tuple[Entry, ...]  # [[picture]]


def read_set_file(folder: Path) -> SetFile:
    """The checked contents of `folder`/set.toml. Raises InvalidFile."""
    path = folder / SET_FILE
    listed = toml.build(SetFile, toml.read(path), str(path))
    if not listed.picture:
        raise InvalidFile(f"{path}: lists no pictures; expected at least one [[picture]]")
    seen: set[str] = set()
    for number, entry in enumerate(listed.picture, 1):
        where = f"{path}: [[picture]] {number}"
        inside = PurePosixPath(entry.file)
        if not entry.file or inside.is_absolute() or ".." in inside.parts or "\\" in entry.file or "\0" in entry.file:
            raise InvalidFile(f"{where}: file is {entry.file!r}; expected a path below the set's folder")
        if entry.file in seen:
            raise InvalidFile(f"{where}: '{entry.file}' is listed twice; expected each picture once")
        seen.add(entry.file)
    return listed


def load_set(folder: Path) -> CalibrationSet:
    """The set in `folder`. Every file's sha256 and size are checked. Raises InvalidFile."""
    listed = read_set_file(folder)
    pictures = tuple(_picture(folder, entry) for entry in listed.picture)
    return CalibrationSet(listed.name, pictures, combined_sha256(entry.sha256 for entry in listed.picture))


def combined_sha256(each: Iterable[str]) -> str:
    """One sha256 for several, in order."""
    return hashlib.sha256("\n".join(each).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Raises InvalidFile if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidFile(f"{path}: cannot be read ({error.strerror}); expected a picture") from error


def write_set_file(folder: Path, contents: SetFile) -> None:
    """The same contents give the same bytes."""
    lines = [f"name = {_text(contents.name)}", f"description = {_text(contents.description)}"]
    for entry in contents.picture:
        lines += [
            "",
            "[[picture]]",
            f"file = {_text(entry.file)}",
            f"origin = {_text(entry.origin)}",
            f"author = {_text(entry.author)}",
            f"licence = {_text(entry.licence)}",
            f"tags = [{', '.join(map(_text, entry.tags))}]",
            f"width = {entry.width}",
            f"height = {entry.height}",
            f"sha256 = {_text(entry.sha256)}",
        ]
    (folder / SET_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _picture(folder: Path, entry: Entry) -> Picture:
    path = folder / entry.file
    try:
        is_there = path.is_file()
    except (OSError, ValueError) as error:  # a name that no file system takes
        raise InvalidFile(
            f"{folder / SET_FILE}: lists a file whose name cannot be one ({len(entry.file)} characters); build the set again"
        ) from error
    if not is_there:
        raise InvalidFile(f"{path}: is missing, but {SET_FILE} lists it; restore it or build the set again")
    actual = file_sha256(path)
    if actual != entry.sha256:
        raise InvalidFile(
            f"{path}: sha256 is {actual[:12]}..., but {SET_FILE} says {entry.sha256[:12]}...; the file was altered: restore it or build the set again"
        )
    size = read_size(path)
    if size != (entry.width, entry.height):
        raise InvalidFile(f"{path}: is {size[0]}x{size[1]}, but {SET_FILE} says {entry.width}x{entry.height}; build the set again")
    return Picture(entry.file, path, entry.tags, entry.licence, entry.origin)


def _text(value: str) -> str:
    """A TOML basic string: JSON's escapes, plus the one control character that JSON leaves alone. A name that is no Unicode gets question marks."""
    clean = value.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007f")
