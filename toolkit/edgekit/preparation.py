"""What comes before any file is made: the test pictures cut into tiles with the halo that the graphs need, calibration tiles, the reference's outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edgekit import capture, parity, reference, rewrite, tiles
from edgekit.colour import in_channels, luma
from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidFile

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all); 0 in all means that it cannot be known."""

MOST_OVERHEAD = 2.5
"""Computed pixels per delivered pixel above which an export is refused unless the tile was asked for."""

HALO_PICTURES = 12
"""Test pictures, besides the adversarial ones, on which the halo is measured."""


@dataclass(frozen=True)
class PictureSet:
    """`pictures` yields (name, (1, 3, H, W) float32 in [0, 1]) anew each time it is iterated; `sha256` is of the set."""

    name: str
    sha256: str
    pictures: Iterable[tuple[str, Tensor]]


@dataclass(frozen=True)
class Tiling:
    tile: tuple[int, int]
    radius: int | None
    halo: int
    overhead: float


def prepare(
    enhancer: Enhancer, rewrites: Sequence[tuple[str, ...]], test: PictureSet, size: tuple[int, int], *, asked: bool = False, progress: Progress
) -> tuple[Tiling, parity.ParitySet]:
    """The halo that the graphs need (`rewrites`: those of each backend), and the test pictures cut into tiles with it."""
    photographs = list(test.pictures)
    tiling = measure_tiling(enhancer, rewrites, example(enhancer, size), size, photographs, asked=asked, progress=progress)
    return tiling, cut(enhancer, photographs, size, tiling.halo)


def example(enhancer: Enhancer, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """The network's inputs for a tile of this size, all zero: (1, C, h, w), or (1, C) for scalars."""
    return tuple(torch.zeros(1, spec.channels, *(() if spec.colour == "scalar" else size)) for spec in enhancer.inputs)


def cut(enhancer: Enhancer, photographs: Iterable[tuple[str, Tensor]], size: tuple[int, int], halo: int) -> parity.ParitySet:
    """Clean photographs (name, (1, 3, H, W) in [0, 1]) as this network's inputs in tiles, with what should come out where that is known."""
    return parity.prepare(
        photographs,
        enhancer.degrade,
        enhancer.scale,
        size,
        halo,
        multiple=enhancer.multiple_of,
        truth=lambda clean: _truth(enhancer, clean),
        whole=enhancer.tiling == "whole",
    )


def _truth(enhancer: Enhancer, clean: Tensor) -> Tensor | None:
    """The clean photograph in the colours of the output, in RGB where the output is applied to the picture; None where another picture is wanted than the one
    that was photographed."""
    made = {"rgb": lambda: clean, "bgr": lambda: clean.flip(1), "luma": lambda: luma(clean), "grey": lambda: luma(clean)}
    colour = "rgb" if enhancer.apply else enhancer.outputs[0].colour
    return made[colour]() if enhancer.task == "restore" and colour in made else None


def referenced(enhancer: Enhancer, parity_set: parity.ParitySet, captured: capture.Captured | None, progress: Progress) -> reference.Reference:
    """The outputs that artifacts are compared with, under the name of the device that they are shown to belong to."""
    progress("reference", 0, len(parity_set.tiles))
    here = reference.capture(enhancer.module, parity_set.tiles, progress=lambda done, total: progress("reference", done, total))
    if enhancer.tiling == "exact":
        here = replace(here, untiled=parity.untiled(parity_set, enhancer.module))
    if captured is None:
        return here
    return capture.certify(here, captured, capture.agree(captured, enhancer, parity_set.tiles, here.outputs))


def measure_tiling(
    enhancer: Enhancer,
    rewrites: Sequence[tuple[str, ...]],
    example: tuple[Tensor, ...],
    size: tuple[int, int],
    photographs: Sequence[tuple[str, Tensor]],
    *,
    asked: bool,
    progress: Progress,
) -> Tiling:
    """The smallest halo that keeps tiled equal to untiled within one 8-bit step, on test pictures and adversarial ones, with the graphs that are exported."""
    if enhancer.tiling == "whole":
        return Tiling(size, None, 0, 1.0)
    progress("halo", 0, 0)
    radius = tiles.receptive_radius(enhancer.module, example, enhancer.multiple_of, enhancer.smallest)
    if radius is None:
        raise InvalidFile(f"{enhancer.name}: every output pixel depends on the whole picture; expected tiling = 'whole' in its image contract")
    around = -(-radius // enhancer.multiple_of) * enhancer.multiple_of
    side = max(size) + 2 * around
    chosen = photographs[:: max(1, len(photographs) // HALO_PICTURES)][:HALO_PICTURES]
    unit = enhancer.scale * enhancer.multiple_of
    inputs = [enhancer.degrade(clean[..., : clean.shape[-2] // unit * unit, : clean.shape[-1] // unit * unit]) for _, clean in chosen]
    hard = [tuple(in_channels(p[None], t.shape[1]) if t.ndim == 4 else t for t in example) for p in tiles.adversarial(side)]
    pictures = [*hard, *inputs]
    different = dict.fromkeys(tuple(names) for names in rewrites)
    profiles = []
    for number, names in enumerate(different):
        graph = rewrite.apply(enhancer.module, example, names).module
        for index, picture in enumerate(pictures):
            profiles.append(tiles.halo_error_profile(graph, enhancer.module, [picture], size, enhancer.scale, around))
            progress("halo", number * len(pictures) + index + 1, len(different) * len(pictures))
    halo = tiles.smallest_halo(torch.stack(profiles).amax(0), multiple_of=enhancer.multiple_of)
    tiles.check(size, halo, enhancer.multiple_of)
    overhead = tiles.asymptotic_overhead(size, halo)
    if overhead > MOST_OVERHEAD and not asked:
        raise InvalidFile(
            f"a tile of {size[0]}x{size[1]} with its halo of {halo} computes {overhead:.2f} pixels per delivered pixel; expected at most {MOST_OVERHEAD}: "
            f"choose a larger tile with --tile {2 * size[0]}x{2 * size[1]}, or accept this one with --tile {size[0]}x{size[1]}"
        )
    return Tiling(size, radius, halo, overhead)


def calibration_tiles(calibration: PictureSet, enhancer: Enhancer, size: tuple[int, int], halo: int, count: int) -> list[tuple[Tensor, ...]]:
    """`count` network inputs from the calibration pictures, through `degrade`: the first tile of each picture, then the second of each, and so on."""
    if count == 0:
        return []
    queues = [cut(enhancer, [picture], size, halo).tiles for picture in calibration.pictures]
    rounds = [queue[i] for i in range(max(map(len, queues), default=0)) for queue in queues if i < len(queue)]
    if not rounds:
        raise InvalidFile(f"calibration set '{calibration.name}' has no picture; expected at least one")
    return rounds[:count]


def to_io(tensor: Tensor, io: str) -> Tensor:
    """A picture in [0, 1] as the file takes it: float32, or uint8 pixels. Scalars stay what they are."""
    return (tensor * 255 + 0.5).to(torch.uint8) if io == "uint8" and tensor.ndim == 4 else tensor


def from_io(tensor: Tensor) -> Tensor:
    """What a file gave, as float32 in [0, 1]."""
    return tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()
