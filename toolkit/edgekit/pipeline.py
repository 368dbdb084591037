"""export(): a trained enhancer becomes a bundle of measured files. Per artifact: rewrite -> lower -> run -> compare; then one manifest, one rename."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgekit import (
    baseline,
    bias_correction,
    bundle,
    capture,
    evidence,
    fp16_audit,
    manifest,
    parity,
    preparation,
    recipe,
    reference,
    report,
    rewrite,
    tile_size,
    variants,
)
from edgekit.backend import Backend, Lowered
from edgekit.chatter import to_log
from edgekit.device import Device, Run
from edgekit.enhancer import ClassicalStep, Enhancer
from edgekit.errors import CannotRunHere, EdgekitError, InvalidFile, LoweringError, first_line
from edgekit.preparation import PictureSet, Progress, calibration_tiles, cut, from_io, measure_tiling, referenced, to_io
from edgekit.target import Target

LATENCY_RUNS = 20

REFERENCE = "the network in float32"
"""Its name in the evidence, beside the artifacts'."""

AUDIT_TILES = 16
"""Calibration tiles that the fp16 audit sees beside all test tiles and the adversarial ones."""


@dataclass(frozen=True)
class Job:
    """One artifact to make. `module` is what becomes the file, if not the enhancer's own: a pruned network, whose reference the original stays. `variant` is
    the one of the bundle's that the enhancer is."""

    backend: Backend
    recipe: recipe.Recipe
    module: nn.Module | None = None
    variant: str | None = None


def is_half(job: Job) -> bool:
    """Whether the file's operators will give fp16."""
    return job.recipe.precision in job.backend.half


def require_possible(backend: Backend, how: recipe.Recipe) -> None:
    """Raises InvalidFile if `backend` cannot make this precision, or cannot mix float32 and fp16 where the recipe asks for it."""
    if (reason := backend.refusal(how.precision)) is not None:
        raise InvalidFile(reason)
    asked = how.for_backend(backend.name)
    if asked and asked.fp32_layers and not (backend.fp32_islands and how.precision in backend.half):
        raise InvalidFile(
            f"{backend.name} {how.precision} cannot mix float32 and fp16, so fp32_layers {asked.fp32_layers[0]!r} does not apply; expected Core ML"
        )


def export(
    enhancer: Enhancer,
    target: Target,
    jobs: Sequence[Job],
    calibration: PictureSet,
    test: PictureSet,
    device: Device,
    out: Path,
    *,
    tile: tuple[int, int] | None = None,
    captured: capture.Captured | None = None,
    notes: Mapping[str, str] | None = None,
    before: Sequence[ClassicalStep] = (),
    after: Sequence[ClassicalStep] = (),
    lighter: variants.Lighter | None = None,
    force: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> bundle.Bundle:
    """Makes, runs and compares every artifact, then writes the bundle `out`. An existing bundle is replaced only with `force` and survives a failure.

    `lighter` are further networks: then each job makes a file of each of them too, and the manifest has the rule that chooses.
    `before` and `after` are what `edgekit run` does around the network; nothing is measured with them.
    `notes` are text files that go along (name -> text). `captured` is the CUDA reference; without it PyTorch on this CPU stands in and is called that.
    Files over budget are written too: their manifest says so. Raises InvalidFile, MissingToolchain, LoweringError.
    """
    for job in jobs:
        require_possible(job.backend, job.recipe)
    others = lighter.networks if lighter else {}
    if lighter:
        variants.require_alike(enhancer, lighter)
        jobs = [replace(job, variant=variants.HEAVIEST) for job in jobs]
    if target.io == "uint8" and (odd := [spec.name for spec in enhancer.inputs if spec.colour in ("scalar", "state")]):
        raise InvalidFile(f"{enhancer.name}: its input '{odd[0]}' is no picture; expected a target with float32 in and out")
    bundle.check_free(out, force=force)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
        folder = Path(scratch)
        log = folder / "export.log"
        log.touch()
        size = tile_size.for_network(enhancer, tile, target.tile)
        for other in others.values():
            tile_size.for_network(other, size, size)
        example = preparation.example(enhancer, size)
        photographs, rewrites = list(test.pictures), [job.backend.rewrites for job in jobs]
        tilings = [
            measure_tiling(one, rewrites, example, size, photographs, asked=tile is not None, progress=progress)
            for one in (enhancer, *others.values())
        ]
        tiling = max(tilings, key=lambda one: one.halo)
        parity_set = cut(enhancer, photographs, size, tiling.halo)
        fp32 = referenced(enhancer, parity_set, captured, progress)
        needed = max((job.recipe.quantize.tiles for job in jobs if job.recipe.quantize), default=0)
        examples = calibration_tiles(calibration, enhancer, size, tiling.halo, needed)
        watched = examples or calibration_tiles(calibration, enhancer, size, tiling.halo, AUDIT_TILES if any(is_half(job) for job in jobs) else 0)

        def files_of(network: Enhancer, own: Sequence[Job], expected: reference.Reference) -> list[Made]:
            ran = [make(network, target, job, example, examples, parity_set, expected, device, folder, log, progress=progress) for job in own]
            return audited(network, own, ran, example, watched[:AUDIT_TILES], parity_set, progress)

        made = files_of(enhancer, jobs, fp32)
        for name, other in others.items():
            made += files_of(other, [replace(job, module=None, variant=name) for job in jobs], referenced(other, parity_set, None, progress))
        model, *beside = (describe(one, example, its.radius) for one, its in zip((enhancer, *others.values()), tilings, strict=True))
        rule: manifest.Routing | None = None
        if lighter:
            models = {**dict(zip(others, beside, strict=True)), variants.HEAVIEST: model}
            rule = variants.rule_of(enhancer, lighter, models, calibration, size, tiling.halo, progress)
            outputs = [(m.artifact, [from_io(o[0]) for o in m.run.outputs]) for m in made if m.run]
            rule = replace(rule, measured=variants.measured(rule, parity_set, outputs, enhancer.inputs[0].colour))
        described = manifest.Manifest(
            edgekit=version("edgekit"),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            toolchain=dict(sorted({"torch": torch.__version__, **{k: v for m in made for k, v in m.lowered.toolchain.items()}}.items())),
            model=model,
            image=manifest.Image(
                enhancer.inputs,
                enhancer.outputs,
                enhancer.scale,
                enhancer.tiling,
                size,
                max((one.radius for one in tilings if one.radius is not None), default=None),
                tiling.halo,
                enhancer.multiple_of,
                overhead=round(tiling.overhead, 3),
            ),
            artifacts=tuple(m.artifact for m in made),
            calibration=manifest.Calibration(calibration.name, calibration.sha256, len(examples)) if examples else None,
            reference=manifest.Reference(fp32.device, fp32.dtype, fp32.captured, fp32.flags),
            golden=golden(enhancer, parity_set, fp32, made, folder),
            target=target.name,
            sampler=enhancer.sampler,
            apply=enhancer.apply,
            before=tuple(before),
            after=tuple(after),
            routing=rule,
        )
        files = {m.artifact.file: m.lowered.file for m in made}
        files |= {f"golden/{path.name}": path for path in sorted((folder / "golden").iterdir())}
        files["export.log"] = log
        for note, text in (notes or {}).items():
            files[note] = folder / note
            files[note].write_text(text, "utf-8")
        ran = [
            evidence.Given(m.artifact.name, m.artifact.sha256, [from_io(o[0]) for o in m.run.outputs])
            for m in made
            if m.run and m.artifact.variant in (None, variants.HEAVIEST)
        ]
        near = baseline.beside(enhancer, parity_set, {REFERENCE: fp32.outputs, **{one.artifact: one.outputs for one in ran}}, progress)
        pictures = ran if fp32.outputs[0].ndim == 4 else []
        if near or pictures:
            colours = enhancer.inputs[0].colour, enhancer.outputs[0].colour
            files |= evidence.gather(parity_set, fp32.outputs, pictures, folder, colours=colours, fidelity=near)
        files["report.html"] = folder / "report.html"
        files["report.html"].write_text(report.build(bundle.Bundle(folder, described)), "utf-8")
        return bundle.write(out, described, files, force=force)


@dataclass(frozen=True)
class Made:
    artifact: manifest.Artifact
    lowered: Lowered
    run: Run | None


def make(
    enhancer: Enhancer,
    target: Target,
    job: Job,
    example: tuple[Tensor, ...],
    examples: Sequence[tuple[Tensor, ...]],
    parity_set: parity.ParitySet,
    fp32: reference.Reference,
    device: Device,
    folder: Path,
    log: Path,
    *,
    progress: Progress,
) -> Made:
    """One artifact: rewrite, lower, run on `device`, compare, check against the target's budget."""
    backend, quantize = job.backend, job.recipe.for_backend(job.backend.name)
    whose = f"{enhancer.name}-{job.variant}" if job.variant else enhancer.name
    name = f"{whose}-{backend.name}-{job.recipe.name}" + ("-uint8" if target.io == "uint8" else "")
    progress(f"{name}: lowering", 0, 0)
    rewrites = (*backend.rewrites, "uint8_io") if target.io == "uint8" else backend.rewrites
    with to_log(log):
        rewritten = rewrite.apply(job.module or enhancer.module, example, rewrites)
        as_file = tuple(to_io(t, target.io) for t in example)
        used = [tuple(to_io(t, target.io) for t in tile) for tile in (examples[: quantize.tiles] if quantize else [])]
        try:
            corrected = bias_correction.correct(rewritten.module, used, quantize) if quantize and quantize.corrects_bias and used else 0
            lowered = backend.lower(rewritten.module, as_file, quantize, used, folder / f"{name}{backend.suffix}")
        except EdgekitError:
            raise
        except Exception as error:
            raise LoweringError(f"{backend.name} could not lower '{enhancer.name}' ({job.recipe.name}): {first_line(error, kind=True)}") from error
    run: Run | None = None
    why_not: dict[str, str] = {}
    measured: manifest.Parity | None = None
    latency: manifest.ArtifactLatency | None = None
    try:
        run, runs_equal = run_twice(device, lowered.file, parity_set, target.io, log, lambda done, total: progress(f"{name}: running", done, total))
        measured = parity.compare(
            parity_set,
            fp32.outputs,
            [from_io(o[0]) for o in run.outputs],
            manifest.ParityReference(fp32.device, fp32.dtype),
            run.executed_by,
            runs_equal,
            task=enhancer.task,
            whole=fp32.untiled,
        )
        if run.latency:
            ratio = run.latency.median_ms / fp32.latency.median_ms if fp32.latency else None
            latency = manifest.ArtifactLatency(**asdict(run.latency), ratio_to_reference=ratio)
        elif run.why_no_latency:
            why_not = {"latency": run.why_no_latency}
        why_not |= parity.why_not(measured, lowered.delegation)
    except CannotRunHere as reason:
        why_not = {"parity": str(reason), "latency": str(reason)}
    artifact = manifest.Artifact(
        name=name,
        file=lowered.file.name,
        backend=backend.name,
        delegate=backend.delegate,
        recipe=job.recipe.name,
        precision=job.recipe.precision,
        bytes=bundle.size_of(lowered.file),
        sha256=bundle.sha256_of(lowered.file),
        inputs=lowered.inputs,
        outputs=lowered.outputs,
        delegation=lowered.delegation,
        parity=measured,
        latency=latency,
        why_not=why_not,
        budget=parity.check(measured, target.budgets.get(enhancer.task), lowered.delegation),
        quantize=quantize,
        quantized=lowered.quantized,
        kept_float=lowered.kept_float,
        facts={
            **lowered.facts,
            **({"corrected_biases": corrected} if corrected else {}),
            "rewrites": {name: places for name, places in rewritten.changes.items() if places},
        },
        variant=job.variant,
    )
    return Made(artifact, lowered, run)


def audited(
    enhancer: Enhancer,
    jobs: Sequence[Job],
    made: Sequence[Made],
    example: tuple[Tensor, ...],
    examples: Sequence[tuple[Tensor, ...]],
    parity_set: parity.ParitySet,
    progress: Progress,
) -> list[Made]:
    """Files that will compute in fp16 get the audit's summary among their facts, and the budget line `fp16_headroom`: below 1 an operator overflows."""
    named = [*((f"calibration#{i}", tile) for i, tile in enumerate(examples)), *zip(parity_set.names, parity_set.tiles, strict=True)]
    audits: dict[tuple[object, ...], fp16_audit.Audit] = {}
    found = []
    for job, one in zip(jobs, made, strict=True):
        if not is_half(job):
            found.append(one)
            continue
        module, quantize = job.module or enhancer.module, job.recipe.for_backend(job.backend.name)
        keep = quantize.fp32_layers if quantize else ()
        key = (job.backend.rewrites, id(module), keep)
        if key not in audits:
            graph = rewrite.apply(module, example, job.backend.rewrites).module
            audits[key] = fp16_audit.audit(graph, example, named, keep=keep, progress=lambda done: progress("fp16 audit", done, len(named) + 9))
        audit = audits[key]
        headroom = min(audit.headroom, 1e9)
        line = manifest.BudgetLine("fp16_headroom", headroom, 1.0, "ok" if headroom >= 1 else "over")
        facts = {**one.artifact.facts, "fp16": {**audit.summary(), **({"overflow": audit.line()} if audit.line() else {})}}
        found.append(replace(one, artifact=replace(one.artifact, facts=facts, budget=(*one.artifact.budget, line))))
    return found


def run_twice(device: Device, file: Path, parity_set: parity.ParitySet, io: str, log: Path, progress: Callable[[int, int], None]) -> tuple[Run, bool]:
    """Every tile once, every eighth tile twice (are two runs equal?), then the first one under the clock."""
    inputs = [tuple(to_io(t, io) for t in tile) for tile in parity_set.tiles]
    outputs: list[tuple[Tensor, ...]] = []
    with to_log(log):
        for start in range(0, len(inputs), 8):
            outputs += device.run(file, inputs[start : start + 8]).outputs
            progress(len(outputs), len(inputs))
        again = device.run(file, inputs[::8], repeats=LATENCY_RUNS)
    equal = all(torch.equal(a, b) for one, two in zip(outputs[::8], again.outputs, strict=True) for a, b in zip(one, two, strict=True))
    return replace(again, outputs=outputs), equal


TOLERANCE = {"fp32": (0.004, 60.0), "fp16": (0.02, 50.0)}
"""Precision -> (largest difference, least PSNR) that a golden output may show on another device. Integer arithmetic is exact on one kernel library,
but other kernels round differently: a few 8-bit steps."""
INTEGER_TOLERANCE = (0.03, 45.0)


def golden(enhancer: Enhancer, parity_set: parity.ParitySet, fp32: reference.Reference, made: Sequence[Made], folder: Path) -> manifest.Golden:
    """One tile from the middle of the test set: its input, the reference's output, and each executed artifact's own output, in the files' own layouts."""
    place = folder / "golden"
    place.mkdir()
    index = len(parity_set.tiles) // 2
    inputs = tuple(
        bundle.golden_tensor(place, f"input-{spec.name}" if len(enhancer.inputs) > 1 else "input", spec.name, tensor, "NCHW")
        for spec, tensor in zip(enhancer.inputs, parity_set.tiles[index], strict=True)
    )
    expected = (bundle.golden_tensor(place, "output-reference", enhancer.outputs[0].name, fp32.outputs[index], "NCHW"),)
    outputs = []
    for m in made:
        if m.run is None:
            continue
        tensors = tuple(
            bundle.golden_tensor(place, f"output-{m.artifact.name}", spec.name, tensor, spec.layout)
            for spec, tensor in zip(m.lowered.outputs, m.run.outputs[index], strict=True)
        )
        most, least = TOLERANCE.get(m.artifact.precision, INTEGER_TOLERANCE)
        outputs.append(manifest.GoldenOutput(m.artifact.name, tensors, most, least))
    return manifest.Golden(inputs, expected, tuple(outputs))


def describe(enhancer: Enhancer, example: tuple[Tensor, ...], radius: int | None) -> manifest.Model:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        enhancer.module(*example)
    height, width = example[0].shape[-2:]
    return manifest.Model(
        name=enhancer.name,
        source=enhancer.source,
        licence=enhancer.licence,
        sha256=enhancer.sha256,
        scale=enhancer.scale,
        parameters=sum(p.numel() for p in enhancer.module.parameters()),
        macs_per_pixel=counter.get_total_flops() / 2 / (height * width),
        receptive_field=None if radius is None else 2 * radius + 1,
        task=enhancer.task,
    )


__all__ = ["Job", "export"]
