"""The worst tiles of a file as pictures that a page holds: input, reference, artifact, and the difference, amplified."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgekit import bundle, evidence
from edgekit.errors import InvalidFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_GAIN = 64
LARGEST_CHART = 2**19
CHARTS = ("sensitivity-*.svg", "layers-*.svg")
MOST_CHARTS = 8


@dataclass(frozen=True)
class TilePictures:
    """`part` says which pixels of the tile are shown, `gain` by how much the difference is amplified (0: there is none), `largest` is in 8-bit steps.

    The last four are data: addresses; `size` is (width, height) of the reference, `input_size` of the input.
    """

    name: str
    psnr_db: float
    part: str
    size: tuple[int, int]
    input_size: tuple[int, int]
    gain: int
    largest: int
    input: str
    reference: str
    artifact: str
    difference: str


def worst_tiles(opened: bundle.Bundle, found: evidence.Evidence, artifact: str) -> list[TilePictures]:
    """Worst first. Raises InvalidFile if a picture is not what the evidence says."""
    own = found.of(artifact)
    return [_pictures(opened, found, own, shown) for shown in own.worst] if own else []


def _pictures(opened: bundle.Bundle, found: evidence.Evidence, own: evidence.ArtifactEvidence, shown: evidence.WorstTile) -> TilePictures:
    (given, small), (wanted, a), (got, b) = (evidence.read_picture(opened, name) for name in (shown.input, shown.reference, shown.artifact))
    top, left, height, width = shown.window
    if a.shape != (height, width, 3) or b.shape != a.shape:
        raise InvalidFile(
            f"{opened.path / evidence.FOLDER / shown.artifact}: is {b.shape[1]}x{b.shape[0]} px beside a reference of {a.shape[1]}x{a.shape[0]}; "
            f"expected both to be {width}x{height}: export the bundle again"
        )
    difference = np.subtract(b, a, dtype=np.int16)
    largest = int(abs(difference).max())
    gain = amplification(largest)
    return TilePictures(
        found.tiles[shown.tile],
        own.psnr_db[shown.tile],
        f"{width} x {height} px" + f" from ({left}, {top})" * bool(left or top),
        (width, height),
        (small.shape[1], small.shape[0]),
        gain,
        largest,
        data_address(given, "image/webp"),
        data_address(wanted, "image/webp"),
        data_address(got, "image/webp"),
        data_address(_amplified(difference, gain), "image/webp"),
    )


def amplification(largest: int) -> int:
    """The largest power of two, up to MOST_GAIN, with which `largest` steps stay in the picture; 0 if there is nothing to amplify."""
    gain = MOST_GAIN if largest else 0
    while gain > 1 and gain * largest > 127:
        gain //= 2
    return gain


def _amplified(difference: NDArray[np.int16], gain: int) -> bytes:
    """Around mid-grey: lighter is more than the reference, darker less."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray((128 + difference.astype(np.int32) * gain).clip(0, 255).astype(np.uint8)).save(file, "WEBP", lossless=True, quality=60, method=4)
    return file.getvalue()


def charts(opened: bundle.Bundle) -> list[tuple[str, str]]:
    """(name, data: address) of the per-layer charts that went along. Raises InvalidFile for one that is too large or no plain file."""
    names = sorted(path.name for pattern in CHARTS for path in opened.path.glob(pattern))[:MOST_CHARTS]
    found = [(name, bundle.read_note(opened, name, LARGEST_CHART)) for name in names]
    return [(name.removesuffix(".svg"), data_address(data, "image/svg+xml")) for name, data in found if data]


def data_address(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
