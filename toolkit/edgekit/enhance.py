"""Enhances pictures of any size with a model file of fixed input size, one row of tiles at a time, so that memory stays bounded.

What is tiled how is said in `tiles`; what becomes of colour, alpha, bit depth and profile in `picture`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit import tiles
from edgekit.adjustment import adjusted, settings
from edgekit.colour import luma
from edgekit.enhancer import Adjustment, Colour, Sampler
from edgekit.errors import EdgekitError, InvalidFile
from edgekit.models.degrade import resize
from edgekit.picture import SourcePicture, create_picture, to_pixels
from edgekit.sampler import sample

Session = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
"""A loaded model: contiguous NCHW tiles in, contiguous NCHW tiles out, in the model file's own dtype."""

Progress = Callable[[int, int], None]
"""Called with (tiles done, tiles in all) after each tile."""

MOST_SAMPLED = 24_000_000
"""Pixels of a picture that a diffusion model gets."""

_Rows = Callable[[Sequence[int]], Tensor]
"""Row numbers, in any order -> (C, rows, width) float32 in [0, 1]."""


@dataclass(frozen=True)
class TileSpec:
    """What of the model's image contract `enhance` needs. `tile` is (height, width) of its input, `halo` in input pixels.

    `colours` has what the channels of each input are. "luma" models get the BT.601 luma and their "luma" result replaces that of the bicubically enlarged
    picture; "grey" and "mask" are one plane. `result` is what the output's channels are: a mask's channels are the shares of the classes.
    `io` "uint8" models take and give 0 to 255. Raises InvalidFile if tile, halo and `multiple_of` do not go together.
    """

    tile: tuple[int, int]
    halo: int
    scale: int = 1
    multiple_of: int = 1
    io: Literal["float32", "uint8"] = "float32"
    colours: tuple[Colour, ...] = ("rgb",)
    result: Colour = "rgb"

    def __post_init__(self) -> None:
        tiles.check(self.tile, self.halo, self.multiple_of)


def enhance(session: Session, spec: TileSpec, sources: Sequence[SourcePicture], out_path: Path, progress: Progress | None = None) -> None:
    """Writes what the model makes of `sources`, one picture per input, all of one size, to `out_path`, whole or not at all.

    The first picture lends its depth, profile and alpha. Grey ones go into models of three channels as three equal planes, and the mean of the three results
    comes out. Alpha is enlarged bicubically. A mask of one class is saved as its share, of several as the grey level of the likeliest class.
    Raises InvalidFile if the pictures do not fit the model or the file cannot be written, EdgekitError if the model's result is not a picture.
    """
    first = _require_one_size(spec, sources)
    plan = tiles.plan(first.height, first.width, spec.tile, spec.halo, spec.multiple_of)
    like = _like(first, spec)
    bands = _bands(session, spec, plan, [source.colour for source in sources], progress)
    _write(
        out_path,
        like,
        (first.height * spec.scale, first.width * spec.scale),
        ((_saved(band, spec, like), partial(_bicubic, first.alpha, plan, core, spec.scale)) for core, band in bands),
    )


def enhance_whole(session: Session, spec: TileSpec, sources: Sequence[SourcePicture], out_path: Path) -> None:
    """As `enhance`, for models that have to see the whole picture: pictures of another size than the tile's are resized to it (anti-aliased bicubic), and the
    result to theirs times the scale. Where that loses too much is for the caller to say."""
    first = _require_one_size(spec, sources)
    like = _like(first, spec)
    size = first.height * spec.scale, first.width * spec.scale
    rows = range(first.height)
    pictures = [resize(source.colour(rows)[None], *spec.tile)[0].clamp(0, 1) for source in sources]
    tile = tiles.Tile(0, 0, *spec.tile)
    result = _run(session, spec, [_to_model(p, colour) for p, colour in zip(pictures, spec.colours, strict=True)], tile)
    large = resize(result[None], *size)[0].clamp(0, 1)
    if spec.result == "luma":
        large = _with_luma(resize(first.colour(rows)[None], *size)[0].clamp(0, 1), large)
    planes = _saved(large.flip(0) if spec.result == "bgr" else large, spec, like)
    _write(out_path, like, size, [(planes, lambda: resize(first.alpha(rows)[None], *size)[0].clamp(0, 1))])


def enhance_sampled(
    session: Session, spec: TileSpec, sampler: Sampler, source: SourcePicture, out_path: Path, progress: Progress | None = None
) -> None:
    """As `enhance`, for a model that is one step of a diffusion: every step runs over the whole picture in tiles (see `edgekit.sampler`). The model's inputs are
    the picture, the state and the share of noise. Raises InvalidFile also for a picture of more than MOST_SAMPLED pixels, as states are kept whole."""
    height, width = source.height, source.width
    if height * width > MOST_SAMPLED:
        raise InvalidFile(
            f"{source.name}: has {height * width / 1e6:.0f} megapixels; expected at most {MOST_SAMPLED / 1e6:.0f} for a diffusion model"
        )
    plan = tiles.plan(height, width, spec.tile, spec.halo, spec.multiple_of)
    done = 0

    def step(state: Tensor, share: float) -> Tensor:
        def counted(_: int, __: int) -> None:
            nonlocal done
            done += 1
            if progress:
                progress(done, len(plan) * len(sampler.noise))

        noise = torch.tensor([[share]])
        reads = [source.colour, lambda rows: state[:, rows]]
        return torch.cat([band for _, band in _bands(lambda tile: session((*tile, noise)), spec, plan, reads, counted)], 1)

    result = sample(sampler, step, height, width)
    like = _like(source, spec)
    _write(out_path, like, (height, width), [(_saved(result, spec, like), lambda: source.alpha(range(height)))])


def enhance_adjusted(session: Session, spec: TileSpec, apply: Adjustment, index: int, source: SourcePicture, out_path: Path) -> None:
    """As `enhance`, for a model that gives numbers (its output number `index`) instead of a picture: it gets the picture resized to its tile, and `apply` says
    what the numbers do to the picture, which is adjusted at its own size, some rows at a time."""
    small = _resized_by_rows(source, spec.tile)
    positions = _call(session, spec, [_to_model(small, spec.colours[0])])[index].float()
    expected = (1, len(apply.ranges))
    if tuple(positions.shape) != expected:
        raise EdgekitError(f"the model gave {tuple(positions.shape)}; expected {expected}: its file and its manifest do not belong together")
    if not positions.isfinite().all():
        raise EdgekitError(f"the model gave numbers that are not finite for {source.name}; expected numbers in [0, 1]")
    numbers = settings(apply, (positions / 255 if spec.io == "uint8" else positions).clamp(0, 1))
    _write(
        out_path,
        source,
        (source.height, source.width),
        ((_saved(adjusted(source.colour(rows)[None], numbers)[0], spec, source), partial(source.alpha, rows)) for rows in _row_groups(source.height)),
    )


def enhance_tensor(session: Session, spec: TileSpec, picture: Tensor) -> Tensor:
    """(1, 3, H, W) float32 RGB in [0, 1] -> (1, 3, H * scale, W * scale): the stitched picture as `enhance` makes it, before it is rounded."""
    height, width = picture.shape[-2:]
    plan = tiles.plan(height, width, spec.tile, spec.halo, spec.multiple_of)
    return torch.cat([band for _, band in _bands(session, spec, plan, [lambda rows: picture[0, :, rows]], None)], 1)[None]


def _require_one_size(spec: TileSpec, sources: Sequence[SourcePicture]) -> SourcePicture:
    """The first picture. Raises InvalidFile."""
    if len(sources) != len(spec.colours):
        raise InvalidFile(f"got {len(sources)} pictures for a model of {len(spec.colours)} inputs; expected one for each")
    first = sources[0]
    for other in sources[1:]:
        if (other.height, other.width) != (first.height, first.width):
            raise InvalidFile(f"{other.name}: is {other.width}x{other.height}, {first.name} is {first.width}x{first.height}; expected the same size")
    return first


def _like(first: SourcePicture, spec: TileSpec) -> SourcePicture:
    """The picture whose channels and profile the result gets."""
    if spec.result in ("mask", "grey"):
        return replace(first, pixels=first.pixels[:, :, :1], icc_profile=None)
    if first.is_grey and "rgb" in spec.colours[1:]:  # infrared first, colours second
        return replace(first, pixels=first.pixels[:, :, :1].repeat(3, 2), icc_profile=None)
    return first


def _write(out_path: Path, like: SourcePicture, size: tuple[int, int], parts: Iterable[tuple[Tensor, Callable[[], Tensor]]]) -> None:
    """`parts`: (planes, what gives the alpha of these rows if `like` has one), from the top."""
    with create_picture(out_path, like, *size) as file:
        for planes, alpha in parts:
            whole = torch.cat([planes, alpha()]) if like.has_alpha else planes
            for rows in whole.split(256, 1):
                file.write(to_pixels(rows, file.bits))


def _saved(band: Tensor, spec: TileSpec, like: SourcePicture) -> Tensor:
    """The planes that are written, but for alpha."""
    if spec.result == "mask" and len(band) > 1:
        return band.argmax(0, keepdim=True).float() / (len(band) - 1)
    return band.mean(0, keepdim=True) if like.is_grey and len(band) > 1 else band


def _bands(
    session: Session, spec: TileSpec, plan: tiles.TilePlan, reads: Sequence[_Rows], progress: Progress | None
) -> Iterator[tuple[tiles.Tile, Tensor]]:
    """Per row of tiles: (its first tile, the enhanced rows of its cores (C, core height * scale, width * scale) float32 in [0, 1], RGB where in colour)."""
    done = 0
    for row in map(plan.row, range(plan.rows)):
        core = row[0]
        rows = [_to_model(read(plan.source_rows(core)), colour) for read, colour in zip(reads, spec.colours, strict=True)]
        band: Tensor | None = None
        for tile in row:
            result = _run(session, spec, [plane[:, :, plan.source_columns(tile)] for plane in rows], tile)
            if band is None:
                band = torch.empty(len(result), core.height * spec.scale, plan.width * spec.scale)
            tiles.paste(result, band, plan, tile, spec.scale, top=tile.y * spec.scale)
            done += 1
            if progress:
                progress(done, len(plan))
        assert band is not None
        if spec.result == "luma":
            band = _with_luma(_bicubic(reads[0], plan, core, spec.scale), band)
        yield core, band.flip(0) if spec.result == "bgr" else band


def _to_model(rgb: Tensor, colour: Colour) -> Tensor:
    if colour in ("luma", "grey", "mask"):
        return luma(rgb)
    return rgb.flip(0) if colour == "bgr" else rgb


def _with_luma(rgb: Tensor, plane: Tensor) -> Tensor:
    """The picture with this luma. The same as going through YCbCr: luma has the factor 1 in each of R, G and B."""
    return (rgb + (plane - luma(rgb))).clamp_(0, 1)


def _run(session: Session, spec: TileSpec, inputs: Sequence[Tensor], tile: tiles.Tile) -> Tensor:
    """(C, tile height, tile width) float32 each -> (C', tile height * scale, tile width * scale) float32, clamped to [0, 1]."""
    result = _call(session, spec, inputs)[0]
    channels = {"rgb": 3, "bgr": 3, "luma": 1, "grey": 1}.get(spec.result, result.shape[1] if result.ndim == 4 else 1)
    expected = (1, channels, *(side * spec.scale for side in spec.tile))
    if tuple(result.shape) != expected:
        raise EdgekitError(f"the model gave {tuple(result.shape)}; expected {expected}: its file and its manifest do not belong together")
    floats = result[0].float() / 255 if spec.io == "uint8" else result[0]
    if not floats.isfinite().all():
        raise EdgekitError(f"the model gave values that are not finite for the tile at row {tile.y}, column {tile.x}; expected numbers in [0, 1]")
    return floats.clamp(0, 1)


def _call(session: Session, spec: TileSpec, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """(C, tile height, tile width) float32 in [0, 1] each -> what the session gives."""
    values = ((pixels * 255 + 0.5).to(torch.uint8) if spec.io == "uint8" else pixels for pixels in inputs)
    return session(tuple(value[None].contiguous() for value in values))


def _row_groups(height: int) -> Iterator[range]:
    """The rows of a picture, 64 at a time."""
    return (range(start, min(start + 64, height)) for start in range(0, height, 64))


def _resized_by_rows(source: SourcePicture, size: tuple[int, int]) -> Tensor:
    """(3, *size) float32 in [0, 1]: the picture in anti-aliased bicubic, first across, which each row does alone, then down."""
    across = [resize(source.colour(rows)[None], len(rows), size[1]) for rows in _row_groups(source.height)]
    return resize(torch.cat(across, 2), *size)[0].clamp(0, 1)


def _bicubic(read: _Rows, plan: tiles.TilePlan, core: tiles.Tile, scale: int) -> Tensor:
    """The rows of `core`, over the picture's whole width, enlarged bicubically (a = -0.75), edges mirrored: (C, rows * scale, width * scale)."""
    reach = 2
    rows = [tiles.reflect_index(core.y + i, plan.height) for i in range(-reach, core.height + reach)]
    columns = [tiles.reflect_index(i, plan.width) for i in range(-reach, plan.width + reach)]
    around = read(rows)[:, :, columns]
    large = F.interpolate(around[None], scale_factor=scale, mode="bicubic", align_corners=False)[0]
    return large[:, reach * scale : (reach + core.height) * scale, reach * scale : (reach + plan.width) * scale].clamp(0, 1)
