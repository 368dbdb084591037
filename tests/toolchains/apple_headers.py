"""What Apple's Objective-C headers declare, as npm's @nativescript/types-ios states it in TypeScript.

python tests/toolchains/apple_headers.py [FOLDER]      fetch it (default: build/apple-headers); what is there already is kept
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import npm

from edgekit.errors import CannotRunHere

FOLDER = Path(__file__).parents[2] / "build/apple-headers"
PACKAGE = "@nativescript/types-ios@9.1.2"
"""Made from the headers of iOS 26."""


def make(folder: Path = FOLDER) -> None:
    """Raises CannotRunHere."""
    whole = folder / ".whole"
    if whole.exists() and whole.read_text("utf-8") == PACKAGE:
        return
    shutil.rmtree(folder, ignore_errors=True)
    npm.unpack(PACKAGE, folder)
    whole.write_text(PACKAGE, "utf-8")


@dataclass
class Found:
    """A type of the headers: what it inherits from, its members, and the first iOS that has it (0: always, or not said)."""

    since: float = 0
    parents: tuple[str, ...] = ()
    members: dict[str, float] = field(default_factory=dict)


Headers = dict[str, Found]
"""Types, and under "" what stands outside of types."""


@cache
def read(module: str, folder: Path = FOLDER) -> Headers:
    """What the headers of a module declare. Raises CannotRunHere if they have not been fetched."""
    if not (folder / ".whole").exists():
        raise CannotRunHere(f"{folder}: holds no types of Apple's headers; expected them: make toolchains")
    found: Headers = {"": Found()}
    inside, since = "", 0.0
    for line in (folder / f"lib/ios/objc-x86_64/objc!{module}.d.ts").read_text("utf-8").splitlines():
        if match := re.match(r"\s*\* @since ([\d.]+)", line):
            since = float(match[1])
        elif match := re.match(
            r"(?:declare )?(?:const )?(class|interface|enum|var) (\w+)(?:<.*?>)?(?: extends (\w+))?(?:.*? implements ([\w, ]+))?.*\{$", line
        ):
            inside = match[2]
            parents = tuple(part.strip() for part in f"{match[3] or ''},{match[4] or ''}".split(",") if part.strip())
            found.setdefault(inside, Found(since, parents))
            since = 0.0
        elif match := re.match(r"declare (?:const enum|function|var|const|class) (\w+)", line):
            found[""].members[match[1]] = since
            if line.endswith("{"):
                inside = match[1]
                found.setdefault(inside, Found(since))
            since = 0.0
        elif line.startswith("}"):
            inside, since = "", 0.0
        elif inside and (match := re.match(r"\t(?:static )?(?:readonly )?(\w+)", line)):
            name = match[1]
            if name == "constructor" and (keys := re.findall(r"(?:\{ |; )(\w+):", line)):
                name = "initWith" + "".join(key[0].upper() + key[1:] for key in keys)
            found[inside].members.setdefault(name, since)
            since = 0.0
    return found


if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    except CannotRunHere as error:
        sys.exit(f"error: {error}")
