"""Finds calls of Android members that are newer than the app's lowest release and stand unguarded, in compiled classes.

The rule is lint's, made simpler: a method may use a member of release N if it asks for Build.VERSION.SDK_INT itself, or if it says @TargetApi(N) (or more); who
calls such a method must do the same. That it asks for the right number is not seen. Lambdas and local classes count as part of the method that they stand in.
"""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from api_levels import Levels
from kotlin import Kotlin

SDK_INT = "android.os.Build.VERSION SDK_INT"
_REFERENCE = re.compile(r"// (?:Interface)?(Method|Field) (?:([\w/$]+)\.)?(\"?[\w$<>-]+\"?):(\S+)")
_LAMBDA_TYPE = re.compile(r"// InvokeDynamic #\d+:[\w$-]+:\S*\)L([\w/$]+);")
_CLASS = re.compile(r"// class ([\w/$]+)$")
_METHOD = re.compile(r"^  \S.*?([\w$<>.-]+)\(.*\)(?: throws .*)?;$|^  (static) \{\};$")
_FIELD = re.compile(r"^  \S.* ([\w$]+);$")
_PARAMETER = re.compile(r"\[*(?:[ZBCSIJFD]|L[^;]+;)")


@dataclass
class Place:
    """A method with its lambdas: what it uses ("owner member"), and the release that its annotation names (0: none)."""

    uses: set[str] = field(default_factory=set)
    target: int = 0


@dataclass
class Program:
    """`places`: "class method" -> place; `members`: "class name" of all that is declared; `parents`: class -> its parent and interfaces. Dotted names, inner
    classes with a dot."""

    places: dict[str, Place] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    parents: dict[str, list[str]] = field(default_factory=dict)


def unguarded(kotlin: Kotlin, jar: Path, levels: Levels, lowest: int, scratch: Path) -> list[str]:
    """One line per use that needs a guard and has none."""
    program = read(_javap(kotlin, jar, scratch))
    found = []
    for name, place in sorted(program.places.items()):
        if SDK_INT in place.uses:
            continue
        for use in sorted(place.uses):
            needed = _needed(use, program, levels)
            if needed > max(lowest, place.target):
                found.append(f"{name}: {use.replace(' ', '.')} is of release {needed}; expected a check of SDK_INT or @TargetApi({needed})")
    return found


def _javap(kotlin: Kotlin, jar: Path, scratch: Path) -> str:
    with zipfile.ZipFile(jar) as archive:
        archive.extractall(scratch)
        classes = [scratch / name for name in archive.namelist() if name.endswith(".class")]
    command = [kotlin.java_home / "bin/javap", "-v", "-p", *classes]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout


def read(listing: str) -> Program:
    """What `javap -v -p` printed of some classes."""
    program = Program()
    for text in listing.split("\nClassfile "):
        _read_class(text, program)
    return program


def _read_class(text: str, program: Program) -> None:
    this = re.search(r"this_class: #\d+ +// ([\w/$]+)", text)
    if this is None:
        return
    parent = re.search(r"super_class: #\d+ +// ([\w/$]+)", text)
    declared = re.search(r" implements (.*)", text.split("\n  minor version")[0])
    interfaces = [re.sub(r"<.*", "", part).strip() for part in declared[1].split(", ")] if declared else []
    owner = _dotted(this[1])
    program.parents[owner] = [*([_dotted(parent[1])] if parent else []), *interfaces]
    method = "<class>"
    for line in _body(text):
        if named := _METHOD.match(line):
            method = (named[1] or named[2]).split(".")[-1]
            method = "<init>" if method == this[1].split("/")[-1] else method
            program.members.add(f"{owner} {method}")
        elif held := _FIELD.match(line):
            program.members.add(f"{owner} {held[1]}")
        place = program.places.setdefault(_place(this[1], method), Place())
        place.uses |= set(_uses(line, owner))
        if value := re.search(r"^ +value=(\d+)$", line):
            place.target = max(place.target, int(value[1]))


def _body(text: str) -> Iterator[str]:
    """The lines after the constant pool."""
    _, _, body = text.partition("\n{\n")
    return iter(body.splitlines())


def _uses(line: str, owner: str) -> Iterator[str]:
    if used := _REFERENCE.search(line):
        name = used[3].strip('"')
        count = f"/{len(_PARAMETER.findall(used[4].partition(')')[0]))}" if used[1] == "Method" else ""
        yield f"{_dotted(used[2]) if used[2] else owner} {name}{count}"
    elif made := _LAMBDA_TYPE.search(line) or _CLASS.search(line):
        yield _dotted(made[1])


def _place(binary: str, method: str) -> str:
    """Lambdas and local classes are called Outer$method$1, and method$lambda$0."""
    outer, *inner = binary.split("$")
    named = [part for part in inner if part[0].isupper()]
    local = [part for part in inner if not part[0].isupper() and not part.isdigit()]
    plain = local[0] if local else method.split("$")[0].replace("_init_", "<init>")
    return f"{'.'.join([_dotted(outer), *named])} {plain}"


def _dotted(binary: str) -> str:
    return binary.replace("/", ".").replace("$", ".")


def _needed(use: str, program: Program, levels: Levels) -> int:
    """The release that a use needs; 0 for what is the app's own or of no release."""
    owner, _, member = use.partition(" ")
    name = member.partition("/")[0]
    waiting = [owner]
    while waiting:
        at = waiting.pop(0)
        if f"{at} {name}" in program.members or (at in program.parents and not member):
            place = program.places.get(f"{at} {name}")
            return place.target if place else 0
        if at in program.parents:
            waiting += program.parents[at]
        elif (level := levels.of(at, member or None)) is not None:
            return level
    return 0
