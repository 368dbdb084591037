"""A network that predicts how to adjust a picture, not the picture: gain, gamma and saturation (after Hu et al.: Exposure, ACM TOG 2018, arXiv 1709.09602).

It sees the whole picture, made small; whoever runs it applies the three numbers to the picture at full size (`edgekit.adjustment`)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from edgekit.enhancer import Adjustment, ImageSpec
from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract
from edgekit.models.degrade import darkened
from edgekit.models.shapes import Shapes

APPLY = Adjustment("gain-gamma-saturation", "settings", ranges=((0.25, 4.0), (0.25, 4.0), (0.0, 2.0)))
"""A half of each changes nothing."""


class Adjust(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3) in [0, 1]: positions of gain, gamma and saturation within APPLY's ranges. H and W are multiples of 16."""

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
        self.head = nn.Linear(widths[-1], len(APPLY.ranges))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(self.pool(self.features(x)).flatten(1)))


def contract(network: Adjust) -> Contract:
    """Three numbers come out, which no picture shows: files are compared by the numbers."""
    return Contract(
        1, darkened(), outputs=(ImageSpec(APPLY.output, len(APPLY.ranges), "scalar"),), multiple_of=network.multiple_of, tiling="whole", apply=APPLY
    )


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"features.0.0.weight", "head.weight"} <= state.keys() and tuple(state["head.weight"].shape[:1]) == (len(APPLY.ranges),)


def from_state_dict(state: Mapping[str, Tensor]) -> Adjust:
    """Builds the network whose widths the tensors show. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "Adjust")
    count = shapes.count(r"features\.(\d)\.0\.weight", least=4)
    with torch.device("meta"):
        network = Adjust(tuple(shapes.size(f"features.{i}.0.weight") for i in range(count)))
    fit(network, state)
    return network
