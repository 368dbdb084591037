"""edgekit bench: latency and memory of a bundle's files on this device."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edgekit.cli.options import BundleArgument, Device, Json


def bench(
    bundle: BundleArgument,
    on: Device = "host",
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, max=1000, help="Rounds; each runs every file in turn, so that a busy moment hits all alike.")
    ] = 5,
    runs: Annotated[int, typer.Option("--runs", min=1, max=1000, help="Runs of a file in each round.")] = 10,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test", help="With --on adb:SERIAL: first run the self-test of the demo app on that phone, and collect what it measured."
        ),
    ] = False,
    role: Annotated[str, typer.Option("--as", help="For --self-test: which of the app's bundles, preview or capture.")] = "capture",
    json: Json = False,
) -> None:
    """Time every file of a bundle, in turn, and print the ratios. The numbers are this machine's, or with --on adb:SERIAL that phone's.

    Of a phone that has the demo app, what the app's self-test screen measured is collected too.
    """
    from edgekit.errors import CannotRunHere, InvalidFile

    if on == "qemu-arm64":
        raise CannotRunHere("bench cannot run on qemu-arm64: emulated time says nothing about a phone; expected --on host or --on adb:SERIAL")
    from dataclasses import asdict

    from edgekit import benchmark
    from edgekit import bundle as bundles
    from edgekit.cli import demo_app
    from edgekit.cli.console import ProgressLines, emit_json, quiet, say, terminal
    from edgekit.cli.elsewhere import write_latencies
    from edgekit_targets import devices
    from edgekit_targets.devices.host import Host

    if self_test and not on.startswith("adb:"):
        raise InvalidFile(f"--self-test runs an app on a phone, --on is '{on}'; expected --on adb:SERIAL")
    opened = bundles.read(bundle)
    told = demo_app.collect(opened, on.removeprefix("adb:"), role if self_test else None) if on.startswith("adb:") else demo_app.Told()
    document: dict[str, Any] = {"app": told.documents} if told.documents else {}
    results, skipped = [], {}
    try:
        with devices.opened(on) as device:
            with ProgressLines() as progress, quiet():
                factory = (lambda: device) if isinstance(device, devices.Elsewhere) else Host
                results, skipped = benchmark.interleaved(opened, factory, rounds=rounds, runs=runs, progress=progress)
            if isinstance(device, devices.Elsewhere):
                document |= write_latencies(opened, device, results, skipped)
    except CannotRunHere as reason:
        if not self_test:
            raise
        skipped = {artifact.name: f"by the shell's runner: {reason}" for artifact in opened.manifest.artifacts}
    if json:
        emit_json({"bundle": str(bundle), "results": [asdict(r) for r in results], "not_measured": skipped, **document})
    from rich.table import Table

    table = Table(title="one tile, milliseconds", title_justify="left")
    for column in ("file", "median", "p90", "x fastest", "peak MB", "threads"):
        table.add_column(column, justify="left" if column == "file" else "right")
    for r in results:
        peak = "-" if r.latency.peak_memory_mb is None else f"{r.latency.peak_memory_mb:.0f}"
        table.add_row(r.artifact, f"{r.latency.median_ms:.1f}", f"{r.latency.p90_ms:.1f}", f"{r.ratio_to_fastest:.2f}", peak, str(r.latency.threads))
    if results:
        terminal().print(table)
        say(f"measured on {results[0].latency.device}")
    for artifact, reason in skipped.items():
        say(f"NOT MEASURED  {artifact}: {reason}")
    told.require()
