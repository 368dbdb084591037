"""What is needed to execute ARM64 code: where `make_arm64` put it, and whether it fits the toolchain that is installed here."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgekit.errors import CannotRunHere

FOLDER = "EDGEKIT_ARM64"
"""The environment variable that names the kit's folder; without it, build/arm64 below the working directory."""

MAKE = "make it with `make arm64`, or `python -m edgekit_targets.devices.make_arm64`"
SOURCE = Path(__file__).with_name("runner.cpp")


@dataclass(frozen=True)
class Versions:
    """What a kit was made of. `runner` is the first digits of its source's sha256; `python` such as 3.11; `qemu` as the program says it."""

    executorch: str
    litert: str
    runner: str
    python: str
    qemu: str


@dataclass(frozen=True)
class Kit:
    """`folder` holds `runner/` (the C++ runner, ExecuTorch's libraries, glibc's own loader and libraries: all that a phone or qemu needs), `qemu-aarch64`,
    `sysroot/` (Debian's ARM64 Python) and `site/` (LiteRT's aarch64 wheel)."""

    folder: Path
    versions: Versions

    @property
    def qemu(self) -> Path:
        return self.folder / "qemu-aarch64"

    @property
    def runner(self) -> Path:
        return self.folder / "runner"

    @property
    def python(self) -> Path:
        return self.folder / "sysroot/usr/bin" / f"python{self.versions.python}"

    def digest(self) -> str:
        """Of the runner and its libraries, so that a phone can tell whether it has them: 12 hexadecimal digits."""
        sums = hashlib.sha256()
        for path in sorted(self.runner.iterdir()):
            sums.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return sums.hexdigest()[:12]


RUN = ("./ld-linux-aarch64.so.1", "--library-path", ".", "./runner")
"""The command, in the folder `runner/`. The loader is named because Android has none of glibc's."""


def folder() -> Path:
    return Path(os.environ.get(FOLDER) or "build/arm64")


def find(place: Path | None = None) -> Kit:
    """The kit in `place`, or where the environment or the working directory has it. Raises CannotRunHere if it is absent, damaged or of other versions."""
    place = (place or folder()).resolve()
    try:
        versions = Versions(**json.loads((place / "kit.json").read_text("utf-8")))
    except FileNotFoundError:
        raise CannotRunHere(f"{place}: holds no ARM64 runner; expected one: {MAKE}, and name its folder with {FOLDER} elsewhere") from None
    except (OSError, ValueError, TypeError) as error:
        raise CannotRunHere(f"{place}: its kit.json cannot be used ({error}); {MAKE} again") from error
    for what, had, here in (
        ("ExecuTorch", versions.executorch, installed("executorch")),
        ("LiteRT", versions.litert, installed("ai-edge-litert")),
        ("the runner's source", versions.runner, source_digest()),
    ):
        if here and had != here:
            raise CannotRunHere(f"{place}: was made for {what} {had}, here is {here}; {MAKE} again")
    return Kit(place, versions)


def save(place: Path, versions: Versions) -> None:
    """Marks the kit as whole."""
    temporary = place / "kit.json.new"
    temporary.write_text(json.dumps(asdict(versions), indent=2) + "\n", "utf-8")
    temporary.replace(place / "kit.json")


def installed(package: str) -> str:
    """Its version, or an empty text."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def source_digest() -> str:
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
