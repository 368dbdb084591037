"""How a clean photograph becomes a network's input. Calibration, parity and training pictures all pass through these."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def to_uint8_grid(x: Tensor) -> Tensor:
    """Clamps to [0, 1] and rounds to multiples of 1/255: what an 8-bit picture can hold. Float32 in and out."""
    return (x.clamp(0, 1) * 255).round() / 255


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """(N, C, H, W) float32 -> (N, C, height, width); anti-aliased bicubic with a = -0.5 (Keys 1981), as in PIL and MATLAB's imresize."""
    return F.interpolate(x, size=(height, width), mode="bicubic", antialias=True, align_corners=False)


def downscale(scale: int) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """The input of a super-resolution network: an anti-aliased bicubic reduction by `scale`, rounded to 8 bits.

    The returned function takes (N, C, H, W) in [0, 1] with H and W multiples of `scale`; it raises ValueError otherwise.
    """

    def degrade(clean: Tensor) -> tuple[Tensor, ...]:
        height, width = clean.shape[-2:]
        if height % scale or width % scale:
            raise ValueError(f"picture is {height}x{width}; expected multiples of {scale}")
        with torch.no_grad():
            return (to_uint8_grid(resize(clean, height // scale, width // scale)),)

    return degrade
