"""A network that predicts how to adjust a picture, not the picture: gain, gamma and saturation (after Hu et al.: Exposure, ACM TOG 2018, arXiv 1709.09602, and
Bianco et al. 2019). It sees the whole picture, made small; whoever runs it applies the three numbers to the picture at full size."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec
from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract
from edgekit.models.degrade import darkened
from edgekit.models.shapes import Shapes

RANGES = ((0.25, 4.0), (0.25, 4.0), (0.0, 2.0))
"""Lowest and highest gain, gamma and saturation. The network's 0 to 1 spans the logarithm of the first two and the third evenly; a half changes nothing."""


class Adjust(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3) in [0, 1]: positions of gain, gamma and saturation within RANGES. H and W are multiples of 16."""

    scale = 1
    multiple_of = 16

    def __init__(self, widths: tuple[int, ...] = (16, 24, 32, 48)) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(takes, gives, 3, stride=2, padding=1), nn.BatchNorm2d(gives), nn.ReLU())
                for takes, gives in pairwise((3, *widths))
            )
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], len(RANGES))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(self.pool(self.features(x)).flatten(1)))


def settings(positions: Tensor) -> Tensor:
    """(N, 3) in [0, 1] as the network gives them -> (N, 3) gain, gamma, saturation."""
    low, high = torch.tensor(RANGES).T
    even = low + (high - low) * positions
    geometric = low.clamp(min=1e-6) * (high / low.clamp(min=1e-6)) ** positions
    return torch.cat([geometric[:, :2], even[:, 2:]], 1)


def apply(picture: Tensor, settings: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in [0, 1] adjusted by (N, 3) gain, gamma and saturation: `(gain * x) ** gamma`, then away from or towards its grey, clamped to [0, 1]."""
    gain, gamma, saturation = (settings[:, i, None, None, None] for i in range(3))
    bright = (gain * picture).clamp(1e-6, 1) ** gamma
    grey = bright.mean(1, keepdim=True)
    return (grey + saturation * (bright - grey)).clamp(0, 1)


def contract(network: Adjust) -> Contract:
    """Three numbers come out, which no picture shows: files are compared by the numbers."""
    return Contract(1, darkened(), outputs=(ImageSpec("settings", len(RANGES), "scalar"),), multiple_of=network.multiple_of, tiling="whole")


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"features.0.0.weight", "head.weight"} <= state.keys() and tuple(state["head.weight"].shape[:1]) == (len(RANGES),)


def from_state_dict(state: Mapping[str, Tensor]) -> Adjust:
    """Builds the network whose widths the tensors show. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "Adjust")
    count = shapes.count(r"features\.(\d)\.0\.weight", least=4)
    with torch.device("meta"):
        network = Adjust(tuple(shapes.size(f"features.{i}.0.weight") for i in range(count)))
    fit(network, state)
    return network
