"""The end of export and validate: one table, what to ship, and the exit status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgekit.bundle import Bundle
from edgekit.cli.console import emit_json, say, terminal
from edgekit.errors import OverBudget
from edgekit.manifest import Artifact, Manifest
from edgekit.verdict import judge, routed


def conclude(bundle: Bundle, *, strict: bool, json: bool, beside: Mapping[str, Any] | None = None) -> None:
    """Prints the table and raises OverBudget where the exit status has to be 1. `beside` is more for the JSON document."""
    verdict = judge(bundle.manifest)
    if json:
        emit_json({"bundle": str(bundle.path), "verdict": asdict(verdict), "manifest": asdict(bundle.manifest), **(beside or {})})
    show(bundle.manifest)
    for line in verdict.unmeasured:
        say(f"NOT MEASURED  {line}")
    image = bundle.manifest.image
    say(
        f"tiles of {image.tile[0]}x{image.tile[1]} with a halo of {image.halo} (receptive radius {image.receptive_radius}): {image.overhead} x the pixels"
    )
    for line in routed(bundle.manifest):
        say(line)
    say(f"ship: {verdict.ship or 'none'}: {verdict.why}")
    say(f"bundle: {bundle.path}")
    if verdict.over:
        raise OverBudget("; ".join(verdict.over), bundle)
    if strict and verdict.unmeasured:
        raise OverBudget("not measured: " + "; ".join(verdict.unmeasured), bundle)


def show(manifest: Manifest) -> None:
    """The table of artifacts, numbers with the machine that gave them."""
    from rich.table import Table

    table = Table(
        title=f"{manifest.model.name} on {manifest.target}, against {manifest.reference.device} {manifest.reference.dtype}", title_justify="left"
    )
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "file" else "right", overflow="fold")
    for artifact in manifest.artifacts:
        table.add_row(*row(artifact))
    terminal().print(table)


COLUMNS = ("file", "MB", "PSNR mean / worst, dB", "SSIM", "vs truth, dB", "drop mean / worst, dB", "ms a tile", "x reference", "delegated", "budget")


def row(artifact: Artifact) -> list[str]:
    """One artifact under COLUMNS."""
    parity, latency, delegation = artifact.parity, artifact.latency, artifact.delegation
    not_run = "NOT RUN"
    states = {line.status for line in artifact.budget}
    return [
        artifact.file,
        f"{artifact.bytes / 1e6:.2f}",
        f"{_db(parity.psnr_db)} / {_db(parity.worst_psnr_db)}" if parity else not_run,
        f"{parity.ssim:.4f}" if parity and parity.ssim is not None else not_run,
        _db(parity.psnr_gt_db) if parity else not_run,
        f"{_drop(parity.delta_psnr_db)} / {_drop(parity.worst_delta_psnr_db)}" if parity else not_run,
        f"{latency.median_ms:.1f}" if latency else not_run,
        f"{1 / latency.ratio_to_reference:.2f}" if latency and latency.ratio_to_reference else "-",
        f"{delegation.delegated}/{delegation.total} in {delegation.partitions}" if delegation else "-",
        "OVER" if "over" in states else "not measured" if "not measured" in states else "ok" if states else "-",
    ]


def _db(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _drop(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"
