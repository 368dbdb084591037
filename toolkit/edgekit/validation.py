"""A bundle on disk, run again: against its own golden pair, and against the network it was made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from torch import Tensor

from edgekit import bundle, manifest, metrics, parity, reference, variants
from edgekit.capture import Captured
from edgekit.device import Device
from edgekit.enhancer import Enhancer, Task
from edgekit.errors import CannotRunHere, InvalidFile
from edgekit.pipeline import run_twice
from edgekit.preparation import PictureSet, Progress, cut, from_io, referenced, to_io
from edgekit.target import Budget


@dataclass(frozen=True)
class GoldenCheck:
    """`line` is readable; the numbers are None where the file cannot run here."""

    artifact: str
    status: Literal["ok", "over", "not measured"]
    line: str
    max_abs: float | None = None
    psnr_db: float | None = None


def golden(opened: bundle.Bundle, device: Device) -> list[GoldenCheck]:
    """Runs each artifact on the golden input and compares with what it gave where the bundle was made."""
    stored = opened.manifest.golden
    expected = {output.artifact: output for output in stored.artifacts}
    inputs = tuple(bundle.read_golden(opened, tensor) for tensor in stored.inputs)
    checks = []
    for artifact in opened.manifest.artifacts:
        io = artifact.inputs[0].dtype
        try:
            given = device.run(opened.path / artifact.file, [tuple(to_io(t, io) for t in inputs)]).outputs[0]
        except CannotRunHere as reason:
            checks.append(GoldenCheck(artifact.name, "not measured", f"NOT MEASURED: {reason}"))
            continue
        golden_output = expected.get(artifact.name)
        if golden_output is None:
            checks.append(GoldenCheck(artifact.name, "not measured", "NOT MEASURED: the bundle holds no golden output for it"))
            continue
        wanted = [bundle.read_golden(opened, tensor) for tensor in golden_output.outputs]
        pairs = [(from_io(a), from_io(b)) for a, b in zip(wanted, given, strict=True)]
        largest = max(float((a - b).abs().max()) for a, b in pairs)
        psnr = min(metrics.psnr_db(a, b) for a, b in pairs)
        good, line = golden_output.judge(*(value if math.isfinite(value) else None for value in (largest, psnr)))
        checks.append(GoldenCheck(artifact.name, "ok" if good else "over", line, largest, psnr))
    return checks


def require_weights(model: manifest.Model, enhancer: Enhancer, option: str = "--weights") -> None:
    """Raises InvalidFile if the bundle's model was made from other weights than these."""
    if enhancer.sha256 != model.sha256:
        raise InvalidFile(
            f"the bundle was made from weights {model.sha256[:12]}, got {enhancer.sha256[:12]} ({enhancer.name}); "
            f"expected the same: name them with {option}"
        )


def again(
    opened: bundle.Bundle,
    enhancer: Enhancer,
    pictures: PictureSet,
    device: Device,
    *,
    lighter: Mapping[str, Enhancer] | None = None,
    captured: Captured | None = None,
    progress: Progress,
) -> bundle.Bundle:
    """The bundle with parity and latency as measured now on `pictures`; of one with variants, `lighter` are the networks beside the heaviest by name, and what
    its rule gives is measured again too. Raises InvalidFile if a network is not the one the bundle was made from."""
    described = opened.manifest
    require_weights(described.model, enhancer)
    image = described.image
    parity_set = cut(enhancer, pictures.pictures, image.tile, image.halo)
    fp32 = referenced(enhancer, parity_set, captured, progress)
    rule = described.routing
    expected: dict[str | None, reference.Reference] = {rule.heaviest.name if rule else None: fp32}
    for variant in rule.variants[:-1] if rule else ():
        network = (lighter or {})[variant.name]
        require_weights(variant.model, network, f"--variant {variant.name}=FILE")
        expected[variant.name] = referenced(network, parity_set, None, progress)
    artifacts, ran = [], []
    with TemporaryDirectory(prefix="edgekit-") as folder:
        for artifact in described.artifacts:
            now, outputs = _measured(opened, artifact, parity_set, expected[artifact.variant], device, Path(folder) / "log", enhancer.task, progress)
            artifacts.append(now)
            ran += [(now, outputs)] if outputs else []
    if rule:
        rule = replace(rule, measured=variants.measured(rule, parity_set, ran, enhancer.inputs[0].colour))
    record = manifest.Reference(fp32.device, fp32.dtype, fp32.captured, fp32.flags)
    return replace(opened, manifest=replace(described, artifacts=tuple(artifacts), reference=record, routing=rule))


def _measured(
    opened: bundle.Bundle,
    artifact: manifest.Artifact,
    parity_set: parity.ParitySet,
    fp32: reference.Reference,
    device: Device,
    log: Path,
    task: Task,
    progress: Progress,
) -> tuple[manifest.Artifact, list[Tensor]]:
    """The artifact as measured now, and its outputs per tile; none where it cannot run here."""
    limited = {field.name for field in fields(Budget)}
    executed = (limited | set(parity.ALWAYS)) - {"delegated_share"}
    try:
        run, equal = run_twice(
            device,
            opened.path / artifact.file,
            parity_set,
            artifact.inputs[0].dtype,
            log,
            lambda done, total: progress(f"{artifact.name}: running", done, total),
        )
    except CannotRunHere as reason:
        lines = tuple(replace(line, measured=None, status="not measured") if line.name in executed else line for line in artifact.budget)
        return replace(artifact, parity=None, latency=None, why_not={"parity": str(reason), "latency": str(reason)}, budget=lines), []
    by = manifest.ParityReference(fp32.device, fp32.dtype)
    outputs = [from_io(o[0]) for o in run.outputs]
    measured = parity.compare(parity_set, fp32.outputs, outputs, by, run.executed_by, equal, task=task, whole=fp32.untiled)
    latency = None
    if run.latency:
        ratio = run.latency.median_ms / fp32.latency.median_ms if fp32.latency else None
        latency = manifest.ArtifactLatency(**asdict(run.latency), ratio_to_reference=ratio)
    limits = {line.name: line.budget for line in artifact.budget if line.name in limited}
    others = tuple(line for line in artifact.budget if line.name not in limited | set(parity.ALWAYS))
    lines = (*parity.check(measured, Budget(**limits), artifact.delegation), *others)
    why_not = {"latency": run.why_no_latency} if run.why_no_latency else {}
    why_not |= parity.why_not(measured, artifact.delegation)
    return replace(artifact, parity=measured, latency=latency, why_not=why_not, budget=lines), outputs
