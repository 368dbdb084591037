"""Faults planted into the output of a stand-in artifact, on real test pictures: what each gate is for. Shared by the tests and by toolkit/docs/gates_page.py.

The stand-in network enlarges by two (bicubic, so it costs nothing and its reach of 2 px is known); the stand-in artifact adds fine noise to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

import edgekit_calibration
from edgekit import metrics, parity
from edgekit.backend import Delegation
from edgekit.manifest import BudgetLine, ParityReference
from edgekit.models.degrade import downscale, resize
from edgekit.target import Budget

PICTURES = ("aqua", "nuthatch", "deep-field", "tiger", "face", "grey", "kite", "friends")
SIDE, TILE, HALO, SCALE = 224, (64, 64), 4, 2
"""Test pictures' middle 224 px: four tiles each whose cores are 112 px at the output."""
NOISE = 0.5 / 255
PLAIN_DB, PLAIN_CORRELATION = 40.0, 0.99
"""What a plain test asks for."""

Outputs = list[Tensor]

DELEGATED = Delegation("xnnpack", 40, 40, 1)


@dataclass(frozen=True)
class Planted:
    """What an artifact with one fault shows. `outputs` are per tile, (1, 3, 128, 128) float32."""

    outputs: Outputs
    runs_equal: bool = True
    delegation: Delegation = DELEGATED


def enlarge(tile: Tensor) -> Tensor:
    return resize(tile, *(side * SCALE for side in tile.shape[-2:])).clamp(0, 1)


@cache
def prepared() -> tuple[parity.ParitySet, Outputs, Planted]:
    """The pictures as tiles, the reference's outputs, and those of an artifact without a fault."""
    clean = {picture.name.partition(".")[0]: picture for picture in edgekit_calibration.test_set().pictures}
    pictures = []
    for name in PICTURES:
        tensor = clean[name].tensor()
        top, left = ((side - SIDE) // 2 for side in tensor.shape[-2:])
        pictures.append((name, tensor[..., top : top + SIDE, left : left + SIDE]))
    found = parity.prepare(pictures, downscale(SCALE), SCALE, TILE, HALO)
    reference = [enlarge(tile[0]) for tile in found.tiles]
    generator = torch.Generator().manual_seed(0)
    noisy = [(o + NOISE * torch.randn(o.shape, generator=generator)).clamp(0, 1) for o in reference]
    return found, reference, Planted(noisy)


def gates(planted: Planted, budget: Budget) -> tuple[BudgetLine, ...]:
    found, reference, _ = prepared()
    whole = parity.untiled(found, enlarge)
    by = ParityReference("this test", "float32")
    measured = parity.compare(found, reference, planted.outputs, by, "host", planted.runs_equal, whole=whole)
    return parity.check(measured, budget, planted.delegation)


def plain(planted: Planted) -> tuple[float, float]:
    """What is often taken for proof: mean PSNR of the saved pictures in dB, and Pearson's correlation of all their values."""
    found, reference, _ = prepared()
    want, got = (found.stitch([o.nan_to_num(0) for o in outputs]) for outputs in (reference, planted.outputs))
    psnr = sum(metrics.psnr_uint8_db(a, b) for a, b in zip(want, got, strict=True)) / len(want)
    pair = torch.stack([torch.cat([metrics.to_uint8(t).double().flatten() for t in side]) for side in (want, got)])
    return psnr, float(torch.corrcoef(pair)[0, 1])


def _number(picture: str, tile: int) -> int:
    return prepared()[0].names.index(f"{picture}#{tile}")


def _altered(change: Callable[[Tensor], Tensor], *tiles: int) -> Planted:
    """`change` gets a copy of an output; of all tiles, or of those named."""
    good = prepared()[2]
    return replace(good, outputs=[change(o.clone()) if not tiles or i in tiles else o for i, o in enumerate(good.outputs)])


def cast() -> Planted:
    return _altered(lambda o: o + torch.tensor([0.0, 0.0, 2 / 255]).view(3, 1, 1))


def cast_in_a_tile() -> Planted:
    return _altered(lambda o: o + torch.tensor([0.0, 2 / 255, 0.0]).view(3, 1, 1), _number("friends", 0))


def black_tile() -> Planted:
    return _altered(torch.zeros_like, _number("deep-field", 0))


def banded() -> Planted:
    """The smooth part of a sky rounded to every fourth level, as a curve or a skip connection of too few bits does; its fine texture stays."""

    def change(o: Tensor) -> Tensor:
        reach = HALO * SCALE - 1
        smooth = F.avg_pool2d(F.pad(o, (reach,) * 4, mode="replicate"), 2 * reach + 1, stride=1)
        return o + (smooth * 255 / 4).round() * 4 / 255 - smooth

    return _altered(change, *(_number("aqua", tile) for tile in range(4)))


def seam() -> Planted:
    """What a padded border leaves where the halo is too small: an error of four steps at the core's right edge that fades within a few pixels."""
    edge = torch.zeros(TILE[1] * SCALE)
    last = (TILE[1] - HALO) * SCALE
    edge[:last] = 4 / 255 * torch.exp((torch.arange(last) - (last - 1)) / 1.5)
    return _altered(lambda o: o + edge, _number("kite", 0))


def swapped() -> Planted:
    """Red and blue exchanged in one tile of little colour."""
    return _altered(lambda o: o.flip(1), _number("nuthatch", 1))


def nan() -> Planted:
    def change(o: Tensor) -> Tensor:
        o[0, 1, 60, 60] = torch.nan
        return o

    return _altered(change, _number("face", 2))


def overflowed() -> Planted:
    """A sum that left the range of fp16, clamped to white."""

    def change(o: Tensor) -> Tensor:
        o[0, 1, 60, 60] = 65504.0
        return o

    return _altered(change, _number("friends", 1))


def soft() -> Planted:
    """Fine detail lost, as by a filter of too few bits."""

    def change(o: Tensor) -> Tensor:
        blurred = F.avg_pool2d(F.pad(o, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return o + 0.25 * (blurred - o)

    return _altered(change)


def noisy() -> Planted:
    """Rounding noise of 1.6 levels."""
    generator = torch.Generator().manual_seed(1)
    return _altered(lambda o: o + 1.6 / 255 * torch.randn(o.shape, generator=generator))


def unequal_runs() -> Planted:
    return replace(prepared()[2], runs_equal=False)


def left_over() -> Planted:
    return replace(prepared()[2], delegation=Delegation("xnnpack", 28, 40, 7, {"aten.prelu": "no kernel"}))


FAULTS: dict[str, Callable[[], Planted]] = {
    "blue 2/255 too bright": cast,
    "green 2/255 too bright in one tile": cast_in_a_tile,
    "one black tile": black_tile,
    "banded gradient": banded,
    "seam": seam,
    "red and blue swapped in one tile": swapped,
    "one NaN": nan,
    "one overflowed pixel": overflowed,
    "fine detail lost": soft,
    "noise of 1.6 levels": noisy,
    "second run differs": unequal_runs,
    "operators outside the delegate": left_over,
}
