"""What an app's self-test screen measured on its phone, checked against the bundle: by its numbers, not by what it says of them.

The JSON is described in tests/fixtures/README.md (device_reports) and by `device_report.schema.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from edgekit import manifest, measured
from edgekit.bundle import Bundle
from edgekit.errors import InvalidFile
from edgekit.json_schema import check, decode, parse_json, refuse_newer
from edgekit.manifest import Artifact, ArtifactLatency
from edgekit.measured import Agreement, Measured, MeasuredArtifact, MeasuredDevice

VERSION = 1
LONGEST_MS = 86_400_000
WARM = ("moderate", "severe", "critical", "emergency", "shutdown")
"""States in which phones slow down."""


@dataclass(frozen=True)
class ReportedBundle:
    """The manifest's `model.name` and `created`."""

    model: str
    created: str


@dataclass(frozen=True)
class ReportedDevice:
    """Texts are empty where the phone does not say."""

    manufacturer: str
    model: str
    system: str
    processor: str
    memory_mb: int | None

    @property
    def title(self) -> str:
        return f"{self.manufacturer} {self.model}".strip() or "a phone that does not say its model"


@dataclass(frozen=True)
class ReportedLatency:
    """Of one tile, in milliseconds. `threads` is None where the runtime does not say."""

    median_ms: float
    p90_ms: float
    runs: int
    threads: int | None
    peak_memory_mb: float | None


@dataclass(frozen=True)
class ReportedArtifact:
    """One model file; `sha256` is of the file as the app read it. `why_not` has a line for each of golden and latency that is None."""

    name: str
    sha256: str
    runtime: str
    golden: Agreement | None
    latency: ReportedLatency | None
    thermal_before: str | None
    thermal_after: str | None
    why_not: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DeviceReport:
    """`created` is ISO 8601 in UTC."""

    device_report: int
    app: str
    created: str
    bundle: ReportedBundle
    device: ReportedDevice
    artifacts: tuple[ReportedArtifact, ...]


@dataclass(frozen=True)
class Checked:
    """One artifact. `golden` says how its numbers compare with the manifest's tolerance, `line` in words. `reported` is None unless the app tested the
    bundle's file."""

    artifact: str
    golden: Literal["ok", "over", "other file", "not measured"]
    line: str
    reported: ReportedArtifact | None = None


# Reading


def read(path: Path) -> DeviceReport:
    """Raises InvalidFile for whatever is no sound report."""
    return from_json(measured.text_of(path, "the JSON that the app's self-test screen wrote"), str(path))


def from_json(text: str, where: str) -> DeviceReport:
    """`where` opens each message. Raises InvalidFile."""
    table = parse_json(text, where)
    refuse_newer(table, "device_report", VERSION, where)
    check(table, schema(), where)
    report: DeviceReport = decode(DeviceReport, table)
    names = [artifact.name for artifact in report.artifacts]
    for index, artifact in enumerate(report.artifacts):
        place = f"{where}: artifacts[{index}]"
        if names.count(artifact.name) > 1:
            raise InvalidFile(f"{place}: '{artifact.name}' stands twice; expected it once")
        _require_sense(artifact, place)
    return report


@cache
def schema() -> dict[str, Any]:
    """device_report.schema.json, with the manifest's types."""
    own = json.loads((files("edgekit") / "device_report.schema.json").read_text("utf-8"))
    return {**own, "$defs": manifest.schema()["$defs"] | own["$defs"]}


def _require_sense(artifact: ReportedArtifact, where: str) -> None:
    """Numbers that contradict each other were not measured."""
    golden, latency = artifact.golden, artifact.latency
    if golden:
        if golden.psnr_db is not None and golden.psnr_db > 100:
            raise InvalidFile(f"{where}.golden.psnr_db is {golden.psnr_db}; expected at most 100")
        if (golden.psnr_db is None) != (golden.max_abs is None):
            raise InvalidFile(f"{where}.golden: only one of max_abs and psnr_db is null; expected both, of values that are not finite, or none")
        if golden.bit_equal and golden.max_abs:
            raise InvalidFile(f"{where}.golden: bit_equal with a max_abs of {golden.max_abs:g}; expected 0")
    if latency and not latency.median_ms <= latency.p90_ms <= LONGEST_MS:
        raise InvalidFile(
            f"{where}.latency.p90_ms is {latency.p90_ms:g} with a median_ms of {latency.median_ms:g}; expected at least that, and at most a day"
        )


# Against the bundle


def against(report: DeviceReport, opened: Bundle) -> list[Checked]:
    """A line per artifact of the bundle, and one per file that the bundle has not."""
    found = {artifact.name: artifact for artifact in report.artifacts}
    known = {artifact.name for artifact in opened.manifest.artifacts}
    strangers = [
        Checked(name, "other file", f"the bundle has no '{name}'; expected one of {', '.join(sorted(known))}") for name in found.keys() - known
    ]
    return [_checked(artifact, found.get(artifact.name), opened) for artifact in opened.manifest.artifacts] + sorted(
        strangers, key=lambda c: c.artifact
    )


def _checked(artifact: Artifact, reported: ReportedArtifact | None, opened: Bundle) -> Checked:
    if reported is None:
        return Checked(artifact.name, "not measured", "the app's report does not speak of it")
    if reported.sha256 != artifact.sha256:
        line = f"the app's file has sha256 {reported.sha256[:12]}, the bundle's {artifact.sha256[:12]}: copy the bundle into the app again"
        return Checked(artifact.name, "other file", line)
    tolerance = next((output for output in opened.manifest.golden.artifacts if output.artifact == artifact.name), None)
    if reported.golden is None or tolerance is None:
        line = reported.why_not["golden"] if reported.golden is None else "the bundle holds no golden output for it"
        return Checked(artifact.name, "not measured", line, replace(reported, golden=None, why_not=reported.why_not | {"golden": line}))
    within, line = tolerance.judge(reported.golden.max_abs, reported.golden.psnr_db)
    unlike = "" if within == reported.golden.within else f"; the app says {'within' if reported.golden.within else 'not within'}: the numbers count"
    corrected = replace(reported, golden=replace(reported.golden, within=within))
    return Checked(artifact.name, "ok" if within else "over", line + unlike, corrected)


def record(report: DeviceReport, checks: Sequence[Checked], opened: Bundle) -> tuple[Measured, Path] | None:
    """Writes measured/<device>-app.json into the bundle; None if the app tested none of its files. Raises InvalidFile if it cannot be written."""
    results = {one.artifact: one for one in checks}
    if not any(one.reported for one in checks):
        return None
    artifacts = [_measured(artifact, results[artifact.name], report) for artifact in opened.manifest.artifacts]
    return measured.record(opened, device(report), artifacts)


def device(report: DeviceReport) -> MeasuredDevice:
    """Named after the phone, apart from what a shell measured on the same one."""
    phone, states = report.device, [(a.thermal_before, a.thermal_after) for a in report.artifacts]
    facts = {
        "description": f"{phone.title}, {phone.system}".removesuffix(", "),
        "processor": phone.processor,
        "memory_mb": "" if phone.memory_mb is None else str(phone.memory_mb),
        "app": report.app,
        "reported": report.created,
        "runtimes": ", ".join(dict.fromkeys(a.runtime for a in report.artifacts if a.runtime)),
        "thermal_before": states[0][0] or "not told",
        "thermal_after": states[-1][1] or "not told",
    }
    name = re.sub(r"[^a-z0-9]+", "-", f"{phone.manufacturer} {phone.model}".lower()).strip("-")[:60].strip("-") or "phone"
    return MeasuredDevice(f"{name}-app", "app", {key: text for key, text in facts.items() if text})


def _measured(artifact: Artifact, one: Checked, report: DeviceReport) -> MeasuredArtifact:
    parity = "an app's self-test runs the golden pair, not the test pictures"
    found = MeasuredArtifact(artifact.name, artifact.file, artifact.sha256, why_not={"golden": one.line, "parity": parity, "latency": one.line})
    if (there := one.reported) is None:
        return found
    latency = there.latency and ArtifactLatency(
        there.latency.median_ms, there.latency.p90_ms, there.latency.runs, there.latency.threads, report.device.title, there.latency.peak_memory_mb
    )
    missing = {"golden": there.golden is None, "latency": latency is None}
    return replace(
        found, golden=there.golden, latency=latency, why_not={"parity": parity} | {k: there.why_not[k] for k, none in missing.items() if none}
    )
