"""What the numbers of a network that gives no picture do to one: gain, gamma and saturation, applied at full size by whoever runs the file.

The network sees the whole picture resized to its tile and gives one position in [0, 1] for each range. The numbers then treat every pixel alike, so they apply
row by row, to as many bits as the picture has.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.enhancer import Adjustment


def settings(adjustment: Adjustment, positions: Tensor) -> Tensor:
    """(N, 3) positions in [0, 1] -> (N, 3) gain, gamma and saturation: low (high / low) ** p for the first two, low + (high - low) p for saturation."""
    low, high = torch.tensor(adjustment.ranges).T
    geometric = low[:2] * (high[:2] / low[:2]) ** positions[:, :2]
    even = low[2:] + (high[2:] - low[2:]) * positions[:, 2:]
    return torch.cat([geometric, even], 1)


def adjusted(picture: Tensor, settings: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in [0, 1] adjusted by (N, 3) gain, gamma and saturation: gain * x, clamped to [1e-6, 1], to the power of gamma; then grey + saturation *
    (that - grey), where grey is its mean of R, G and B; clamped to [0, 1]."""
    gain, gamma, saturation = (settings[:, i, None, None, None] for i in range(3))
    bright = (gain * picture).clamp(1e-6, 1) ** gamma
    grey = bright.mean(1, keepdim=True)
    return (grey + saturation * (bright - grey)).clamp(0, 1)
