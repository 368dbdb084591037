"""What the backends' tests share: small smooth pictures and a plain PSNR."""

import torch
from torch import nn


def pictures(count: int, seed: int = 0, side: int = 24) -> list[torch.Tensor]:
    """Smooth 8-bit pictures, (1, 3, side, side) float32 in [0, 1]."""
    coarse = torch.rand(count, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(seed))
    smooth = nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return [((p * 255).round() / 255)[None] for p in smooth]


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """dB, peak 1, without edgekit's own metric."""
    return float(-10 * torch.log10(((a - b) ** 2).mean()))
