"""Inpainting with gated convolutions (Yu, Lin, Yang, Shen, Lu, Huang: Free-Form Image Inpainting with Gated Convolution, ICCV 2019, arXiv 1806.03589): a picture
and a mask go in, the picture with the masked part filled comes out. The coarse network alone, without attention and without its discriminator.

What is not masked comes out as it went in, bit for bit in float.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec
from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract
from edgekit.models.degrade import holed
from edgekit.models.shapes import Shapes


class GatedConv(nn.Module):
    """(N, C, H, W) -> (N, gives, H / stride, W / stride): features times a gate that the same input opens."""

    def __init__(self, takes: int, gives: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.gives = gives
        self.conv = nn.Conv2d(takes, 2 * gives, kernel, stride, dilation * (kernel // 2), dilation)

    def forward(self, x: Tensor) -> Tensor:
        features, gate = self.conv(x).split(self.gives, 1)
        return F.elu(features) * torch.sigmoid(gate)


class Inpainting(nn.Module):
    """((N, 3, H, W) RGB, (N, 1, H, W) mask: 1 where the picture is to be filled), float32 in [0, 1] -> (N, 3, H, W). H and W are multiples of 4."""

    scale = 1
    multiple_of = 4

    def __init__(self, channels: int = 32, dilations: tuple[int, ...] = (2, 4)) -> None:
        super().__init__()
        one, two, four = channels, 2 * channels, 4 * channels
        self.down = nn.Sequential(GatedConv(4, one, 5), GatedConv(one, two, 3, 2), GatedConv(two, two), GatedConv(two, four, 3, 2))
        self.middle = nn.Sequential(*(GatedConv(four, four, dilation=d) for d in (1, *dilations)))
        self.up = nn.ModuleList([GatedConv(four, two), GatedConv(two, one)])
        self.last = nn.Conv2d(one, 3, 3, padding=1)

    def forward(self, picture: Tensor, mask: Tensor) -> Tensor:
        known = picture * (1 - mask)
        x = self.middle(self.down(torch.cat([known, mask], 1)))
        for conv in self.up:
            x = conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return known + torch.sigmoid(self.last(x)) * mask


def contract(network: Inpainting) -> Contract:
    return Contract(1, holed(), inputs=(ImageSpec("image"), ImageSpec("mask", 1, "mask")), multiple_of=network.multiple_of)


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"down.0.conv.weight", "middle.0.conv.weight", "up.1.conv.weight", "last.weight"} <= state.keys()


def from_state_dict(state: Mapping[str, Tensor]) -> Inpainting:
    """Builds the network whose width the tensors show; its dilations, which no tensor shows, are 2, 4, 8 ... as the paper has them. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "Inpainting")
    dilated = shapes.count(r"middle\.(\d{1,2})\.conv\.weight") - 1
    with torch.device("meta"):
        network = Inpainting(shapes.size("last.weight", 1), tuple(2 ** (i + 1) for i in range(dilated)))
    fit(network, state)
    return network
