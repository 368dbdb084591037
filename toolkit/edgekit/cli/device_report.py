"""What an app measured on its phone: shown, checked against the bundle, and written beside its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cli.console import emit_json, say
from edgekit.errors import InvalidFile, OverBudget

if TYPE_CHECKING:
    from edgekit.bundle import Bundle
    from edgekit.device_report import Checked, DeviceReport


def only_option(**others: Any) -> None:
    """Raises InvalidFile if an option is given that a report leaves no room for."""
    if given := [name.replace("_", "-") for name, value in others.items() if value]:
        raise InvalidFile(f"--device-report reads what was measured on a phone, --{given[0]} measures; expected one of them")


def conclude(path: Path, file: Path, *, strict: bool, json: bool) -> None:
    """`edgekit validate BUNDLE --device-report FILE`. Raises OverBudget where the exit status has to be 1."""
    from edgekit import bundle, device_report

    opened, report = bundle.read(path), device_report.read(file)
    document, checks = show(report, opened)
    if json:
        emit_json({"bundle": str(path), **document})
    require(checks, strict=strict)


def show(report: DeviceReport, opened: Bundle) -> tuple[dict[str, Any], list[Checked]]:
    """Prints what the report says, writes measured/<device>-app.json; returns both for the JSON document and for `require`."""
    from edgekit import device_report

    checks = device_report.against(report, opened)
    device, made = report.device, opened.manifest
    memory = f", {device.memory_mb} MB" if device.memory_mb else ""
    say(f"device  {device.title}{', ' * bool(device.system)}{device.system}{memory}; {report.app}, {report.created}")
    if (report.bundle.model, report.bundle.created) != (made.model.name, made.created):
        say(
            f"note    the app's bundle is {report.bundle.model} of {report.bundle.created}, this one {made.model.name} of {made.created}: the files' sha256 decide"
        )
    for one in checks:
        _show(one)
    say("NOT MEASURED  the budgets: an app's self-test runs the golden pair, not the test pictures")
    written = device_report.record(report, checks, opened)
    say(f"written to {written[1]}" if written else "NOT MEASURED  any file of this bundle; nothing was written")
    found = {"device_report": asdict(report), "checks": [{"artifact": c.artifact, "golden": c.golden, "line": c.line} for c in checks]}
    return found | ({"measured": asdict(written[0]), "written": str(written[1])} if written else {}), checks


def require(checks: Sequence[Checked], *, strict: bool) -> None:
    """Raises OverBudget if a golden check failed or a file is another one; if `strict`, also if something was not measured."""
    if bad := [one for one in checks if one.golden in ("over", "other file")]:
        raise OverBudget("; ".join(f"{one.artifact}: {one.line}" for one in bad))
    if strict and (blind := [one.artifact for one in checks if one.reported is None or not (one.reported.golden and one.reported.latency)]):
        raise OverBudget("not measured: " + "; ".join(blind))


def _show(one: Checked) -> None:
    from edgekit.device_report import WARM

    there = one.reported
    if there is None:
        say(f"{'OTHER FILE' if one.golden == 'other file' else 'NOT MEASURED'}  {one.artifact}: {one.line}")
        return
    say(f"golden  {one.artifact}: {'NOT MEASURED: ' * (one.golden == 'not measured')}{one.line}, {there.runtime}")
    if latency := there.latency:
        threads = "threads not told" if latency.threads is None else f"{latency.threads} thread{'s' * (latency.threads != 1)}"
        peak = "peak memory NOT MEASURED" if latency.peak_memory_mb is None else f"peak {latency.peak_memory_mb:.0f} MB"
        say(f"latency {one.artifact}: median {latency.median_ms:.1f} ms, p90 {latency.p90_ms:.1f} ms a tile, {latency.runs} runs, {threads}, {peak}")
    else:
        say(f"latency {one.artifact}: NOT MEASURED: {there.why_not['latency']}")
    if there.thermal_before is None or there.thermal_after is None:
        say(f"thermal {one.artifact}: NOT MEASURED: the phone told no state")
    else:
        warm = "; the phone slowed down, its times are too long" if there.thermal_after in WARM else ""
        say(f"thermal {one.artifact}: {there.thermal_before} before, {there.thermal_after} after{warm}")
