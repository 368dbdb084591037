"""Classical steps before or after a network, on whole pictures: histogram equalization, CLAHE (Zuiderveld 1994), the bilateral filter (Tomasi, Manduchi 1998).

Equalization changes the luma alone, in 256 levels with values between them interpolated, so that 16 bits stay 16. Alpha, profile and depth are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import ceil, inf
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit.colour import luma
from edgekit.enhancer import ClassicalStep
from edgekit.errors import InvalidFile
from edgekit.picture import SourcePicture, create_picture, open_picture, to_pixels

MOST_PIXELS = 24_000_000
"""Of a picture that gets such steps."""

_ROWS = 64
"""That are computed at a time."""


def require_small(name: str, pixels: int) -> None:
    """Raises InvalidFile for a picture of more than MOST_PIXELS."""
    if pixels > MOST_PIXELS:
        most = MOST_PIXELS / 1e6
        raise InvalidFile(f"{name}: {pixels / 1e6:.0f} megapixels; expected at most {most:.0f} for the classical steps that the bundle asks for")


def processed(source: SourcePicture, steps: Sequence[ClassicalStep]) -> SourcePicture:
    """The picture after `steps`, in its own channels and depth."""
    if not steps:
        return source
    rows = range(source.height)
    picture = source.colour(rows)
    for step in steps:
        picture = apply(step, picture)
    planes = picture.mean(0, keepdim=True) if source.is_grey else picture
    if source.has_alpha:
        planes = torch.cat([planes, source.alpha(rows)])
    return replace(source, pixels=to_pixels(planes, source.bits))


@contextmanager
def then(steps: Sequence[ClassicalStep], out_path: Path) -> Iterator[Path]:
    """Where to write the picture that gets to `out_path` after `steps`: there itself, or a PNG beside it that goes again. Raises InvalidFile."""
    if not steps:
        yield out_path
        return
    given = out_path.with_name(f".{out_path.stem}.{os.getpid()}.png")
    try:
        yield given
        made = processed(open_picture(given), steps)
    finally:
        given.unlink(missing_ok=True)
    with create_picture(out_path, made, made.height, made.width) as file:
        file.write(made.pixels if file.bits == made.bits else (made.pixels >> 8).astype(np.uint8))


def apply(step: ClassicalStep, picture: Tensor) -> Tensor:
    """(3, H, W) float32 RGB in [0, 1] -> the same after one step."""
    match step.name:
        case "equalize":
            return _with_luma(picture, equalized(luma(picture)[0]))
        case "clahe":
            return _with_luma(picture, equalized(luma(picture)[0], int(step.parameters["regions"]), step.parameters["limit"]))
        case "bilateral":
            return bilateral(picture, step.parameters["sigma_space"], step.parameters["sigma_colour"])


def equalized(plane: Tensor, regions: int = 1, limit: float = inf) -> Tensor:
    """(H, W) float32 in [0, 1], each value replaced by the share of values up to it in its region; `regions` of them a side, bilinear between their centres.

    No level counts more than `limit` times the mean count of a level; what is above is spread over all levels.
    """
    height, width = plane.shape
    down, across = min(regions, height), min(regions, width)
    maps = _maps(plane, down, across, limit)
    row_low, row_share = _between(height, down)
    column_low, column_share = _between(width, across)
    made = torch.empty_like(plane)
    for start in range(0, height, _ROWS):
        part = slice(start, start + _ROWS)
        value = plane[part] * 255
        level = value.floor().clamp(0, 254).long()
        share = value - level
        made[part] = 0
        for row, row_weight in ((row_low, 1 - row_share), ((row_low + 1).clamp(max=down - 1), row_share)):
            for column, column_weight in ((column_low, 1 - column_share), ((column_low + 1).clamp(max=across - 1), column_share)):
                place = (row[part, None] * across + column[None]) * 256 + level
                mapped = maps[place] * (1 - share) + maps[place + 1] * share
                made[part] += row_weight[part, None] * column_weight[None] * mapped
    return made.clamp_(0, 1)


def bilateral(picture: Tensor, sigma_space: float, sigma_colour: float) -> Tensor:
    """(C, H, W) float32: every pixel becomes the mean of those within 3 sigma_space (px), weighted by Gaussians of their distance and of their colours'
    (Euclidean over the channels). Edges are mirrored."""
    _, height, width = picture.shape
    reach = min(ceil(3 * sigma_space), height - 1, width - 1)
    around = F.pad(picture[None], (reach, reach, reach, reach), mode="reflect")[0]
    made = torch.empty_like(picture)
    for start in range(0, height, _ROWS):
        centre = picture[:, start : start + _ROWS]
        total, weights = torch.zeros_like(centre), torch.zeros_like(centre[:1])
        for y in range(2 * reach + 1):
            for x in range(2 * reach + 1):
                other = around[:, start + y : start + y + centre.shape[1], x : x + width]
                distance = ((y - reach) ** 2 + (x - reach) ** 2) / sigma_space**2
                weight = torch.exp(-(((other - centre) ** 2).sum(0, keepdim=True) / sigma_colour**2 + distance) / 2)
                total += weight * other
                weights += weight
        made[:, start : start + _ROWS] = total / weights
    return made


def _maps(plane: Tensor, down: int, across: int, limit: float) -> Tensor:
    """(down * across * 256,): per region and level, the share of values up to the level."""
    height, width = plane.shape
    rows, columns = torch.arange(height) * down // height, torch.arange(width) * across // width
    counts = torch.zeros(down * across * 256)
    for start in range(0, height, _ROWS):
        part = slice(start, start + _ROWS)
        levels = (plane[part] * 255 + 0.5).long().clamp(0, 255)
        counts += torch.bincount(((rows[part, None] * across + columns[None]) * 256 + levels).flatten(), minlength=len(counts))
    table = counts.reshape(-1, 256).double()
    most = table.mean(1, keepdim=True) * limit
    kept = table.minimum(most)
    spread = kept + (table - kept).sum(1, keepdim=True) / 256
    return (spread.cumsum(1) / table.sum(1, keepdim=True)).float().flatten()


def _between(side: int, regions: int) -> tuple[Tensor, Tensor]:
    """Per pixel: (the region whose centre is at or before it, how far it is on the way to the next one's)."""
    position = ((torch.arange(side) + 0.5) * regions / side - 0.5).clamp(0, regions - 1)
    low = position.floor()
    return low.long(), position - low


def _with_luma(picture: Tensor, plane: Tensor) -> Tensor:
    return (picture + (plane - luma(picture))).clamp(0, 1)
