"""What can go wrong, for people. Every message says what, got, expected, what next.

EdgekitError
  UnknownName        a model, target, recipe, backend or calibration set nobody knows; offers the closest ones
  InvalidFile        a TOML, manifest, picture or folder that cannot be used
  InvalidCheckpoint  weights that are refused or do not fit
  MissingToolchain   a runtime's Python packages are absent; carries the pip line
  LoweringError      a toolchain failed, or did nothing
  CannotRunHere      the machine cannot measure this
  OverBudget         measured, and worse than the target allows; carries the lines
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

LONGEST_MESSAGE = 390

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class EdgekitError(Exception):
    """Base of all errors that a person can act on. The message is one line, also where it quotes a file's names or a library's own words:
    what is not printable is escaped, and what is too long loses its middle (what and where stand at its start, what next at its end)."""

    def __init__(self, message: str) -> None:
        line = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in message)
        if len(line) > LONGEST_MESSAGE:
            line = f"{line[: LONGEST_MESSAGE - 155]} ... {line[-150:]}"
        super().__init__(line)


def first_line(error: BaseException, *, kind: bool = False) -> str:
    """The first line of what a library said, without the colours that it prints in, after the error's `kind` if wanted; the kind alone if it said nothing."""
    said, name = COLOURS.sub("", str(error)).strip(), type(error).__name__
    line = said.splitlines()[0].strip() if said else name
    return f"{name}: {line}" if kind and said else line


class UnknownName(EdgekitError):
    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        super().__init__(f"no {kind} named '{name}'; known: {', '.join(names)}{hint}")


class InvalidFile(EdgekitError):
    pass


class InvalidCheckpoint(EdgekitError):
    pass


class MissingToolchain(EdgekitError):
    def __init__(self, who: str, module: str, extra: str) -> None:
        super().__init__(f'{who} needs {module}: pip install "edgekit[{extra}]"')
        self.extra = extra


class LoweringError(EdgekitError):
    pass


class CannotRunHere(EdgekitError):
    pass


class OverBudget(EdgekitError):
    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report
