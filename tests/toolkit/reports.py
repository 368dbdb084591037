"""Bundles with evidence, for the report's tests: the sample of `bundles`, run on two small pictures with one tile made bad on purpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from bundles import sample

from edgekit import bundle, evidence, parity
from edgekit.manifest import Manifest

BAD_TILE = 3


def parity_set(names: tuple[str, ...] = ("rocket.png", "dune.png"), side: int = 96) -> parity.ParitySet:
    """Smooth colour pictures, degraded 2 x, in tiles of 32 with a halo of 4: cores of 48 x 48 output pixels."""
    pictures = []
    for seed, name in enumerate(names):
        coarse = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
        pictures.append((name, F.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)))
    return parity.prepare(pictures, lambda clean: (F.avg_pool2d(clean, 2),), 2, (32, 32), 4)


def outputs_of(tiles: parity.ParitySet, *, noise: float = 0.0, seed: int = 0) -> list[torch.Tensor]:
    """Twice as large by interpolation; with `noise`, each value is off by that standard deviation, and ten times as much in tile BAD_TILE."""
    generator = torch.Generator().manual_seed(seed)
    enlarged = [F.interpolate(tile[0], scale_factor=2, mode="bilinear").clamp(0, 1) for tile in tiles.tiles]
    return [(x + noise * (10 if i == BAD_TILE else 1) * torch.randn(x.shape, generator=generator)).clamp(0, 1) for i, x in enumerate(enlarged)]


def full(
    folder: Path,
    *,
    change: Callable[[Manifest], Manifest] = lambda m: m,
    tiles: parity.ParitySet | None = None,
    noise: float = 0.004,
    fidelity: Sequence[evidence.Fidelity] = (),
) -> bundle.Bundle:
    """A bundle in `folder`/out whose first artifact was run; the second was not."""
    parts = folder / "parts"
    parts.mkdir(parents=True)
    described, files = sample(parts)
    described = change(described)
    tiles = tiles or parity_set()
    artifact = described.artifacts[0]
    given = [evidence.Given(artifact.name, artifact.sha256, outputs_of(tiles, noise=noise))]
    files |= evidence.gather(tiles, outputs_of(tiles), given, parts, fidelity=fidelity)
    chart = parts / "sensitivity-tflite.svg"
    chart.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10"><script>document.title = 1</script><rect width="20" height="10"/></svg>'
    )
    return bundle.write(folder / "out", described, {**files, chart.name: chart})
