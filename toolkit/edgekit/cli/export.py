"""edgekit export: from a trained enhancer to a bundle of measured files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.options import CalibrationName, Force, Json, ModelName, Strict, TargetName, tile_size

if TYPE_CHECKING:
    from edgekit.backend import Backend
    from edgekit.recipe import Recipe
    from edgekit.target import Target


def export(
    model: ModelName,
    target: TargetName,
    weights: Annotated[Path | None, typer.Option("--weights", help="Other weights for the built-in model.")] = None,
    backend: Annotated[list[str] | None, typer.Option("--backend", "-b", help="Only this backend of the target; may be repeated.")] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", help="Replace the target's recipes (see `edgekit recipes`), or a recipe's TOML file.")
    ] = None,
    calibration: CalibrationName = "photos",
    tile: Annotated[
        str | None, typer.Option("--tile", metavar="HxW", help="Another tile size than the target's, in pixels of the network's input.")
    ] = None,
    uint8: Annotated[bool, typer.Option("--uint8", help="8-bit pixels in and out instead of floats.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The bundle's folder.  [default: build/MODEL-TARGET]", show_default=False)] = None,
    force: Force = False,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Prune, quantize, convert, run and compare; write a bundle that an app can embed.

    Example: edgekit export --model edsr --target android
    """
    size = tile_size(tile)
    from edgekit.cli.console import ProgressLines
    from edgekit.cli.verdict import conclude

    plan = _plan(target, backend, recipe)
    from edgekit import models, pipeline
    from edgekit.cli.sets import calibration_set, test_set
    from edgekit_targets.devices.host import Host

    chosen = replace(plan[0], io="uint8") if uint8 else plan[0]
    jobs = [pipeline.Job(b, r) for b, r in plan[1]]
    enhancer = models.load(model, weights)
    place = out or Path("build") / f"{enhancer.name}-{chosen.name}"
    with ProgressLines() as progress:
        bundle = pipeline.export(
            enhancer, chosen, jobs, calibration_set(calibration), test_set(), Host(), place, tile=size, force=force, progress=progress
        )
    conclude(bundle, strict=strict, json=json)


def _plan(target: str, backends: list[str] | None, recipe: str | None) -> tuple[Target, list[tuple[Backend, Recipe]]]:
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
    if recipe == "auto":
        raise InvalidFile("recipe 'auto' (accuracy-controlled quantization) is not in this version; expected one of " + ", ".join(recipes.names()))
    jobs = []
    for plan in plans:
        job = (plan.backend, recipes.load(recipe or plan.recipe))
        if job not in jobs:
            jobs.append(job)
    return chosen, jobs
