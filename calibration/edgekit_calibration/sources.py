"""sources.toml: the free photographs that the built-in sets are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgekit import toml
from edgekit.errors import InvalidFile

Tag = Literal["day", "night", "indoor", "skin", "foliage", "text", "gradient", "texture", "grey", "near-white", "near-black"]


@dataclass(frozen=True)
class Package:
    name: str
    kind: Literal["debian", "pypi"]
    version: str  # the one the photographs were found in; Debian's is not pinned when fetching, their sha256 is


@dataclass(frozen=True)
class Photograph:
    id: str
    package: str
    path: str  # inside the package
    author: str
    licence: str  # SPDX
    role: Literal["calibration", "test"]
    tags: tuple[Tag, ...]
    sha256: str
    centre: tuple[float, float] | None = None  # of the crop, fractions of width and height


@dataclass(frozen=True)
class Sources:
    package: tuple[Package, ...]  # [[package]]
    photograph: tuple[Photograph, ...]  # [[photograph]]

    def origin(self, photograph: Photograph) -> str:
        """Package, version and path, as set.toml states it."""
        version = next(package.version for package in self.package if package.name == photograph.package)
        return f"{photograph.package} {version}: {photograph.path}"


def read_sources(path: Path = Path(__file__).parent / "sources.toml") -> Sources:
    """The checked table. Raises InvalidFile."""
    sources = toml.build(Sources, toml.read(path), str(path))
    known = {package.name for package in sources.package}
    seen: set[str] = set()
    for photograph in sources.photograph:
        where = f"{path}: photograph '{photograph.id}'"
        if photograph.id in seen:
            raise InvalidFile(f"{where} is listed twice; expected each id once")
        seen.add(photograph.id)
        if photograph.package not in known:
            raise InvalidFile(f"{where}: no [[package]] named '{photograph.package}'; known: {', '.join(sorted(known))}")
        if photograph.centre and not all(0 <= at <= 1 for at in photograph.centre):
            raise InvalidFile(f"{where}: centre is {photograph.centre}; expected two numbers from 0 to 1")
    return sources
