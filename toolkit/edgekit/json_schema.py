"""JSON that came from elsewhere: parsed strictly, validated against a schema, and turned into dataclasses."""

from __future__ import annotations

import json
import math
import re
import types
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from edgekit.errors import InvalidFile

LARGEST_INTEGER = 2**53 - 1
"""JSON readers that keep numbers as doubles lose digits beyond it."""
DEEPEST = 64
"""Levels of objects and arrays. A real manifest has nine; a phone's stack is small."""


def parse_json(text: str, where: str) -> dict[str, Any]:
    """A strict JSON object: no duplicate keys, no NaN or infinity, no number that a double cannot hold, no lone surrogate, at most DEEPEST levels."""

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [k for k, _ in pairs]
            raise ValueError(f"the key {_show(next(k for k in keys if keys.count(k) > 1))} stands twice")
        return found

    def integer(digits: str) -> int:
        if len(digits) > 17 or abs(int(digits)) > LARGEST_INTEGER:
            raise ValueError(f"the number {digits[:20]} is too large")
        return int(digits)

    def real(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise ValueError(f"the number {digits[:20]} is not finite")
        return value

    try:
        found = json.loads(text, object_pairs_hook=table, parse_int=integer, parse_float=real, parse_constant=real)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        reason = "text that is not Unicode" if isinstance(error, UnicodeEncodeError) else str(error)
        raise InvalidFile(f"{where}: is not JSON as expected ({reason})") from error
    if not isinstance(found, dict):
        raise InvalidFile(f"{where}: is {_show(found)}; expected an object")
    level: list[Any] = [found]
    for _ in range(DEEPEST):
        level = [item for value in level if isinstance(value, dict | list) for item in (value.values() if isinstance(value, dict) else value)]
    if any(isinstance(value, dict | list) for value in level):
        raise InvalidFile(f"{where}: is nested deeper than {DEEPEST} levels; expected what edgekit wrote")
    return found


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float),
    "integer": (int, float),
}
_NOTES = {"$schema", "$id", "$defs", "title", "description"}
KEYWORDS = _NOTES | {"$ref", "additionalProperties", "allOf", "anyOf", "const", "enum", "if", "items", "maxItems", "minimum", "minItems", "minLength"}
KEYWORDS |= {"pattern", "properties", "required", "then", "type"}
"""The part of JSON Schema that `check` knows; a test holds the schema to it."""


def check(value: Any, schema: dict[str, Any], where: str) -> None:
    """Validates parsed JSON against a schema (draft 2020-12, the KEYWORDS above; references into its own $defs). Raises InvalidFile that names the place."""
    _check(value, schema, where, schema.get("$defs", {}))


def refuse_newer(table: dict[str, Any], key: str, version: int, where: str) -> None:
    """Raises InvalidFile if the number under `key` is above `version`: a newer edgekit wrote what this one cannot know."""
    found = table.get(key)
    if isinstance(found, int) and not isinstance(found, bool) and found > version:
        raise InvalidFile(f"{where}: is of schema version {found}, made by a newer edgekit; expected {version}: pip install --upgrade edgekit")


def _check(value: Any, rule: dict[str, Any], where: str, definitions: dict[str, Any]) -> None:
    if "$ref" in rule:
        _check(value, definitions[rule["$ref"].removeprefix("#/$defs/")], where, definitions)
    if "type" in rule:
        allowed = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        if not any(_is(value, name) for name in allowed):
            raise InvalidFile(f"{where} is {_show(value)}; expected {' or '.join(allowed)}")
    if "const" in rule and not _same(value, rule["const"]):
        raise InvalidFile(f"{where} is {_show(value)}; expected {rule['const']}")
    if "enum" in rule and not any(_same(value, option) for option in rule["enum"]):
        raise InvalidFile(f"{where} is {_show(value)}; expected one of {', '.join(str(option) for option in rule['enum'])}")
    if isinstance(value, str):
        if len(value) < rule.get("minLength", 0):
            raise InvalidFile(f"{where} is empty; expected a text")
        if "pattern" in rule and not re.search(rule["pattern"], value):
            raise InvalidFile(f"{where} is {_show(value)}; expected {rule['description']}")
    if _is(value, "number") and value < rule.get("minimum", value):
        raise InvalidFile(f"{where} is {_show(value)}; expected at least {rule['minimum']}")
    if isinstance(value, list):
        least, most = rule.get("minItems", 0), rule.get("maxItems", len(value))
        if not least <= len(value) <= most:
            raise InvalidFile(f"{where} has {len(value)} values; expected {least if len(value) < least else most}")
        for index, item in enumerate(value):
            _check(item, rule.get("items", {}), f"{where}[{index}]", definitions)
    if isinstance(value, dict):
        _check_object(value, rule, where, definitions)
    for part in rule.get("allOf", []):
        _check(value, part, where, definitions)
    if "anyOf" in rule:
        errors = [error for option in rule["anyOf"] if (error := _error(value, option, where, definitions))]
        if len(errors) == len(rule["anyOf"]):
            raise errors[0]
    if "if" in rule and _error(value, rule["if"], where, definitions) is None:
        _check(value, rule["then"], where, definitions)


def _check_object(value: dict[str, Any], rule: dict[str, Any], where: str, definitions: dict[str, Any]) -> None:
    known, others = rule.get("properties", {}), rule.get("additionalProperties", True)
    for key in rule.get("required", []):
        if key not in value:
            raise InvalidFile(f"{where}: '{key}' is missing")
    for key, item in value.items():
        place = f"{where}: {_plain(key)}" if where.endswith(".json") else f"{where}.{_plain(key)}"
        if key in known:
            _check(item, known[key], place, definitions)
        elif others is False:
            raise InvalidFile(f"{where}: unknown key {_show(key)}; expected one of {', '.join(known)}")
        elif isinstance(others, dict):
            _check(item, others, place, definitions)


def _error(value: Any, rule: dict[str, Any], where: str, definitions: dict[str, Any]) -> InvalidFile | None:
    try:
        _check(value, rule, where, definitions)
    except InvalidFile as error:
        return error
    return None


def _is(value: Any, name: str) -> bool:
    """JSON's types: true is no number, and 2.0 is an integer."""
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name]) and (name != "integer" or value == int(value))


def _same(value: Any, other: Any) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def decode(hint: Any, value: Any) -> Any:
    """Parsed, validated JSON -> the type that `hint` names."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else decode(next(a for a in args if a is not type(None)), value)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return hint(**{f.name: decode(hints[f.name], value[f.name]) for f in fields(hint) if f.name in value})
    if origin is tuple:
        inner = args if args[-1] is not Ellipsis else (args[0],) * len(value)
        return tuple(decode(a, v) for a, v in zip(inner, value, strict=True))
    if hint in (int, float):
        return hint(value)
    return value


def _show(value: Any) -> str:
    text = repr(value) if not isinstance(value, dict | list) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(key: str) -> str:
    return key if key.isidentifier() and len(key) <= 40 else _show(key)
