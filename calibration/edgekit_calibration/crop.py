"""From a photograph to a set's picture: reduced so that no JPEG blocks remain, then one square of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from edgekit_calibration.pixels import to_8_bits

MAX_SHORT_SIDE = 1080  # a square then shows enough of the scene
MULTIPLE = 24  # sides divide by 2, 3 and 4, the scales of super-resolution, with multiples of 2 left over
MIN_SIZE = 192  # below it less than one tile of 96 pixels remains at scale 2


class TooSmall(ValueError):
    """The photograph does not hold a square of the smallest size."""


def cut(pixels: np.ndarray, size: int, *, centre: tuple[float, float] | None = None, must_reduce: bool = False) -> Image.Image:
    """(height, width, 3) uint8 or uint16 -> an RGB square of `size` pixels, or of the largest multiple of 24 that fits.

    The photograph is first reduced (Lanczos): by at least 2, by 4 where a whole square still fits, and until its short side is at most 1080.
    That averages away the steps between its JPEG's 8x8 blocks (traces remain at 3) and the blur of the camera's demosaicing. One too small for it is taken
    unreduced, unless `must_reduce`. `centre` is where the square goes, as fractions of width and height.
    Raises TooSmall if less than min(size, 192) would remain.
    """
    image = Image.fromarray(to_8_bits(pixels))
    least = min(size, MIN_SIZE)
    short = min(image.size)
    if short >= 2 * least or must_reduce:
        goal = max(1, min(MAX_SHORT_SIDE, short // 2, max(short // 4, size)))
        image = image.resize((max(1, image.width * goal // short), max(1, image.height * goal // short)), Image.Resampling.LANCZOS)
    side = min(size, min(image.size) // MULTIPLE * MULTIPLE)
    if side < least:
        raise TooSmall(f"{pixels.shape[1]}x{pixels.shape[0]} pixels; expected at least {2 * least if must_reduce else least} on each side")
    left, top = _around(image, side, centre) if centre else _typical(image, side)
    return image.crop((left, top, left + side, top + side))


def reduced(pixels: np.ndarray, at_least: int = 2 * MIN_SIZE) -> Image.Image:
    """(height, width, 3) uint8 or uint16 -> the RGB photograph, halved or more (see `cut`) if its short side has `at_least` pixels."""
    image = Image.fromarray(to_8_bits(pixels))
    short = min(image.size)
    goal = min(MAX_SHORT_SIDE, short // 2)
    if short < at_least or not goal:
        return image
    width, height = (max(1, side * goal // short) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=None)


def _around(image: Image.Image, side: int, centre: tuple[float, float]) -> tuple[int, int]:
    left, top = (round(at * length - side / 2) for at, length in zip(centre, image.size, strict=True))
    return min(max(left, 0), image.width - side), min(max(top, 0), image.height - side)


def _typical(image: Image.Image, side: int) -> tuple[int, int]:
    """The square with the upper quartile of detail (mean absolute gradient) among 5 x 5 places: neither the empty sky nor the busiest corner."""
    grey = np.asarray(image.convert("L"), dtype=np.int16)
    detail = np.zeros(grey.shape)
    detail[:, 1:] += np.abs(np.diff(grey, axis=1))
    detail[1:, :] += np.abs(np.diff(grey, axis=0))
    places = []
    for top in _positions(image.height - side):
        for left in _positions(image.width - side):
            places.append((detail[top : top + side, left : left + side].mean(), left, top))
    _, left, top = sorted(places)[(len(places) - 1) * 3 // 4]
    return left, top


def _positions(room: int) -> list[int]:
    return sorted({round(room * step / 4) for step in range(5)})


def save(picture: Image.Image, path: Path) -> None:
    """Lossless WebP. The same Pillow gives the same bytes."""
    picture.save(path, lossless=True, method=6, quality=75)  # at 100 it takes 25 times as long for 0.1 % fewer bytes
