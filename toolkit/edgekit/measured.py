"""measured/<device>.json: what a bundle's files gave on another device. The manifest stays as it was exported.

A file holds the latest measurement of each kind: `bench` renews the latencies and leaves the parity, `validate` renews what it measured. Whatever was measured
on another file than the bundle's (by its sha256) is dropped.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgekit import manifest
from edgekit.bundle import Bundle
from edgekit.device import ExecutedBy
from edgekit.errors import InvalidFile
from edgekit.json_schema import check, decode, parse_json, refuse_newer
from edgekit.manifest import ArtifactLatency, Parity

VERSION = 1
FOLDER = "measured"
LARGEST = 16 * 2**20
"""Bytes. A real one has some thousand."""


@dataclass(frozen=True)
class MeasuredDevice:
    """`name` is the file's: small letters, digits and dashes. `facts` are texts: `description`, the processor's features, the thermal state ..."""

    name: str
    executed_by: ExecutedBy
    facts: dict[str, str]


@dataclass(frozen=True)
class Agreement:
    """With the golden output: `within` its tolerance; `max_abs` on the [0, 1] scale and `psnr_db` (at most 100), None where a value is not finite."""

    within: bool
    bit_equal: bool
    max_abs: float | None
    psnr_db: float | None


@dataclass(frozen=True)
class MeasuredArtifact:
    """One file of the bundle. `why_not` has a line for each of golden, parity and latency that is None."""

    name: str
    file: str
    sha256: str
    golden: Agreement | None = None
    parity: Parity | None = None
    latency: ArtifactLatency | None = None
    why_not: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """`created` is ISO 8601 in UTC, of the latest measurement."""

    measured: int = VERSION
    edgekit: str
    created: str
    device: MeasuredDevice
    artifacts: tuple[MeasuredArtifact, ...]


def record(bundle: Bundle, device: MeasuredDevice, artifacts: Sequence[MeasuredArtifact], *, kept: Sequence[str] = ()) -> tuple[Measured, Path]:
    """Writes measured/<device>.json beside the manifest, whole or not at all; returns what it says now, and its place.

    `kept` names what this run did not try (of golden, parity, latency): the values of an earlier measurement of the same file stay. Raises InvalidFile if the
    place cannot be written or an earlier file there is damaged.
    """
    place = bundle.path / FOLDER / f"{device.name}.json"
    before = {a.name: a for a in read(place).artifacts} if kept and place.exists() else {}
    artifacts = tuple(_with_earlier(artifact, before.get(artifact.name), kept) for artifact in artifacts)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    measured = Measured(edgekit=version("edgekit"), created=now, device=device, artifacts=artifacts)
    text = json.dumps(asdict(measured), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    from_json(text, str(place))
    put(place, text)
    return measured, place


def put(place: Path, text: str) -> None:
    """Writes a file of a bundle's `measured/`, whole or not at all. Raises InvalidFile if the folder is a link or cannot be written."""
    temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}.new")
    try:
        place.parent.mkdir(exist_ok=True)
        if place.parent.is_symlink():
            raise InvalidFile(f"{place.parent}: is a link; expected a plain folder in the bundle")
        try:
            with temporary.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidFile(f"{place}: cannot be written ({error.strerror}); expected a bundle in a writable place") from error


def _with_earlier(new: MeasuredArtifact, old: MeasuredArtifact | None, kept: Sequence[str]) -> MeasuredArtifact:
    if old is None or old.sha256 != new.sha256:
        return new
    values: dict[str, Any] = {key: getattr(old, key) for key in kept}
    reasons: Mapping[str, str] = {key: old.why_not[key] for key in kept if key in old.why_not}
    return replace(new, **values, why_not={**{k: v for k, v in new.why_not.items() if k not in kept}, **reasons})


def read(path: Path) -> Measured:
    """Opens and validates one file. Raises InvalidFile."""
    return from_json(text_of(path, "measurements that `edgekit validate --on` wrote"), str(path))


def text_of(path: Path, expected: str) -> str:
    """A file of at most LARGEST bytes of UTF-8. `expected` ends the messages. Raises InvalidFile."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise InvalidFile(f"{path}: has more than {LARGEST} bytes; expected {expected}")
        return data.decode("utf-8")
    except OSError as error:
        raise InvalidFile(f"{path}: cannot be read ({error.strerror}); expected {expected}") from error
    except UnicodeDecodeError as error:
        raise InvalidFile(f"{path}: is not UTF-8 text (byte {error.start}); expected {expected}") from error


def from_json(text: str, where: str) -> Measured:
    """`where` opens each message. Raises InvalidFile."""
    table = parse_json(text, where)
    refuse_newer(table, "measured", VERSION, where)
    check(table, schema(), where)
    measured: Measured = decode(Measured, table)
    return measured


@cache
def schema() -> dict[str, Any]:
    """measured.schema.json, with the manifest's types."""
    return {**json.loads((files("edgekit") / "measured.schema.json").read_text("utf-8")), "$defs": manifest.schema()["$defs"]}
