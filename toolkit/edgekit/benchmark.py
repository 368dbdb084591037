"""Latency of a bundle's files side by side: rounds that run each file in turn, so that ratios hold on a machine that is never quite idle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

from edgekit import bundle
from edgekit.device import Device, Latency
from edgekit.errors import CannotRunHere
from edgekit.preparation import Progress, to_io


@dataclass(frozen=True)
class Timing:
    """`ratio_to_fastest`: this file's median / the fastest file's, 1.0 for the fastest."""

    artifact: str
    latency: Latency
    ratio_to_fastest: float


def interleaved(
    opened: bundle.Bundle, device: Callable[[], Device], *, rounds: int, runs: int, progress: Progress
) -> tuple[list[Timing], dict[str, str]]:
    """(timings on the golden input, artifact -> why it was not measured). A device per file keeps each file open between its turns."""
    inputs = tuple(bundle.read_golden(opened, tensor) for tensor in opened.manifest.golden.inputs)
    devices, skipped = {}, {}
    first: dict[str, Latency] = {}
    samples: dict[str, list[Latency]] = {}
    for artifact in opened.manifest.artifacts:
        one = device()
        tile = tuple(to_io(t, artifact.inputs[0].dtype) for t in inputs)
        try:
            run = one.run(opened.path / artifact.file, [tile], repeats=2)
        except CannotRunHere as reason:
            skipped[artifact.name] = str(reason)
            continue
        if run.latency is None:
            skipped[artifact.name] = run.why_no_latency or "the device gives no latency"
            continue
        devices[artifact.name] = one, opened.path / artifact.file, tile
        first[artifact.name], samples[artifact.name] = run.latency, []
    for number in range(rounds):
        for name, (one, file, tile) in devices.items():
            latency = one.run(file, [tile], repeats=runs).latency
            assert latency is not None
            samples[name].append(latency)
        progress("timing", number + 1, rounds)
    medians = {name: median(s.median_ms for s in taken) for name, taken in samples.items()}
    fastest = min(medians.values(), default=1.0)
    return [
        Timing(
            name, replace(first[name], median_ms=medians[name], p90_ms=median(s.p90_ms for s in taken), runs=rounds * runs), medians[name] / fastest
        )
        for name, taken in samples.items()
    ], skipped
