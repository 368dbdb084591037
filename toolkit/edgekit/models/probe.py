"""What can be known of a network by running it: which sizes it takes, its scale and channels, how far a pixel reaches, whether tiles are allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgekit import tiles
from edgekit.enhancer import ImageSpec, Tiling
from edgekit.errors import InvalidFile, first_line

MULTIPLES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, 112, 128)
"""Tried in this order."""
SIDES = (32, 64, 128, 256)
"""The first input sides tried; a network may refuse small ones."""
LARGEST_SCALE = 16
TOLERANCE = 1e-3
"""Largest difference between a shifted picture's result and the shifted result, in standard deviations of the result."""


@dataclass(frozen=True)
class Sizes:
    """Input sides are multiples of `multiple_of` and at least `smallest`; outputs are `scale` times as large and have `channels` each."""

    multiple_of: int
    smallest: int
    scale: int
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Reach:
    """`radius`: how far an input pixel reaches, None if everywhere. `multiple_of`: shifts by it shift the result and change nothing else."""

    tiling: Tiling
    radius: int | None
    multiple_of: int


def run(module: nn.Module, inputs: Sequence[ImageSpec], height: int, width: int) -> tuple[Tensor, ...]:
    """The outputs for a grey picture, (1, C, h, w) each. Whatever the network raises is raised."""
    with torch.no_grad():
        found = module(*example(inputs, height, width))
    given = tuple(found) if isinstance(found, tuple | list) else (found,)
    for number, output in enumerate(given, 1):
        if not isinstance(output, Tensor) or not output.is_floating_point() or output.ndim not in (2, 4) or output.shape[0] != 1:
            what = f"{output.dtype} {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
            raise InvalidFile(f"output {number} is {what}; expected floats (1, channels, height, width), or (1, channels) for scalars")
    return given


def example(inputs: Sequence[ImageSpec], height: int, width: int) -> tuple[Tensor, ...]:
    return tuple(torch.full((1, s.channels, *(() if s.colour == "scalar" else (height, width))), 0.5) for s in inputs)


def fixed(module: nn.Module, inputs: Sequence[ImageSpec], only: tuple[int, int]) -> Sizes:
    """Of a network that takes one size. Raises InvalidFile."""
    try:
        outputs = run(module, inputs, *only)
    except InvalidFile:
        raise
    except Exception as error:  # the user's own code raises any
        raise InvalidFile(f"does not run on {_described(inputs, *only)}: {first_line(error, kind=True)}") from error
    return Sizes(1, 1, _scale(outputs, *only), tuple(o.shape[1] for o in outputs))


def sizes(module: nn.Module, inputs: Sequence[ImageSpec], multiple_of: int | None = None) -> Sizes:
    """Finds by trying what input sides `module` takes (only multiples of `multiple_of`, if given). Raises InvalidFile with what the network itself said."""
    complaint: Exception | None = None
    for unit in (multiple_of,) if multiple_of else MULTIPLES:
        for least in SIDES:
            side = -(-least // unit) * unit
            try:
                shapes = [_measured(module, inputs, *pair) for pair in ((side, side + unit), (side + unit, side))]
            except InvalidFile:
                raise
            except Exception as error:  # the user's own code raises any
                complaint = complaint or error
                continue
            if shapes[0] != shapes[1]:
                continue
            scale, channels = shapes[0]
            return Sizes(unit, 1 if least == SIDES[0] else side, scale, channels)
    why = f": {first_line(complaint, kind=True)}" if complaint else ", or gives outputs of other proportions"
    raise InvalidFile(f"does not run on {_described(inputs, 32, 33)} nor on any other size that was tried{why}")


def _measured(module: nn.Module, inputs: Sequence[ImageSpec], height: int, width: int) -> tuple[int, tuple[int, ...]]:
    outputs = run(module, inputs, height, width)
    return _scale(outputs, height, width), tuple(o.shape[1] for o in outputs)


def _scale(outputs: Sequence[Tensor], height: int, width: int) -> int:
    """Output side / input side. Raises ValueError if the two sides disagree, or no whole number comes out."""
    pictures = [o for o in outputs if o.ndim == 4]
    if not pictures:
        return 1
    tall, wide = pictures[0].shape[-2:]
    scale = tall // height
    if not 1 <= scale <= LARGEST_SCALE or any(tuple(o.shape[-2:]) != (scale * height, scale * width) for o in pictures):
        raise ValueError(f"{height}x{width} became {tall}x{wide}, which is no whole multiple up to {LARGEST_SCALE}")
    return scale


def reach(module: nn.Module, inputs: Sequence[ImageSpec], found: Sizes) -> Reach:
    """Whether tiles with a halo give what the whole picture gives. Raises InvalidFile if the output does not depend on the input."""
    first = _First(module).eval()
    unit = found.multiple_of
    while unit <= MULTIPLES[-1]:
        try:
            radius = tiles.receptive_radius(first, example(inputs, 1, 1), unit, found.smallest)
        except ValueError as error:
            raise InvalidFile(str(error)) from error
        except RuntimeError:  # a network of one shape only: strips are refused
            return Reach("whole", None, found.multiple_of)
        if radius is None:
            return Reach("whole", None, found.multiple_of)
        if all(_shifts(first, inputs, unit, radius, found, axis) for axis in (0, 1)):
            return Reach("exact", radius, unit)
        unit *= 2
    return Reach("whole", None, found.multiple_of)


class _First(nn.Module):
    """The first of several outputs: they come from one trunk."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *pictures: Tensor) -> Tensor:
        found = self.module(*pictures)
        return found[0] if isinstance(found, tuple | list) else found


def _shifts(module: nn.Module, inputs: Sequence[ImageSpec], unit: int, radius: int, found: Sizes, axis: int) -> bool:
    """Whether a picture moved by `unit` along `axis` gives the moved result, beyond `radius` from its ends."""
    around = -(-radius // unit) * unit
    long = max(2 * around + 4 * unit, -(-found.smallest // unit) * unit)
    short = -(-max(16, 2 * unit, found.smallest) // unit) * unit
    random = torch.Generator().manual_seed(0)
    full = (long + unit, short) if axis == 0 else (short, long + unit)
    pictures = tuple(torch.rand(t.shape[:2] + (full if t.ndim == 4 else ()), generator=random) for t in example(inputs, 1, 1))
    with torch.no_grad():
        before, after = (module(*(p.narrow(2 + axis, start, long) if p.ndim == 4 else p for p in pictures)) for start in (0, unit))
    length, scale = long - 2 * around - unit, found.scale
    same = before.narrow(2 + axis, (around + unit) * scale, length * scale) - after.narrow(2 + axis, around * scale, length * scale)
    return bool(same.abs().max() <= TOLERANCE * before.std().clamp_min(1e-6))


def value_range(
    wrapped: Callable[[tuple[float, float]], nn.Module], channels: int, found: Sizes, only: tuple[int, int] | None = None
) -> tuple[float, float] | None:
    """The range, of RANGES, in which the network gives a picture back best; None if [0, 1] is as good, or none is good enough to tell.

    `wrapped` makes of a range the network of pixels that takes and gives its values.
    """
    side = -(-max(64, found.smallest) // found.multiple_of) * found.multiple_of
    height, width = only or (side, side)
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    waves = [0.5 + 0.35 * torch.sin(3 * x * (i + 2) + 2 * y + i) for i in range(channels)]
    picture = torch.stack(waves)[None]
    scores = {}
    for values in RANGES:
        with torch.no_grad():
            result = wrapped(values)(picture)
        small = nn.functional.avg_pool2d(result, found.scale)
        scores[values] = -10 * float((small - picture).square().mean().clamp_min(1e-12).log10())
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] >= BACK_DB and scores[RANGES[0]] < STRANGE_DB else None


RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
BACK_DB, STRANGE_DB = 25.0, 20.0
"""How alike input and output are in the right range at least, and in a wrong one at most: even an untrained residual network gives back most of a picture in
any range, so [0, 1] stands unless it is clearly strange."""


def _described(inputs: Sequence[ImageSpec], height: int, width: int) -> str:
    return " and ".join(f"(1, {s.channels})" if s.colour == "scalar" else f"(1, {s.channels}, {height}, {width})" for s in inputs)
