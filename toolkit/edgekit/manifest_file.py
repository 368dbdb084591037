"""manifest.json, read and written: what does not fit the schema, or itself, is neither."""

from __future__ import annotations

import json
from dataclasses import asdict

from edgekit import consistency
from edgekit.errors import InvalidFile
from edgekit.json_schema import check, decode, parse_json, refuse_newer
from edgekit.manifest import VERSION, Manifest, schema


def to_json(manifest: Manifest) -> str:
    """The file's text. Raises ValueError where a value does not fit the schema: a bug of the caller, not of the user."""
    try:
        text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        from_json(text, "manifest.json")
    except (InvalidFile, TypeError, ValueError) as error:
        raise ValueError(f"this manifest cannot be written: {error}") from error
    return text


def from_json(text: str, where: str) -> Manifest:
    """Reads and validates. `where` opens each message. Raises InvalidFile."""
    table = parse_json(text, where)
    refuse_newer(table, "manifest", VERSION, where)
    check(table, schema(), where)
    manifest: Manifest = decode(Manifest, table)
    consistency.require(manifest, where)
    return manifest
