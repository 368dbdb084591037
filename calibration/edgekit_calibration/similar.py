"""Whether two pictures show the same: the guard against test pictures that calibration has seen."""

from __future__ import annotations

import numpy as np
from PIL import Image

SAME = 10  # bits of 64; re-encoded, resized and brightened copies stay below, different photographs lie above (tests/calibration/test_similar.py)

_FINE = 32  # the hash sees a picture of 32x32
_COARSE = 8  # and of its frequencies the lowest 8x8


def picture_hash(pixels: np.ndarray) -> int:
    """(height, width, 3) uint8 -> 64 bits: which of the lowest 8x8 cosine frequencies of the grey picture, reduced to 32x32, lie above their median.

    Close pictures differ in few bits (`distance`). After C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010.
    """
    grey = Image.fromarray(pixels).convert("L").resize((_FINE, _FINE), Image.Resampling.LANCZOS)
    frequencies = _COSINES @ np.asarray(grey, dtype=np.float64) @ _COSINES.T
    frequencies[0, 0] = 0  # the mean says nothing about the content
    bits = (frequencies > np.median(frequencies)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def distance(one: int, other: int) -> int:
    """Differing bits of two hashes, 0 to 64."""
    return (one ^ other).bit_count()


def _cosines() -> np.ndarray:
    """The first rows of the 32-point discrete cosine transform (type II)."""
    frequency, place = np.mgrid[:_COARSE, :_FINE]
    return np.cos(np.pi / _FINE * (place + 0.5) * frequency)


_COSINES = _cosines()
