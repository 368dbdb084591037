"""A bundle of a tiny EDSR at 64x64 for the tests of devices: fp32 and int8, for ExecuTorch and LiteRT, run on this host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from tiny import pictures

from edgekit import models, pipeline, preparation, recipe
from edgekit.models.edsr import EDSR
from edgekit.target import Target
from edgekit_targets import backend
from edgekit_targets.devices.host import Host

SIDE = 64


@dataclass(frozen=True)
class TinyBundle:
    """`checkpoint` made it; `images` is a folder of photographs to validate on."""

    path: Path
    checkpoint: Path
    images: Path

    def validate(self, on: str) -> list[str]:
        """The command's arguments."""
        return ["validate", str(self.path), "--on", on, "--weights", str(self.checkpoint), "--images", str(self.images), "--json"]


def make(folder: Path) -> TinyBundle:
    torch.manual_seed(0)
    checkpoint = folder / "tiny.safetensors"
    save_file(EDSR(2, blocks=1, channels=8).state_dict(), checkpoint)
    clean = pictures(3, side=3 * SIDE)
    images = folder / "images"
    images.mkdir()
    for number, picture in enumerate(clean):
        Image.fromarray((picture[0] * 255).round().byte().permute(1, 2, 0).numpy()).save(images / f"{number}.png")
    named = preparation.PictureSet("tiny", "0" * 64, [(str(number), picture) for number, picture in enumerate(clean)])
    jobs = [pipeline.Job(backend(name), recipe.load(precision)) for name in ("executorch", "tflite") for precision in ("fp32", "int8")]
    target = Target("tiny", (), tile=(SIDE, SIDE))
    pipeline.export(models.load(str(checkpoint)), target, jobs, named, named, Host(), folder / "bundle")
    return TinyBundle(folder / "bundle", checkpoint, images)
