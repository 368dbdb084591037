"""EDSR's residual blocks with a bicubic skip: the network adds detail to the bicubically enlarged picture.

This is the generator of TecoGAN (Chu, Xie, Mayer, Leal-Taixe, Thuerey: Learning Temporal Coherence via Self-Supervision for GAN-based Video Generation,
ACM TOG 2020, arXiv 1811.09393; before it FRVSR, Sajjadi et al. 2018, arXiv 1801.04590) for single pictures, without the previous frame. The skip goes back
to VDSR (Kim et al. 2016, arXiv 1511.04587). Parameter names are those of TecoGAN-PyTorch's SRNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.shapes import Shapes


class ResidualBlock(nn.Module):
    """conv -> ReLU -> conv, added to the input. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class EDSRBicubic(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3, H*scale, W*scale), nominally [0, 1] (not clamped here). `scale` is a power of two."""

    def __init__(self, scale: int = 4, blocks: int = 16, channels: int = 64) -> None:
        super().__init__()
        if scale < 2 or scale & (scale - 1):
            raise ValueError(f"EDSRBicubic scale is {scale}; expected 2, 4 or 8")
        self.scale = scale
        self.conv_in = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU())
        self.resblocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        stages = [(nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1), nn.ReLU()) for _ in range(int(log2(scale)))]
        self.conv_up = nn.Sequential(*(layer for stage in stages for layer in stage))
        self.conv_out = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        detail = self.conv_out(self.conv_up(self.resblocks(self.conv_in(x))))
        return detail + F.interpolate(x, scale_factor=float(self.scale), mode="bicubic", align_corners=False)


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"conv_in.0.weight", "resblocks.0.conv.0.weight", "conv_up.0.weight", "conv_out.weight"} <= set(state)


def from_state_dict(state: Mapping[str, Tensor]) -> EDSRBicubic:
    """Builds the network whose depth, width and scale the tensors show. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "EDSRBicubic")
    if (taken := shapes.size("conv_in.0.weight", 1)) != 3:
        raise shapes.misfit(f"'conv_in.0.weight' takes {taken} channels, expected 3: networks that read the previous frame too are for video")
    with torch.device("meta"):
        network = EDSRBicubic(
            2 ** shapes.count(r"conv_up\.(\d{1,2})\.weight"), shapes.count(r"resblocks\.(\d{1,4})\.conv\.0\.weight"), shapes.size("conv_in.0.weight")
        )
    fit(network, state)
    return network
