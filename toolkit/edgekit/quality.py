"""How much detail (or noise) a picture or tile holds: one score without a reference, in whole numbers, so that every language gets the same to the last bit.

The mean squared response of the 3x3 Laplacian on luma, a classical measure of focus (Subbarao, Choi, Nikzad 1993, "Focusing techniques", Optical Engineering 32:
"energy of Laplacian"). Flat tiles score low: a light network does as well there as a heavy one, which is what ClassSR found (Kong, Zhao, Qiao, Dong 2021,
arXiv 2103.04039), for whose classifying network this score stands in. Noise raises it as texture does, so that a denoiser's heavy variant gets the noisy tiles.

The rules, for every implementation (this one, the apps'); all numbers are whole, `//` and `>>` round down:

1. Luma: y = (77 R + 150 G + 29 B + 128) >> 8, of 8-bit pixels. Pixels of more bits, or in [0, 1], are rounded to 8 bits first, as for `uint8` files.
2. Response of each pixel that has all four neighbours: r = 4 y - north - south - west - east.
3. Score: 100 * sum of r * r // number of r: hundredths of a squared 8-bit step. 64 bits suffice. Pictures without such a pixel (a side below 3) score 0.

Of a tile all its pixels count, its halo too, as the network sees them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

LUMA = (77, 150, 29)
"""R, G and B's weights in 1/256 (BT.601)."""


def score(pixels: NDArray[np.uint8]) -> int:
    """(H, W, 3) RGB -> hundredths of a squared 8-bit step."""
    return score_of([_response(pixels)])


def score_of_rows(bands: Iterable[NDArray[np.uint8]]) -> int:
    """As `score`, of a picture that comes in bands of rows, (n, W, 3), from top to bottom, each starting with the last two rows of the one before."""
    return score_of(map(_response, bands))


def score_of(responses: Iterable[tuple[int, int]]) -> int:
    """(sum of squared responses, their number) of parts -> the score of the whole."""
    total = count = 0
    for part, number in responses:
        total, count = total + part, count + number
    return 100 * total // count if count else 0


def _response(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    y = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue + 128) >> 8
    found = 4 * y[1:-1, 1:-1] - y[:-2, 1:-1] - y[2:, 1:-1] - y[1:-1, :-2] - y[1:-1, 2:]
    return int(np.square(found).sum(dtype=np.int64)), found.size
