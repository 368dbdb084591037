"""Which Android release a class or member came with, from npm's TypeScript declarations of each release (`android-platform-26.d.ts` ...).

Members are told apart by name and number of parameters, as finely as a check for missing guards needs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOWEST, HIGHEST = 26, 32
"""The lowest release that the app runs on; the newest that is declared. What is in none of them counts as HIGHEST + 1."""

_MODULE = re.compile(r"(?:declare|export) module ([\w.]+) \{")
_CLASS = re.compile(r"export (?:abstract )?class (\w+)(?:<.*?>)? *(?: extends ([\w.]+))?(?:<.*?>)?(?: implements (.*?))? \{")
_METHOD = re.compile(r"public (?:static )?(?:abstract )?\"?(\w+)\"?(?:<.*?>)?\((.*)\)")
_FIELD = re.compile(r"public (?:static )?\"?(\w+)\"?: ")


@dataclass
class Levels:
    """`classes`: dotted name -> release; `members`: "class name/number of parameters" or "class name" -> release; `parents`: class -> its parents."""

    classes: dict[str, int] = field(default_factory=dict)
    members: dict[str, int] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)

    def of(self, owner: str, member: str | None = None) -> int | None:
        """The release of a class, or of its (perhaps inherited) member "name/parameters" or "field". None for what is not Android's."""
        if owner not in self.classes:
            return HIGHEST + 1 if owner.startswith("android.") else None
        if member is None:
            return self.classes[owner]
        own = self.members.get(f"{owner} {member}", HIGHEST + 1)
        inherited = [level for parent in self.parents.get(owner, []) if (level := self.of(parent, member)) is not None]
        return max(self.classes[owner], min([own, *inherited]))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.__dict__), "utf-8")

    @classmethod
    def load(cls, path: Path) -> Levels:
        return cls(**json.loads(path.read_text("utf-8")))


def read(folder: Path) -> Levels:
    """From the declarations of all releases, the oldest first."""
    levels = Levels()
    for level in range(LOWEST, HIGHEST + 1):
        _read_one((folder / f"android-platform-{level}.d.ts").read_text("utf-8").splitlines(), level, levels)
    return levels


def _read_one(lines: Sequence[str], level: int, levels: Levels) -> None:
    place: list[str] = []
    owner = ""
    for line in map(str.strip, lines):
        if module := _MODULE.match(line):
            place.append(module[1])
        elif declared := _CLASS.match(line):
            place.append(declared[1])
            owner = ".".join(place)
            levels.classes.setdefault(owner, level)
            interfaces = re.sub(r"<.*?>", "", declared[3] or "").split(",")
            levels.parents[owner] = [name.strip() for name in (declared[2] or "", *interfaces) if name.strip()]
        elif line == "}" and place:
            place.pop()
        elif method := _METHOD.match(line):
            name = "<init>" if method[1] == "constructor" else method[1]
            count = len(re.findall(r"\bparam\d+: ", method[2]))
            levels.members.setdefault(f"{owner} {name}/{count}", level)
        elif named := _FIELD.match(line):
            levels.members.setdefault(f"{owner} {named[1]}", level)
