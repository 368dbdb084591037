"""edgekit export: from a trained enhancer to a bundle of measured files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.options import (
    CalibrationName,
    ContractOption,
    Force,
    Json,
    ModelName,
    ReferenceFolder,
    Strict,
    TargetName,
    VariantNetworks,
    Weights,
    tile_size,
    variant_networks,
)

if TYPE_CHECKING:
    from edgekit.backend import Backend
    from edgekit.cli.console import ProgressLines
    from edgekit.enhancer import ClassicalStep, Enhancer
    from edgekit.pipeline import Job
    from edgekit.preparation import PictureSet
    from edgekit.recipe import Recipe
    from edgekit.target import Target
    from edgekit.variants import Lighter


def export(
    model: ModelName,
    target: TargetName,
    weights: Weights = None,
    contract: ContractOption = None,
    backend: Annotated[list[str] | None, typer.Option("--backend", "-b", help="Only this backend of the target; may be repeated.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            help="Replace the target's recipes (see `edgekit recipes`), or a recipe's TOML file, or 'auto': the fewest float layers within budget.",
        ),
    ] = None,
    fp32_layers: Annotated[
        list[str] | None,
        typer.Option(
            "--fp32-layers", metavar="GLOB", help="Keep these layers in float32 where the rest computes in fp16 (Core ML); may be repeated."
        ),
    ] = None,
    calibration: CalibrationName = "photos",
    reference: ReferenceFolder = None,
    tile: Annotated[
        str | None, typer.Option("--tile", metavar="HxW", help="Another tile size than the target's, in pixels of the network's input.")
    ] = None,
    uint8: Annotated[bool, typer.Option("--uint8", help="8-bit pixels in and out instead of floats.")] = False,
    before: Annotated[
        list[str] | None,
        typer.Option("--before", metavar="STEP", help="`edgekit run` does this before the network: equalize, clahe, bilateral; may be repeated."),
    ] = None,
    after: Annotated[
        list[str] | None, typer.Option("--after", metavar="STEP", help="The same steps, on the network's result; may be repeated.")
    ] = None,
    variant: VariantNetworks = None,
    variant_unit: Annotated[
        str, typer.Option("--variant-unit", help="What is given to one of the variants: each tile, or a whole picture.")
    ] = "tile",
    variant_drop_db: Annotated[
        float,
        typer.Option(
            "--variant-drop-db", min=0, help="How much worse than the --model alone the calibration pictures may become by the lighter ones."
        ),
    ] = 0.05,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The bundle's folder.  [default: build/MODEL-TARGET]", show_default=False)] = None,
    force: Force = False,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Prune, quantize, convert, run and compare; write a bundle that an app can embed.

    Example: edgekit export --model edsr --target android
    """
    size = tile_size(tile)
    networks = variant_networks(variant)
    from edgekit.cli.console import ProgressLines, say
    from edgekit.cli.inspect import say_probed
    from edgekit.cli.verdict import conclude
    from edgekit.errors import InvalidFile

    plan = plan_of(target, backend, recipe)
    if networks:
        _require_plain(plan[1], recipe)
    if fp32_layers:
        plan = plan[0], [(one, _with_islands(how, fp32_layers)) for one, how in plan[1]]
    from edgekit import evidence, models, pipeline
    from edgekit.bundle import check_free
    from edgekit.cli.sets import calibration_set, captured_reference, test_set
    from edgekit.report.beside import beside
    from edgekit.tile_size import for_network
    from edgekit_targets.devices.host import Host

    for job in plan[1]:
        pipeline.require_possible(*job)
    chosen = replace(plan[0], io="uint8") if uint8 else plan[0]
    steps = _steps(before), _steps(after)
    enhancer = models.load(model, weights, contract)
    if steps[1] and enhancer.outputs[0].colour == "mask":
        raise InvalidFile(f"{enhancer.name}: gives a mask, and --after is for pictures; expected none")
    say_probed(enhancer)
    lighter = _lighter(enhancer, networks, variant_unit, variant_drop_db)
    at = for_network(enhancer, size, chosen.tile)
    notes: dict[str, str] = {}
    place = out or Path("build") / f"{enhancer.name}-{chosen.name}"
    captured = captured_reference(reference, enhancer, at)
    pictures = calibration_set(calibration), test_set()
    check_free(place, force=force)
    with ProgressLines() as progress:
        if recipe == "auto":
            plan, notes = _found(enhancer, replace(chosen, tile=at), plan, pictures[0], progress)
        jobs = _jobs(enhancer, plan[1], at, pictures[0])
        bundle = pipeline.export(
            enhancer,
            chosen,
            jobs,
            *pictures,
            Host(),
            place,
            tile=size,
            captured=captured,
            notes=notes,
            before=steps[0],
            after=steps[1],
            lighter=lighter,
            force=force,
            progress=progress,
        )
    if near := beside(evidence.read(bundle)):
        say(near.said)
    say(f"report: {bundle.path / 'report.html'}")
    conclude(bundle, strict=strict, json=json)


def _require_plain(plans: list[tuple[Backend, Recipe]], asked: str | None) -> None:
    """Raises InvalidFile for recipes that change one network after another, and for the search, which names layers of one network."""
    from edgekit.errors import InvalidFile

    if asked == "auto" or any(recipe.prune for _, recipe in plans):
        raise InvalidFile(
            "--variant with a recipe that searches or prunes; expected a plain one: prune first with `edgekit prune`, then export its checkpoint"
        )


def _lighter(enhancer: Enhancer, networks: dict[str, str], unit: str, most_drop_db: float) -> Lighter | None:
    """The networks of --variant, loaded; None without any. Raises InvalidFile for those that do not fit `enhancer`."""
    from edgekit import models
    from edgekit.cli.inspect import say_probed
    from edgekit.errors import InvalidFile
    from edgekit.variants import Lighter, require_alike

    if unit not in ("tile", "picture"):
        raise InvalidFile(f"--variant-unit is '{unit}'; expected tile or picture")
    loaded = {name: models.load(network) for name, network in networks.items()}
    for network in loaded.values():
        say_probed(network)
    lighter = Lighter(loaded, unit, most_drop_db) if loaded else None
    if lighter:
        require_alike(enhancer, lighter)
    return lighter


def _steps(names: list[str] | None) -> list[ClassicalStep]:
    """By their names, with the parameters that they have unless stated. Raises UnknownName."""
    from edgekit.enhancer import CLASSICAL, ClassicalStep
    from edgekit.errors import UnknownName

    known = {str(name): ClassicalStep(name, parameters) for name, parameters in CLASSICAL.items()}
    for name in names or []:
        if name not in known:
            raise UnknownName("classical step", name, known)
    return [known[name] for name in names or []]


def plan_of(target: str, backends: list[str] | None, recipe: str | None) -> tuple[Target, list[tuple[Backend, Recipe]]]:
    """(Target, [(Backend, Recipe)]): the target's artifacts, those of `backends` only, with `recipe` in place of their own."""
    import edgekit_targets
    from edgekit import recipe as recipes
    from edgekit.errors import InvalidFile, UnknownName

    chosen = edgekit_targets.load(target)
    for name in backends or []:
        if name not in edgekit_targets.BACKENDS:
            raise UnknownName("backend", name, edgekit_targets.BACKENDS)
    plans = [plan for plan in chosen.artifacts if not backends or plan.backend.name in backends]
    if not plans:
        have = ", ".join(sorted({plan.backend.name for plan in chosen.artifacts}))
        raise InvalidFile(f"target '{chosen.name}' has no artifact for {', '.join(backends or [])}; expected one of {have}")
    jobs = []
    for plan in plans:
        job = (plan.backend, _to_search(recipes.load(plan.recipe)) if recipe == "auto" else recipes.load(recipe or plan.recipe))
        if (reason := plan.backend.refusal(job[1].precision)) is not None:
            raise InvalidFile(reason)
        if job not in jobs:
            jobs.append(job)
    return chosen, jobs


def _to_search(own: Recipe) -> Recipe:
    """What `--recipe auto` starts from: the artifact's palettized recipe if it has one, else int8."""
    from edgekit import recipe as recipes

    return own if own.quantize and own.quantize.palette else recipes.load("int8")


def _with_islands(recipe: Recipe, globs: list[str]) -> Recipe:
    """The recipe with `fp32_layers`. Raises InvalidFile for one whose file computes in float32 anyway."""
    from edgekit.errors import InvalidFile

    if recipe.quantize is None:
        raise InvalidFile(f"--fp32-layers with recipe '{recipe.name}', which computes in float32 everywhere; expected an fp16 or int8 recipe")
    return replace(recipe, quantize=replace(recipe.quantize, fp32_layers=tuple(globs)))


def _jobs(enhancer: Enhancer, plans: list[tuple[Backend, Recipe]], tile: tuple[int, int], calibration: PictureSet) -> list[Job]:
    """The files to make; a recipe with [prune] prunes the network first, once, without recovery."""
    import torch

    from edgekit import pipeline, preparation, pruning_run
    from edgekit.cli.console import say
    from edgekit.errors import InvalidFile

    pruned: dict[Any, torch.nn.Module] = {}
    for _, recipe in plans:
        if recipe.prune is None or recipe.prune in pruned:
            continue
        if recipe.prune.cost == "latency":
            raise InvalidFile(
                f"recipe '{recipe.name}' prunes by latency; expected `edgekit prune --recipe {recipe.name}` first, then export its checkpoint"
            )
        example = preparation.example(enhancer, tile)
        made = pruning_run.shrink(enhancer, recipe.prune, example, calibration)
        say(f"pruned without recovery: {pruning_run.describe(made)}; `edgekit prune --recover` wins the quality back")
        pruned[recipe.prune] = made.module
    return [pipeline.Job(backend, recipe, pruned.get(recipe.prune)) for backend, recipe in plans]


def _found(
    enhancer: Enhancer, target: Target, plan: tuple[Target, list[tuple[Backend, Recipe]]], calibration: PictureSet, progress: ProgressLines
) -> tuple[tuple[Target, list[tuple[Backend, Recipe]]], dict[str, str]]:
    """`--recipe auto`: the plan with the recipe that was found, and the files that tell of it: auto.toml, and a chart per backend."""
    from datetime import UTC, datetime
    from json import dumps as to_json

    from edgekit import auto, chart
    from edgekit import recipe as recipes
    from edgekit_targets.devices.host import Host

    date, notes, made = datetime.now(UTC).date().isoformat(), {}, []
    for precision in dict.fromkeys(recipe.precision for _, recipe in plan[1]):
        bases = {backend: recipe.for_backend(backend.name) for backend, recipe in plan[1] if recipe.precision == precision}
        found = [auto.search(enhancer, target, one, calibration, Host(), base=base, progress=progress) for one, base in bases.items()]
        name = "auto" if precision == "int8" else f"auto-{precision}"
        notes[f"{name}.toml"] = auto.to_toml(found, f"{enhancer.name} on {target.name}", date)
        for one in found:
            spared = (*one.quantize.float_layers, *one.quantize.palette_bits)
            rows = [(s.layer, s.worst_psnr_db, s.layer in spared) for s in one.layers]
            stem = f"sensitivity-{one.backend}{name.removeprefix('auto')}"
            layers = [{"layer": layer, "worst_psnr_db": psnr, "spared": red} for layer, psnr, red in rows]
            notes[f"{stem}.json"] = to_json({"precision": precision, "layers": layers})
            notes[f"{stem}.svg"] = chart.bars(
                f"{enhancer.name}, {one.backend}: worst tile with one layer in {precision} (short: sensitive; red: spared)", rows, "dB"
            )
        recipe = recipes.parse(notes[f"{name}.toml"], name)
        made += [(backend, recipe) for backend in bases]
    return (plan[0], made), notes
