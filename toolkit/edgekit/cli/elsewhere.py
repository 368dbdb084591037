"""Measurements on a device that is not this host: how many tiles it gets, and the file they are written to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from edgekit import measured
from edgekit.cli.console import say
from edgekit.manifest import ArtifactLatency, Image
from edgekit.preparation import PictureSet

if TYPE_CHECKING:
    from torch import Tensor

    from edgekit.benchmark import Timing
    from edgekit.bundle import Bundle
    from edgekit.validation import GoldenCheck
    from edgekit_targets.devices import Elsewhere


@dataclass(frozen=True)
class _OneTileEach:
    """From the middle of each of the first `count` pictures, what one tile delivers."""

    source: PictureSet
    count: int
    image: Image

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        height, width = (self.image.scale * (side - 2 * self.image.halo) for side in self.image.tile)
        for name, picture in islice(self.source.pictures, self.count):
            top, left = (max(0, (side - core) // 2) for side, core in zip(picture.shape[-2:], (height, width), strict=True))
            yield name, picture[..., top : top + height, left : left + width].contiguous()


def few_tiles(pictures: PictureSet, count: int, image: Image) -> PictureSet:
    """At most `count` tiles of the set: too few to judge a budget by."""
    return PictureSet(f"{pictures.name} ({count} tiles)", pictures.sha256, _OneTileEach(pictures, count, image))


def times_of_its_own(again: Bundle) -> Bundle:
    """Without the ratios of the device's latencies to the reference's, which were taken on another machine."""
    artifacts = [replace(a, latency=a.latency and replace(a.latency, ratio_to_reference=None)) for a in again.manifest.artifacts]
    return replace(again, manifest=replace(again.manifest, artifacts=tuple(artifacts)))


def write_checks(opened: Bundle, device: Elsewhere, checks: Sequence[GoldenCheck], again: Bundle | None) -> dict[str, Any]:
    """Writes what `validate` found; returns it for the JSON document. `again` is the bundle as measured now, None if only the golden pair ran."""
    golden = {check.artifact: check for check in checks}
    artifacts = []
    for artifact in again.manifest.artifacts if again else opened.manifest.artifacts:
        check = golden[artifact.name]
        why_not = {} if again is None else dict(artifact.why_not)
        agreement = None
        if check.status == "not measured" or check.max_abs is None:
            why_not["golden"] = check.line.removeprefix("NOT MEASURED: ")
        else:
            agreement = measured.Agreement(check.status == "ok", check.max_abs == 0, _finite(check.max_abs), _finite(check.psnr_db))
        if again is None:
            why_not |= {"parity": "only the golden pair was run", "latency": "only the golden pair was run"}
        parity, latency = (artifact.parity, artifact.latency) if again else (None, None)
        artifacts.append(measured.MeasuredArtifact(artifact.name, artifact.file, artifact.sha256, agreement, parity, latency, why_not))
    return _written(opened, device, artifacts, kept=() if again else ("parity", "latency"))


def write_latencies(opened: Bundle, device: Elsewhere, timings: Sequence[Timing], skipped: dict[str, str]) -> dict[str, Any]:
    """Writes what `bench` found; returns it for the JSON document."""
    latencies = {timing.artifact: ArtifactLatency(**asdict(timing.latency)) for timing in timings}
    not_tried = dict.fromkeys(("golden", "parity"), "only the latency was measured")
    artifacts = [
        measured.MeasuredArtifact(
            artifact.name,
            artifact.file,
            artifact.sha256,
            latency=latencies.get(artifact.name),
            why_not=not_tried | ({"latency": skipped[artifact.name]} if artifact.name in skipped else {}),
        )
        for artifact in opened.manifest.artifacts
    ]
    return _written(opened, device, artifacts, kept=("golden", "parity"))


def _written(opened: Bundle, device: Elsewhere, artifacts: Sequence[measured.MeasuredArtifact], kept: Sequence[str]) -> dict[str, Any]:
    where = measured.MeasuredDevice(device.name, device.executed_by, {k: v for k, v in device.facts().items() if v})
    found, place = measured.record(opened, where, artifacts, kept=kept)
    for fact, text in where.facts.items():
        say(f"{fact.replace('_', ' ')}: {text}")
    say(f"written to {place}")
    return {"measured": asdict(found), "written": str(place)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
