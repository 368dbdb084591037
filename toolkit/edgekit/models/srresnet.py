"""SRResNet, the generator of SRGAN (Ledig et al.: Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network, CVPR 2017,
arXiv 1609.04802): batch normalization, PReLU, PixelShuffle, 9x9 convolutions at both ends.

Parameter names are those of Lornatang's SRGAN-PyTorch; the names of its earlier and later releases are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import log2

import torch
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.shapes import Shapes


class ResidualBlock(nn.Module):
    """(N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rcb = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rcb(x)


class UpsampleBlock(nn.Module):
    """(N, C, H, W) -> (N, C, 2 H, 2 W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample_block = nn.Sequential(nn.Conv2d(channels, channels * 4, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.upsample_block(x)


class SRResNet(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3, H*scale, W*scale), nominally [0, 1] (not clamped here). `scale` is a power of two."""

    def __init__(self, scale: int = 4, blocks: int = 16, channels: int = 64) -> None:
        super().__init__()
        if scale < 2 or scale & (scale - 1):
            raise ValueError(f"SRResNet scale is {scale}; expected 2, 4 or 8")
        self.scale = scale
        self.conv1 = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        self.trunk = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.conv2 = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.upsampling = nn.Sequential(*(UpsampleBlock(channels) for _ in range(int(log2(scale)))))
        self.conv3 = nn.Conv2d(channels, 3, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv1(x)
        return self.conv3(self.upsampling(first + self.conv2(self.trunk(first))))


def _one_name(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The earlier release's `conv_block1` -> `conv1`."""
    return {re.sub(r"^conv_block(\d)\.", r"conv\1.", key): value for key, value in state.items()}


def matches(state: Mapping[str, Tensor]) -> bool:
    return "trunk.0.rcb.0.weight" in state and "upsampling.0.upsample_block.0.weight" in state


def from_state_dict(state: Mapping[str, Tensor]) -> SRResNet:
    """Builds the network whose depth, width and scale the tensors show. Raises InvalidCheckpoint."""
    tensors = _one_name(state)
    shapes = Shapes(tensors, "SRResNet")
    with torch.device("meta"):
        network = SRResNet(
            2 ** shapes.count(r"upsampling\.(\d)\.upsample_block\.0\.weight"),
            shapes.count(r"trunk\.(\d{1,4})\.rcb\.0\.weight"),
            shapes.size("conv1.0.weight"),
        )
    fit(network, tensors)
    return network
