"""Pictures of any size through a network of fixed input size: tiles with a halo.

The rules, for every implementation (this one, the apps'); all numbers are whole:

1. Core: tile height - 2 * halo by tile width - 2 * halo. Cores stand side by side from the picture's top left corner, row by row, and are cut off at its
   right and bottom edge, so they cover each pixel once: core (r, c) starts at (r * core height, c * core width).
2. Tile: always full size; it starts `halo` above and left of its core, so at a negative position in the first row and column.
3. Edge rule "reflect": a position outside the picture reads the pixel mirrored at the edge, the edge not repeated, as often as needed:
   position i of n reads j = i mod 2(n - 1), and 2(n - 1) - j if j >= n; with n = 1 it reads 0. Positions inside the picture always read their own pixel.
4. Result: of each output tile, the rectangle at (halo * scale, halo * scale) of core size * scale goes to core position * scale. Nothing is blended.

With a halo of at least the receptive radius the result is what the network gives for the whole picture, mirrored outwards by the same rule.
Networks that downscale inside need `tile` and `halo` in multiples of their stride (`multiple_of`), or the tiles' phases differ from the picture's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.tile_size import check

EDGE_RULE = "reflect"
"""The name of rule 3 in the manifest."""


@dataclass(frozen=True)
class Tile:
    """`y`, `x`: where the core starts in the picture; `height`, `width`: the core's size. Input pixels."""

    y: int
    x: int
    height: int
    width: int


@dataclass(frozen=True)
class TilePlan:
    """`height`, `width` of the picture, `tile` (height, width) of the network's input, all in input pixels. Made by `plan`, which checks them."""

    height: int
    width: int
    tile: tuple[int, int]
    halo: int

    @property
    def core(self) -> tuple[int, int]:
        return self.tile[0] - 2 * self.halo, self.tile[1] - 2 * self.halo

    @property
    def rows(self) -> int:
        return -(-self.height // self.core[0])

    @property
    def columns(self) -> int:
        return -(-self.width // self.core[1])

    def row(self, r: int) -> list[Tile]:
        """The tiles of row `r`, left to right; their cores have the same `y` and `height`."""
        h, w = self.core
        y = r * h
        return [Tile(y, x, min(h, self.height - y), min(w, self.width - x)) for x in range(0, self.width, w)]

    def source_rows(self, tile: Tile) -> list[int]:
        """The picture row that each row of the tile reads."""
        return [reflect_index(tile.y - self.halo + i, self.height) for i in range(self.tile[0])]

    def source_columns(self, tile: Tile) -> list[int]:
        """The picture column that each column of the tile reads."""
        return [reflect_index(tile.x - self.halo + i, self.width) for i in range(self.tile[1])]

    def __iter__(self) -> Iterator[Tile]:
        return (tile for r in range(self.rows) for tile in self.row(r))

    def __len__(self) -> int:
        return self.rows * self.columns


def plan(height: int, width: int, tile: tuple[int, int], halo: int, multiple_of: int = 1) -> TilePlan:
    """The tiles that cover a picture of `height` x `width`. Raises ValueError for an empty picture, InvalidFile for a tile and halo that do not fit."""
    if height < 1 or width < 1:
        raise ValueError(f"picture is {height}x{width}; expected at least 1x1")
    check(tile, halo, multiple_of)
    return TilePlan(height, width, tile, halo)


def reflect_index(i: int, n: int) -> int:
    """The pixel, of `n`, that position `i` reads (rule 3)."""
    if n == 1:
        return 0
    j = i % (2 * (n - 1))
    return j if j < n else 2 * (n - 1) - j


def cut(picture: Tensor, plan: TilePlan, tile: Tile) -> Tensor:
    """(C, H, W) -> (C, tile height, tile width), contiguous: the network's input for `tile`."""
    return picture[:, plan.source_rows(tile)][:, :, plan.source_columns(tile)]


def paste(result: Tensor, picture: Tensor, plan: TilePlan, tile: Tile, scale: int = 1, top: int = 0) -> None:
    """Copies the core of `result` (C, tile height * scale, tile width * scale) into `picture`, whose first row is row `top` of the scaled picture."""
    inner = plan.halo * scale
    y, x, height, width = tile.y * scale - top, tile.x * scale, tile.height * scale, tile.width * scale
    picture[:, y : y + height, x : x + width] = result[:, inner : inner + height, inner : inner + width]


def overhead(height: int, width: int, tile: tuple[int, int], halo: int) -> float:
    """Pixels computed / pixels of the picture, >= 1."""
    return len(plan(height, width, tile, halo)) * tile[0] * tile[1] / (height * width)


def asymptotic_overhead(tile: tuple[int, int], halo: int) -> float:
    """`overhead` of a very large picture."""
    check(tile, halo)
    return tile[0] * tile[1] / ((tile[0] - 2 * halo) * (tile[1] - 2 * halo))


def receptive_radius(module: nn.Module, example: tuple[Tensor, ...], multiple_of: int = 1, smallest: int = 1) -> int | None:
    """How far, in input pixels, an input pixel reaches: the smallest halo at which tiled equals untiled exactly. None if it reaches everywhere.

    `module` (in eval mode, float32, on the CPU) maps tensors of the channels of `example` to one tensor whose sides are whole multiples of theirs; it is
    run on sides of its own choice that are multiples of `multiple_of` and at least `smallest`. A reach of more than 383 px, for which no tile pays, counts
    as everywhere.

    Not-a-number is put into one input pixel and looked for in the output. Every sum, product, maximum, clamp and activation hands it on, even a weight
    of zero does, and nothing cancels, so the answer depends on the structure alone; where masks and comparisons swallow it, as in a hue, one pixel of a
    random picture is changed instead. Long thin strips, one per axis, make it cheap. With `multiple_of` above 1 the reach depends on the pixel's phase, and
    the largest counts. Raises ValueError if the output does not depend on the input.
    """
    if module.training:
        raise ValueError("the module is in training mode; call .eval() first")
    short, long = (-(-side // multiple_of) * multiple_of for side in (max(16, 2 * multiple_of, smallest), 768))
    farthest = 0
    with torch.no_grad(), _plain_convolutions():
        for axis, phase in product((0, 1), range(multiple_of)):
            reach = _reach(module, example, axis, short, long, phase)
            if reach is None:
                return None
            farthest = max(farthest, reach)
    return farthest


@contextmanager
def _plain_convolutions() -> Iterator[None]:
    """Without oneDNN and NNPACK: their fast convolutions (Winograd, FFT) compute blocks of pixels together and would smear a mark over its block."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False
    try:
        with torch.backends.nnpack.flags(enabled=False):
            yield
    finally:
        torch.backends.mkldnn.enabled = before


def _reach(module: nn.Module, example: tuple[Tensor, ...], axis: int, short: int, long: int, phase: int) -> int | None:
    """How far a mark in the middle of a strip gets along it; None if it gets to an end of the strip."""
    middle = long // 2 + phase
    shape = (long, short) if axis == 0 else (short, long)
    place = (middle, short // 2) if axis == 0 else (short // 2, middle)
    grey = tuple(torch.full((1, e.shape[1], *shape), 0.5) if e.ndim == 4 else e for e in example)
    touched = module(*_marked(grey, place, torch.nan)).isnan()
    if not touched.any():
        random = torch.Generator().manual_seed(0)
        noise = tuple(torch.rand(t.shape, generator=random) if t.ndim == 4 else t for t in grey)
        touched = module(*_marked(noise, place, 0.0)) != module(*_marked(noise, place, 1.0))
    marked = touched.flatten(0, 1).any(0).any(1 - axis).nonzero().flatten()
    if not len(marked):
        raise ValueError("the module's output does not depend on its input; expected an image network")
    positions = marked // (touched.shape[2 + axis] // long)
    first, last = int(positions[0]), int(positions[-1])
    return None if first == 0 or last == long - 1 else max(middle - first, last - middle)


def _marked(pictures: tuple[Tensor, ...], place: tuple[int, int], value: float) -> tuple[Tensor, ...]:
    """Copies of them with `value` in all channels of one pixel; what is no picture stays."""
    copies = tuple(picture.clone() for picture in pictures)
    for copy in copies:
        if copy.ndim == 4:
            copy[..., *place] = value
    return copies


def halo_error_profile(
    tile_module: Callable[..., Tensor],
    whole_module: Callable[..., Tensor],
    pictures: Iterable[tuple[Tensor, ...]],
    tile: tuple[int, int],
    scale: int,
    radius: int,
) -> Tensor:
    """How wrong a tile is near its edge: for each distance d from the edge (input pixels), the largest |tiled - untiled| over all pictures.

    `tile_module` and `whole_module` map (1, C, h, w) in [0, 1] to (1, C', h * scale, w * scale); the first is given tiles only, the second tiles with
    `radius` real pixels around them, so that with the receptive radius (in multiples of the network's stride) it gives what the whole picture would.
    A picture is a tuple of the network's inputs, (1, C, H, W) each; the tile is taken from their middle, mirrored outwards (rule 3) where they are smaller.
    Inputs without height and width (a time step) are handed on. Outputs are clamped to [0, 1].

    -> float32 of length ceil(shorter tile side / 2), never negative. A module that gives values that are not finite makes them infinite here.
    """
    height, width = tile
    y, x = torch.arange(height), torch.arange(width)
    distance = torch.minimum(torch.minimum(y, height - 1 - y)[:, None], torch.minimum(x, width - 1 - x)[None]).flatten()
    profile = torch.zeros((min(tile) + 1) // 2)
    for picture in pictures:
        around = tuple(_middle(t, height + 2 * radius, width + 2 * radius) if t.ndim == 4 else t for t in picture)
        within = tuple(t[..., radius : radius + height, radius : radius + width].contiguous() if t.ndim == 4 else t for t in around)
        with torch.no_grad():
            whole = whole_module(*around).clamp(0, 1)
            tiled = tile_module(*within).clamp(0, 1)
        inner = radius * scale
        error = (tiled - whole[..., inner : inner + height * scale, inner : inner + width * scale]).abs().amax((0, 1))
        error = F.max_pool2d(error.nan_to_num(torch.inf)[None], scale).flatten()
        profile.scatter_reduce_(0, distance, error, "amax")
    return profile


def _middle(picture: Tensor, height: int, width: int) -> Tensor:
    """The middle of (1, C, H, W), mirrored outwards where it is smaller."""
    top, left = (picture.shape[-2] - height) // 2, (picture.shape[-1] - width) // 2
    rows = [reflect_index(i, picture.shape[-2]) for i in range(top, top + height)]
    columns = [reflect_index(i, picture.shape[-1]) for i in range(left, left + width)]
    return picture[..., rows, :][..., columns]


def smallest_halo(profile: Tensor, step: float = 1 / 255, multiple_of: int = 1) -> int:
    """The smallest halo beyond which every error of `halo_error_profile` is below `step`, rounded up to `multiple_of`.

    Two numbers less than one step apart round to the same or to neighbouring uint8 values. If no halo does, the result is half the tile, which
    `plan` refuses.
    """
    wrong = (profile >= step).nonzero()
    halo = int(wrong[-1]) + 1 if len(wrong) else 0
    return -(-halo // multiple_of) * multiple_of


def adversarial(side: int) -> list[Tensor]:
    """Inputs that show a network's edges at their worst, (3, side, side) float32 in [0, 1]; always the same.

    Black, white, checkerboards of 1 and 8 px, 16 px patches of the saturated colours, noise, a hard step upright and lying, and a diagonal one.
    """
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    random = torch.Generator().manual_seed(0)
    corners = torch.tensor([[r, g, b] for r in (0.0, 1.0) for g in (0.0, 1.0) for b in (0.0, 1.0)])
    patches = corners[torch.randint(8, (-(-side // 16),) * 2, generator=random)][y // 16, x // 16].permute(2, 0, 1).contiguous()
    grey = [torch.zeros(side, side), torch.ones(side, side), (y + x) % 2, (y // 8 + x // 8) % 2, x >= side // 2, y >= side // 2, y >= x]
    return [*(plane.float().expand(3, -1, -1).contiguous() for plane in grey), patches, torch.rand(3, side, side, generator=random)]
