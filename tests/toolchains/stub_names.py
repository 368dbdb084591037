"""Names in ios-demo/Stubs against Apple's own headers (`apple_headers`): a stub proves nothing if it misspells the API.

python tests/toolchains/stub_names.py      lists every stub's names and the iOS release that has each

A declaration of a stub stands on one line. It must be in the headers under the name that Swift makes its own from (`names`), or under the one that its
comment `// = NAME` states; `// Swift only` marks what Swift adds to the headers, which nothing here can check.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apple_headers import FOLDER, make, read

from edgekit.errors import CannotRunHere

ROOT = Path(__file__).parents[2]
STUBS = ROOT / "ios-demo/Stubs"

SWIFT_MODULES = ("SwiftUI", "PhotosUI")
"""Written in Swift: they have no Objective-C headers, so nothing is checked."""
MODULE_OF = {"FoundationGaps": ("Foundation",), "CoreGraphics": ("CoreGraphics", "CoreFoundation"), "os": ("Darwin",)}
"""Stub -> the headers that it stands for, where the names differ."""


@dataclass(frozen=True)
class Name:
    """A declaration of a stub. `path`: the types around it and its own name, in Swift. `header`: what a comment says it is called in the headers, `owner`: what
    the type around it is called there; None: as in Swift."""

    module: str
    path: tuple[str, ...]
    kind: str
    labels: tuple[str, ...] = ()
    is_async: bool = False
    swift_only: bool = False
    header: str | None = None
    owner: str | None = None

    def __str__(self) -> str:
        call = f"({''.join(f'{label}:' for label in self.labels)})" if self.kind in ("func", "init") else ""
        return f"{self.module}.{'.'.join(self.path)}{call}"


DECLARATION = re.compile(
    r"^\s*(?:(?:public|open|final|override|convenience|nonisolated|static|class|mutating|@\S+|@unchecked)\s+)*"
    r"(?P<kind>class|struct|enum|protocol|extension|func|var|let|init|case|typealias|subscript)\b[?!]?\s*(?P<name>`?[\w.]+`?)?(?P<rest>[^/]*)"
    r"(?://\s*(?P<note>.*))?$"
)


def declarations(file: Path) -> Iterator[Name]:
    """What a stub states, in order."""
    around: list[tuple[str, str | None]] = []
    for line in file.read_text("utf-8").splitlines():
        if line.startswith(("//", "@_exported", "import ")) or not line.strip():
            continue
        if line.strip() == "}":
            around.pop()
            continue
        if not (match := DECLARATION.match(line)):
            raise ValueError(f"{file.name}: '{line.strip()}' is no declaration on one line")
        kind, note, rest = match["kind"], (match["note"] or "").strip(), match["rest"]
        own = kind if kind in ("init", "subscript") else (match["name"] or "").strip("`")
        header = note.removeprefix("= ") if note.startswith("= ") else None
        path = (*(name for name, _ in around), *own.split("."))
        if kind != "extension":
            labels = _labels(line) if kind in ("func", "init") else ()
            owner = around[-1][1] if around else None
            yield Name(file.stem, path, kind, labels, " async " in rest, note.startswith("Swift only"), header, owner)
        if rest.rstrip().endswith("{"):
            around.append((own, header))


def _labels(line: str) -> tuple[str, ...]:
    """Of a function's parameters."""
    depth, text = 0, ""
    for char in line[re.search(r"\b(func|init)\b", line).end() :]:  # type: ignore[union-attr]  # the line declares one of them
        depth += (char in "([{") - (char in ")]}")
        if depth == 0 and text:
            break
        text += char if depth == 1 else ""
    return tuple(re.findall(r"[(,]\s*(\w+)[\w ]*:", text))


def first_ios(name: Name, folder: Path = FOLDER) -> float | None:
    """The first iOS whose headers have it (0: not said); None if they have not. Raises CannotRunHere."""
    modules = MODULE_OF.get(name.module, (name.module,))
    known = {key: value for module in modules for key, value in read(module, folder).items() if key}
    outside = {key: value for module in modules for key, value in read(module, folder)[""].members.items()}
    if name.kind in ("class", "struct", "enum", "protocol"):
        wanted = name.header or "".join(name.path)
        return known[wanted].since if wanted in known else outside.get(wanted)
    if name.header and "." not in name.header and name.header in outside:
        return outside[name.header]
    if len(name.path) == 1:
        return outside.get((name.header or name.path[0]).rpartition(".")[2])
    around = name.path[:-1]
    owner = name.owner or next((wanted for wanted in ("".join(around), around[-1]) if wanted in known), "")
    while owner in known:
        for member, since in known[owner].members.items():
            if _is(member, name):
                return max(since, known[owner].since)
        parents = known[owner].parents
        owner = parents[0] if parents else ""
    return None


def _is(member: str, name: Name) -> bool:
    """Whether the member of the headers is what Swift calls `name`."""
    if name.header:
        return member == name.header
    own = name.path[-1]
    if name.kind == "case":
        return member.lower() == own.lower()
    if name.kind in ("var", "let"):
        return member == own or (own.startswith("is") and member == own[2].lower() + own[3:])
    words = "initWith" if name.kind == "init" else own
    for label in name.labels:
        words += r"\w*?" + ("" if label == "_" else label[0].upper() + label[1:])
    ending = "(Completion)?Handler" if name.is_async else "(Error)?"
    return member.endswith("Handler") == name.is_async and re.fullmatch(rf"{words}\w*?{ending}", member) is not None


def unknown(folder: Path = FOLDER, stubs: Path = STUBS) -> list[str]:
    """A line for each name of the stubs that the headers have not. Raises CannotRunHere."""
    checked = [name for file in sorted(stubs.glob("*.swiftinterface")) if file.stem not in SWIFT_MODULES for name in declarations(file)]
    return [f"{name}: not in Apple's headers" for name in checked if not name.swift_only and first_ios(name, folder) is None]


def main() -> int:
    make()
    for file in sorted(STUBS.glob("*.swiftinterface")):
        if file.stem in SWIFT_MODULES:
            print(f"not checked  {file.stem}: it is Swift's alone")
            continue
        for name in declarations(file):
            since = None if name.swift_only else first_ios(name)
            print(f"{'Swift only' if name.swift_only else 'MISSING' if since is None else f'iOS {since:g}' if since else 'found':12} {name}")
    return 1 if unknown() else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotRunHere as error:
        sys.exit(f"error: {error}")
