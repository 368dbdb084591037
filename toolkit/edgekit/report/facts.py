"""What a manifest says in free form, as (name, text) lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

DEEPEST = 3
LONGEST = 600
MOST_ITEMS = 200


def lines(value: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, str]]:
    """Nested tables become dotted names; what lies deeper, and lists, one text."""
    for key, inner in list(value.items())[:MOST_ITEMS]:
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(inner, Mapping) and inner and depth < DEEPEST:
            yield from lines(inner, f"{prefix}{key}, ", depth + 1)
        else:
            yield name, text(inner)


def text(value: Any) -> str:
    if isinstance(value, str):
        found = value
    elif isinstance(value, bool) or value is None:
        found = {True: "yes", False: "no", None: "none"}[value]
    elif isinstance(value, int | float):
        found = f"{value:.6g}" if isinstance(value, float) else str(value)
    elif isinstance(value, list | tuple) and not any(isinstance(one, Mapping | list | tuple) for one in value):
        found = "; ".join(text(one) for one in value[:MOST_ITEMS]) or "none"
    else:
        try:
            found = json.dumps(value, ensure_ascii=False) if value else "none"
        except (ValueError, RecursionError):
            found = "(too deep to show)"
    return found if len(found) <= LONGEST else f"{found[:LONGEST]} ..."


def ranges(facts: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """`facts["ranges"]`, {activation: [low, high]}, if a backend tells it."""
    found = facts.get("ranges")
    if not isinstance(found, Mapping):
        return []
    pairs = [(str(name), pair) for name, pair in found.items() if isinstance(pair, list | tuple) and len(pair) == 2]
    return [(name, float(low), float(high)) for name, (low, high) in pairs if all(isinstance(v, int | float) for v in (low, high))]
