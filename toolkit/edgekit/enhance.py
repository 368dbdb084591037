"""Enhances pictures of any size with a model file of fixed input size, one row of tiles at a time, so that memory stays bounded.

What is tiled how is said in `tiles`; what becomes of colour, alpha, bit depth and profile in `picture`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit import tiles
from edgekit.colour import luma
from edgekit.errors import EdgekitError
from edgekit.picture import SourcePicture, create_picture, to_pixels

Session = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
"""A loaded model: contiguous NCHW tiles in, contiguous NCHW tiles out, in the model file's own dtype."""

Progress = Callable[[int, int], None]
"""Called with (tiles done, tiles in all) after each tile."""

_Rows = Callable[[Sequence[int]], Tensor]
"""Row numbers, in any order -> (C, rows, width) float32 in [0, 1]."""


@dataclass(frozen=True)
class TileSpec:
    """What of the model's image contract `enhance` needs. `tile` is (height, width) of its input, `halo` in input pixels.

    `colour` is what the model's channels are: "luma" models get the BT.601 luma and their result replaces that of the bicubically enlarged picture.
    `io` "uint8" models take and give 0 to 255. Raises InvalidFile if tile, halo and `multiple_of` do not go together.
    """

    tile: tuple[int, int]
    halo: int
    scale: int = 1
    multiple_of: int = 1
    io: Literal["float32", "uint8"] = "float32"
    colour: Literal["rgb", "bgr", "luma"] = "rgb"

    def __post_init__(self) -> None:
        tiles.check(self.tile, self.halo, self.multiple_of)


def enhance(session: Session, spec: TileSpec, source: SourcePicture, out_path: Path, progress: Progress | None = None) -> None:
    """Writes the enhanced `source` to `out_path`, whole or not at all.

    Grey pictures go in as three equal channels, and the mean of the three results comes out. Alpha is enlarged bicubically.
    Raises InvalidFile if the file cannot be written in this format or at all, EdgekitError if the model's result is not a picture.
    """
    plan = tiles.plan(source.height, source.width, spec.tile, spec.halo, spec.multiple_of)
    with create_picture(out_path, source, source.height * spec.scale, source.width * spec.scale) as file:
        for core, colour in _bands(session, spec, plan, source.colour, progress):
            planes = colour.mean(0, keepdim=True) if source.is_grey else colour
            if source.has_alpha:
                planes = torch.cat([planes, _bicubic(source.alpha, plan, core, spec.scale)])
            for part in planes.split(256, 1):
                file.write(to_pixels(part, file.bits))


def enhance_tensor(session: Session, spec: TileSpec, picture: Tensor) -> Tensor:
    """(1, 3, H, W) float32 RGB in [0, 1] -> (1, 3, H * scale, W * scale): the stitched picture as `enhance` makes it, before it is rounded."""
    height, width = picture.shape[-2:]
    plan = tiles.plan(height, width, spec.tile, spec.halo, spec.multiple_of)
    return torch.cat([band for _, band in _bands(session, spec, plan, lambda rows: picture[0, :, rows], None)], 1)[None]


def _bands(session: Session, spec: TileSpec, plan: tiles.TilePlan, read: _Rows, progress: Progress | None) -> Iterator[tuple[tiles.Tile, Tensor]]:
    """Per row of tiles: (its first tile, the enhanced RGB rows of its cores (3, core height * scale, width * scale) float32 in [0, 1])."""
    done = 0
    for row in map(plan.row, range(plan.rows)):
        core = row[0]
        rows = _to_model(read(plan.source_rows(core)), spec)
        band = torch.empty(len(rows), core.height * spec.scale, plan.width * spec.scale)
        for tile in row:
            result = _run(session, spec, rows[:, :, plan.source_columns(tile)], tile)
            tiles.paste(result, band, plan, tile, spec.scale, top=tile.y * spec.scale)
            done += 1
            if progress:
                progress(done, len(plan))
        yield core, _from_model(band, spec, lambda core=core: _bicubic(read, plan, core, spec.scale))


def _to_model(rgb: Tensor, spec: TileSpec) -> Tensor:
    if spec.colour == "luma":
        return luma(rgb)
    return rgb.flip(0) if spec.colour == "bgr" else rgb


def _from_model(band: Tensor, spec: TileSpec, enlarged: Callable[[], Tensor]) -> Tensor:
    if spec.colour == "luma":
        rgb = enlarged()
        # The same as going through YCbCr: luma has the factor 1 in each of R, G and B.
        return (rgb + (band - luma(rgb))).clamp_(0, 1)
    return band.flip(0) if spec.colour == "bgr" else band


def _run(session: Session, spec: TileSpec, pixels: Tensor, tile: tiles.Tile) -> Tensor:
    """(C, tile height, tile width) float32 -> (C, tile height * scale, tile width * scale) float32, clamped to [0, 1]."""
    values = (pixels * 255 + 0.5).to(torch.uint8) if spec.io == "uint8" else pixels
    (result,) = session((values[None].contiguous(),))
    expected = (1, len(pixels), *(side * spec.scale for side in spec.tile))
    if tuple(result.shape) != expected:
        raise EdgekitError(f"the model gave {tuple(result.shape)}; expected {expected}: its file and its manifest do not belong together")
    floats = result[0].float() / 255 if spec.io == "uint8" else result[0]
    if not floats.isfinite().all():
        raise EdgekitError(f"the model gave values that are not finite for the tile at row {tile.y}, column {tile.x}; expected numbers in [0, 1]")
    return floats.clamp(0, 1)


def _bicubic(read: _Rows, plan: tiles.TilePlan, core: tiles.Tile, scale: int) -> Tensor:
    """The rows of `core`, over the picture's whole width, enlarged bicubically (a = -0.75), edges mirrored: (C, rows * scale, width * scale)."""
    reach = 2
    rows = [tiles.reflect_index(core.y + i, plan.height) for i in range(-reach, core.height + reach)]
    columns = [tiles.reflect_index(i, plan.width) for i in range(-reach, plan.width + reach)]
    around = read(rows)[:, :, columns]
    large = F.interpolate(around[None], scale_factor=scale, mode="bicubic", align_corners=False)[0]
    return large[:, reach * scale : (reach + core.height) * scale, reach * scale : (reach + plan.width) * scale].clamp(0, 1)
