"""ESPCN (Shi et al.: Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network, CVPR 2016,
arXiv 1609.05158): super-resolution of the luma alone; the colours are enlarged bicubically by whoever shows the picture.

Parameter names are those of yjn870's ESPCN-pytorch; Lornatang's are read too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.shapes import Shapes


class ESPCN(nn.Module):
    """(N, 1, H, W) float32 luma in [0, 1] -> (N, 1, H*scale, W*scale), nominally [0, 1] (not clamped here). `widths`: the two hidden layers' channels."""

    colours = 1

    def __init__(self, scale: int = 3, widths: tuple[int, int] = (64, 32)) -> None:
        super().__init__()
        self.scale = scale
        self.first_part = nn.Sequential(nn.Conv2d(1, widths[0], 5, padding=2), nn.Tanh(), nn.Conv2d(*widths, 3, padding=1), nn.Tanh())
        self.last_part = nn.Sequential(nn.Conv2d(widths[1], scale * scale, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        return self.last_part(self.first_part(x))


_LORNATANG = [(r"^feature_maps\.", "first_part."), (r"^sub_pixel\.", "last_part.")]


def _yjn870s_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = dict(state)
    for pattern, new in _LORNATANG:
        tensors = {re.sub(pattern, new, key): value for key, value in tensors.items()}
    return tensors


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"first_part.0.weight", "first_part.2.weight", "last_part.0.weight"} <= set(_yjn870s_names(state))


def from_state_dict(state: Mapping[str, Tensor]) -> ESPCN:
    """Builds the network whose widths and scale the tensors show. Raises InvalidCheckpoint."""
    tensors = _yjn870s_names(state)
    shapes = Shapes(tensors, "ESPCN")
    with torch.device("meta"):
        network = ESPCN(shapes.shuffle("last_part.0.weight", 1), (shapes.size("first_part.0.weight"), shapes.size("first_part.2.weight")))
    fit(network, tensors)
    return network
