"""edgekit train: the weights of a built-in model, from a folder of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import Force, Json


def train(
    model: Annotated[str, typer.Argument(help="A built-in model (see `edgekit models`).", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the weights, the model card and the resume file.", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="A folder of photographs, or a file of crops that `make crops` wrote.  [default: build/crops.zip, fetched by package name if it is not there]",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", help="A checkpoint to start from, or 'none'.  [default: edsr's weights for edsr-x4, else none]", show_default=False),
    ] = None,
    max_minutes: Annotated[float, typer.Option("--max-minutes", min=0.01, help="Stop, fully decayed, after this long.")] = 30,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Stop after this many steps, if sooner. Alone it makes a run reproducible.", show_default=False),
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="[default: the model's own]", show_default=False)] = None,
    patch: Annotated[
        int | None,
        typer.Option(
            "--patch", min=16, help="Side of a training patch at the network's input, in pixels.  [default: the model's own]", show_default=False
        ),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option("--lr", min=0, help="[default: the model's own]", show_default=False)] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a built-in model within a time limit; resumes where it was stopped. Writes MODEL.safetensors and a model card with test numbers."""
    from dataclasses import asdict, replace

    from edgekit import models, training_run
    from edgekit.cli.console import TrainingProgress, emit_json, say
    from edgekit.cli.options import torch_device
    from edgekit.cli.sets import test_set, training_crops
    from edgekit.errors import InvalidFile

    torch_device(device)
    entry = models.entry(model)
    method = training_run.METHODS[model]
    weights = out / f"{model}.safetensors"
    if weights.exists() and not force:
        raise InvalidFile(f"{weights}: exists; expected a free name, or --force")
    start = init if init is not None else method.init
    start_path = None if start in (None, "none") else models.weights_path(start) if start in models.names() else Path(start)
    chosen = {"steps": steps, "batch": batch, "patch_px": patch, "learning_rate": learning_rate}
    settings = replace(method.settings, max_minutes=max_minutes, seed=seed, **{k: v for k, v in chosen.items() if v is not None})
    name, crops = training_crops(data)
    out.mkdir(parents=True, exist_ok=True)
    with TrainingProgress(settings.max_minutes * 60) as report:
        card = training_run.run(entry, crops, name, test_set(), settings, out, init=start_path, device=device, progress=report)
    say(f"{weights}: {card.headline} on {card.pictures} test pictures, {card.steps} steps, {card.minutes:.1f} min on {card.device}")
    if json:
        emit_json(asdict(card))
