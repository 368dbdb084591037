"""What the bundle's files gave on other devices: measured/<device>.json, which `edgekit validate` and `bench` write with --on or from an app's report."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit import bundle, measured
from edgekit.bundle import Bundle
from edgekit.errors import InvalidFile
from edgekit.report.labels import metric, moment
from edgekit.report.table import NOT_MEASURED, Cell

EXECUTED_BY = {
    "host": "the machine that made the bundle",
    "evaluator": "edgekit's Core ML evaluator on the machine that made the bundle, which is not Apple's runtime",
    "coreml": "Core ML on macOS",
    "qemu-arm64": "an emulated ARM64 processor",
    "adb": "an Android device over adb",
    "app": "an app's self-test screen on the device itself",
}
MOST = 32
_NAME = re.compile(r"(?!layers-)[a-z0-9-]{1,80}\.json")


@dataclass(frozen=True)
class DeviceRow:
    artifact: str
    golden: Cell
    parity: Cell
    latency: Cell
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class DeviceTable:
    """`stale` names files that have changed since: what was measured on them is not shown."""

    name: str
    created: str
    executed_by: str
    facts: tuple[tuple[str, str], ...]
    rows: tuple[DeviceRow, ...]
    stale: tuple[str, ...]


def devices(opened: Bundle) -> list[DeviceTable]:
    """One table per device. Raises InvalidFile for a damaged file."""
    names = sorted(path.name for path in (opened.path / measured.FOLDER).glob("*.json") if _NAME.fullmatch(path.name))[:MOST]
    return [_table(opened, f"{measured.FOLDER}/{name}") for name in names]


def _table(opened: Bundle, name: str) -> DeviceTable:
    where = str(opened.path / name)
    try:
        found = measured.from_json((bundle.read_note(opened, name, measured.LARGEST) or b"").decode("utf-8"), where)
    except UnicodeDecodeError as error:
        raise InvalidFile(f"{where}: is not UTF-8 text (byte {error.start}); expected measurements: delete it and measure again") from error
    current = {artifact.name: artifact.sha256 for artifact in opened.manifest.artifacts}
    rows = tuple(_row(one) for one in found.artifacts if current.get(one.name) == one.sha256)
    return DeviceTable(
        found.device.name,
        moment(found.created),
        EXECUTED_BY.get(found.device.executed_by, found.device.executed_by),
        tuple(found.device.facts.items()),
        rows,
        tuple(one.name for one in found.artifacts if current.get(one.name) != one.sha256),
    )


def _row(one: measured.MeasuredArtifact) -> DeviceRow:
    blind = Cell(NOT_MEASURED, "unmeasured")
    golden, parity, latency = blind, blind, blind
    if one.golden:
        psnr = "not finite" if one.golden.psnr_db is None else f"{one.golden.psnr_db:.1f} dB"
        golden = Cell("bit-equal" if one.golden.bit_equal else psnr, "ok" if one.golden.within else "over")
    if one.parity:
        mean, worst = ("not finite" if value is None else metric("psnr_db").text(value) for value in (one.parity.psnr_db, one.parity.worst_psnr_db))
        parity = Cell(f"{mean} / {worst} dB, {one.parity.tiles} tile{'s' * (one.parity.tiles != 1)}")
    if one.latency:
        latency = Cell(f"{metric('median_ms').text(one.latency.median_ms)} ms")
    return DeviceRow(one.name, golden, parity, latency, tuple(f"{what}: {reason}" for what, reason in one.why_not.items()))
