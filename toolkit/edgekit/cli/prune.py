"""edgekit prune: a smaller network, recovered against the float original, saved as an ordinary checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import CalibrationName, ContractOption, Force, Json, ModelName, Weights, torch_device


def prune(
    model: ModelName,
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="A recipe with a [prune] table (see `edgekit recipes`), or its TOML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The pruned checkpoint to write: FILE.safetensors.", show_default=False)],
    weights: Weights = None,
    contract: ContractOption = None,
    recover: Annotated[
        Path | None,
        typer.Option(
            "--recover",
            help="Photographs to recover on, unlabelled: a folder, or a file of crops that `make crops` wrote. Without it the result is one-shot.",
            show_default=False,
        ),
    ] = None,
    max_minutes: Annotated[float, typer.Option("--max-minutes", min=0.01, help="Stop the recovery, fully decayed, after this long.")] = 30,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Stop the recovery after this many steps, if sooner.", show_default=False)
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Recover with weights and activations rounded as in int8 files (quantization-aware).")] = False,
    target: Annotated[str, typer.Option("--target", "-t", help="The target whose tile is counted and, for cost 'latency', timed.")] = "android",
    calibration: CalibrationName = "photos",
    seed: Annotated[int, typer.Option("--seed")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda, for the recovery.")] = "cpu",
    force: Force = False,
    json: Json = False,
) -> None:
    """Remove channels and blocks of a network and let it recover; the result loads with --model in every other command.

    Example: edgekit prune --model edsr --recipe pruned --recover build/crops.zip --out edsr-half.safetensors
    """
    from edgekit.errors import InvalidFile

    torch_device(device)
    if out.suffix != ".safetensors":
        raise InvalidFile(f"--out is '{out}'; expected a name that ends in .safetensors")
    if out.exists() and not force:
        raise InvalidFile(f"{out}: exists; expected a free name, or --force")
    from dataclasses import asdict, replace

    from edgekit import distill, models, preparation, pruning_run
    from edgekit import recipe as recipes
    from edgekit.cli.console import ProgressLines, TrainingProgress, emit_json, say
    from edgekit.cli.inspect import say_probed
    from edgekit.cli.sets import calibration_set, test_set, training_crops
    from edgekit.cli.timing import int8_latency
    from edgekit.tile_size import for_network
    from edgekit_targets import load as load_target

    chosen = recipes.load(recipe)
    if chosen.prune is None:
        raise InvalidFile(f"recipe '{chosen.name}' has no [prune] table; expected one, such as in recipe 'pruned'")
    goal = load_target(target)
    enhancer = models.load(model, weights, contract)
    say_probed(enhancer)
    example = preparation.example(enhancer, for_network(enhancer, None, goal.tile))
    pictures = calibration_set(calibration)
    timed = int8_latency(enhancer, goal, pictures) if chosen.prune.cost == "latency" else None
    with ProgressLines() as progress:
        pruned = pruning_run.shrink(enhancer, chosen.prune, example, pictures, timed, progress=lambda done, total: progress("pruning", done, total))
    say(pruning_run.describe(pruned))
    crops = training_crops(recover) if recover else None
    settings = replace(distill.SETTINGS, max_minutes=max_minutes, seed=seed, **({"steps": steps} if steps else {}))
    out.parent.mkdir(parents=True, exist_ok=True)
    with TrainingProgress(max_minutes * 60) as report:
        card = pruning_run.finish(enhancer, pruned, chosen.prune, crops, test_set(), settings, out, int8=int8, device=device, progress=report)
    line = f"{out}: one-shot drop {card.one_shot_drop_db:+.3f} dB"
    if card.recovery:
        line += f", recovered {card.drop_db:+.3f} dB mean, {card.worst_drop_db:+.3f} worst, after {card.recovery.minutes:.1f} min"
    say(line + f" on {card.pictures} test pictures against the original")
    if json:
        emit_json(asdict(card))
