"""Writes toolkit/docs/models.md from the model cards, with before-and-after pictures made by the shipped weights: `make models-page`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import edgekit_calibration
from edgekit import bundle, capture, models
from edgekit.cli.verdict import COLUMNS, row
from edgekit.models.degrade import resize
from edgekit.training_run import METHODS

HERE = Path(__file__).parent
SHOWN = {
    "edsr": ("night-bridge", "tiger", "brick"),
    "edsr-x4": ("chameleon", "fig-bowl", "stone-arch"),
    "denoise": ("face", "storm", "coffee"),
    "lowlight": ("astronaut", "citrus", "stone-arch", "coffee"),
}
SIDE = 192


def panel(picture: Tensor) -> Tensor:
    """The middle SIDE pixels, or a whole picture reduced to them."""
    return picture[..., (picture.shape[-2] - SIDE) // 2 :, (picture.shape[-1] - SIDE) // 2 :][..., :SIDE, :SIDE]


def before_and_after(name: str, shown: tuple[str, ...]) -> Path:
    """Rows: the input (enlarged with bicubic where the network enlarges), the network's result, the clean photograph."""
    enhancer = models.load(name)
    pictures = {picture.name.partition(".")[0]: picture.tensor() for picture in edgekit_calibration.test_set().pictures}
    columns = []
    for title in shown:
        clean = pictures[title]
        unit = enhancer.scale * enhancer.multiple_of
        clean = clean[..., : clean.shape[-2] // unit * unit, : clean.shape[-1] // unit * unit].contiguous()
        (given,) = enhancer.degrade(clean)
        with torch.no_grad():
            result = enhancer.module(given).clamp(0, 1)
        given = resize(given, *clean.shape[-2:]).clamp(0, 1)
        cut = (lambda x: F.interpolate(x, size=(SIDE, SIDE), mode="area")) if name == "lowlight" else panel
        columns.append(torch.cat([cut(x) for x in (given, result, clean)], 2))
    image = torch.cat(columns, 3)[0].permute(1, 2, 0).mul(255).round().byte().numpy()
    path = HERE / f"{name}.webp"
    Image.fromarray(np.ascontiguousarray(image)).save(path, quality=90, method=6)
    return path


def files() -> list[str]:
    """A table of the Android bundles under build/, as they were exported; models whose bundle is not there are named."""
    head = ("model", *COLUMNS)
    lines = ["## As Android files", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    notes = []
    for entry in models.MODELS:
        place = HERE.parents[1] / "build" / f"{entry.name}-android"
        if not place.is_dir():
            notes.append(f"- `{entry.name}`: not exported when this page was written (`make export MODEL={entry.name}`).")
            continue
        manifest = bundle.read(place).manifest
        lines += ["| " + " | ".join([f"`{entry.name}`", *row(artifact)]) + " |" for artifact in manifest.artifacts]
        float_layers = {a.backend: a.kept_float for a in manifest.artifacts if a.kept_float}
        kept = "; ".join(f"{backend}: {', '.join(layers)}" for backend, layers in float_layers.items())
        notes.append(
            f"- `{entry.name}`: recipe {', '.join(dict.fromkeys(a.recipe for a in manifest.artifacts))}; tile {manifest.image.tile[0]}x{manifest.image.tile[1]}, "
            f"halo {manifest.image.halo}, {manifest.image.overhead} x the pixels; against {manifest.reference.device}, {manifest.created[:10]}"
            + (f"; kept in float: {kept}" if kept else "")
            + "."
        )
    return [*lines, "", *notes]


def main() -> None:
    lines = [
        "# The built-in models",
        "",
        "Written by `make models-page` from the model cards that the training command wrote; nothing here is typed by hand. Test numbers are on test pictures",
        "that were used neither to train nor to calibrate, as saved in 8 bits.",
        "",
        "| model | what it does | parameters | test numbers | trained | CUDA reference |",
        "|---|---|---|---|---|---|",
    ]
    for entry in models.MODELS:
        card = json.loads(models.weights_path(entry.name).with_suffix(".json").read_text("utf-8"))
        reference = capture.shipped(models.load(entry.name), (128, 128))
        trained = f"{card['steps']} steps, {card['minutes']:.0f} min on {card['device']}, torch {card['torch']}, {card['date']}" + (
            f", from {card['init']}" if card["init"] else ""
        )
        captured = f"{reference.record.device}, {reference.record.captured[:10]}" if reference else "not captured: a CPU stands in"
        headline = METHODS[entry.name].headline.format(**card["test"])
        lines.append(f"| `{entry.name}` | {entry.description} | {card['parameters']:,} | {headline} | {trained} | {captured} |")
    lines += ["", "Sources and licences:", ""]
    for entry in models.MODELS:
        card = json.loads(models.weights_path(entry.name).with_suffix(".json").read_text("utf-8"))
        lines.append(f"- `{entry.name}`: {entry.source}; {entry.licence}; trained on {card['data']}.")
    lines += ["", *files(), ""]
    for name, shown in SHOWN.items():
        path = before_and_after(name, shown)
        lines += [
            "",
            f"## `{name}`",
            "",
            f"Top: the input{' (bicubic)' if models.entry(name).scale > 1 else ''}. Middle: the result. Bottom: the photograph. Test pictures {', '.join(shown)}.",
            "",
            f"![{name}]({path.name})",
        ]
    (HERE / "models.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
