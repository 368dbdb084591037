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
        typer.Option("--data", help="A folder of photographs.  [default: the calibration photographs, fetched by package name]", show_default=False),
    ] = None,
    max_minutes: Annotated[float, typer.Option("--max-minutes", min=0.01, help="Stop, fully decayed, after this long.")] = 30,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Stop after this many steps, if sooner. Alone it makes a run reproducible.")] = 100_000,
    batch: Annotated[int, typer.Option("--batch", min=1)] = 8,
    patch: Annotated[int, typer.Option("--patch", min=16, help="Side of a training crop at the network's input, in pixels.")] = 48,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a built-in model within a time limit; resumes where it was stopped. Writes MODEL.safetensors and a model card with test numbers."""
    from dataclasses import asdict

    import torch

    from edgekit import models, training_run
    from edgekit.cli.console import emit_json, say, terminal
    from edgekit.cli.sets import test_set, training_pictures
    from edgekit.errors import InvalidFile
    from edgekit.train import TrainSettings

    if device not in ("cpu", "cuda"):
        raise InvalidFile(f"--device is '{device}'; expected cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidFile("--device is 'cuda', but torch sees no CUDA device; expected one, or --device cpu")
    entry = models.entry(model)
    weights = out / f"{model}.safetensors"
    if weights.exists() and not force:
        raise InvalidFile(f"{weights}: exists; expected a free name, or --force")
    out.mkdir(parents=True, exist_ok=True)
    name, pictures = training_pictures(data)
    settings = TrainSettings(max_minutes, steps, batch, patch, seed=seed)

    def report(step: int, fraction: float, loss: float, seconds: float) -> None:
        left = seconds / fraction - seconds if fraction > 0 else float("nan")
        terminal().print(f"step {step}  {100 * fraction:.0f} %  loss {loss:.5f}  {seconds / 60:.1f} min, {left / 60:.1f} to go")

    card = training_run.run(entry, pictures, name, test_set(), settings, out, device=device, progress=report)
    say(
        f"{weights}: {card.gain_db:+.2f} dB over bicubic on {card.pictures} test pictures (least {card.least_gain_db:+.2f}), "
        f"{card.steps} steps, {card.minutes:.1f} min on {card.device}"
    )
    if json:
        emit_json(asdict(card))
