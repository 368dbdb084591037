"""Strict TOML: a file becomes a frozen dataclass or one clear line. Unknown keys are errors that name file, key and the allowed keys."""

from __future__ import annotations

import stat
import tomllib
import types
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from edgekit.errors import InvalidFile

T = TypeVar("T")


LARGEST_FILE = 4 * 2**20
"""Bytes. A set.toml of 10 000 pictures has about so many."""
MOST_DOTS = 40
"""In one line. The standard library's parser takes minutes for a key of 100 000 dots."""


def read(path: Path) -> dict[str, Any]:
    """Raises InvalidFile if the file is missing, unreadable, too large, not UTF-8 or not TOML."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE:
            raise InvalidFile(f"{path}: is no plain file or has more than {LARGEST_FILE} bytes; expected a TOML file")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InvalidFile(f"{path}: cannot be read ({error.strerror}); expected a TOML file") from error
    except UnicodeDecodeError as error:
        raise InvalidFile(f"{path}: is not UTF-8 text (byte {error.start}); expected a TOML file") from error
    except ValueError as error:  # a NUL in the path
        raise InvalidFile(f"{path}: cannot be read ({error}); expected a TOML file") from error
    return parse(text, str(path))


def parse(text: str, where: str) -> dict[str, Any]:
    """Raises InvalidFile. Numbers are those of the TOML standard: whole ones have 64 bits."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > MOST_DOTS:
            raise InvalidFile(f"{where}: line {number} holds {line.count('.')} dots; expected at most {MOST_DOTS}")
    try:
        table = tomllib.loads(text)
        _require_64_bits(table)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise InvalidFile(f"{where}: is not TOML ({error})") from error
    return table


def _require_64_bits(value: Any) -> None:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"a number of {value.bit_length()} bits")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_64_bits(inner)


def build(cls: type[T], table: dict[str, Any], where: str) -> T:
    """Makes the dataclass `cls` from `table`, checking every key and type. `where` opens each message (a file, or a file and a table)."""
    assert is_dataclass(cls)
    known = [f for f in fields(cls) if f.init]
    hints = _field_types(cls)
    names = [f.name for f in known]
    for key in table:
        if key not in names:
            raise InvalidFile(f"{where}: unknown key '{key[:60]}'; expected one of {', '.join(names)}")
    values: dict[str, Any] = {}
    for f in known:
        if f.name in table:
            values[f.name] = _convert(hints[f.name], table[f.name], f"{where}: {f.name}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise InvalidFile(f"{where}: '{f.name}' is missing; expected {_describe(hints[f.name])}")
    return cls(**values)


def _field_types(cls: type[Any]) -> dict[str, Any]:
    """The types of the fields alone: class variables may name types that are imported for the type checker only."""
    annotations = {f.name: f.type for f in fields(cls)}
    return get_type_hints(type(cls.__name__, (), {"__annotations__": annotations, "__module__": cls.__module__}))


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        for option in args:
            if option is type(None):
                continue
            return _convert(option, value, where)
    if origin is Literal:
        if not isinstance(value, str | int) or value not in args:
            raise InvalidFile(f"{where} is {_show(value)}; expected one of {', '.join(str(a) for a in sorted(args, key=str))}")
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise InvalidFile(f"{where} is {_show(value)}; expected a table")
        return build(hint, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise InvalidFile(f"{where} is {_show(value)}; expected a list")
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        if len(value) != len(args):
            raise InvalidFile(f"{where} has {len(value)} values; expected {len(args)}")
        return tuple(_convert(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(args, value, strict=True)))
    if origin is dict:
        if not isinstance(value, dict):
            raise InvalidFile(f"{where} is {_show(value)}; expected a table")
        return {k: _convert(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if hint is float and isinstance(value, float) and value - value != 0:
        raise InvalidFile(f"{where} is {value}; expected a finite number")
    if not isinstance(hint, type) or not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InvalidFile(f"{where} is {_show(value)}; expected {_describe(hint)}")
    return value


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(str(a) for a in sorted(get_args(hint), key=str))
    plain = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return plain.get(hint, "a list" if get_origin(hint) is tuple else "a table")
