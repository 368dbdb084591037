"""Fusion of an infrared picture and a visible one (after DenseFuse: Li, Wu, IEEE TIP 2019, arXiv 1804.08361, and IFCNN: Zhang et al., Information Fusion 2020):
an encoder for each, a gate that chooses between them at every pixel and channel, one decoder. Two inputs; the infrared one conditions the colours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec
from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract
from edgekit.models.degrade import paired
from edgekit.models.shapes import Shapes


def encoder(takes: int, channels: int) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU."""
    return nn.Sequential(nn.Conv2d(takes, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())


class Fusion(nn.Module):
    """((N, 1, H, W) infrared, (N, `colours`, H, W) visible), float32 in [0, 1] -> (N, 3, H, W) RGB, nominally [0, 1] (not clamped here)."""

    scale = 1

    def __init__(self, channels: int = 32, colours: int = 3) -> None:
        super().__init__()
        self.colours = colours
        self.infrared, self.visible = encoder(1, channels), encoder(colours, channels)
        self.gate = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.decoder = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 3, 3, padding=1))

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        one, two = self.infrared(infrared), self.visible(visible)
        share = torch.sigmoid(self.gate(torch.cat([one, two], 1)))
        shown = visible if self.colours == 3 else visible.expand(-1, 3, -1, -1)
        return shown + self.decoder(two + share * (one - two))


def contract(network: Fusion) -> Contract:
    visible = ImageSpec("visible") if network.colours == 3 else ImageSpec("visible", 1, "luma")
    return Contract(1, paired(network.colours), inputs=(ImageSpec("infrared", 1, "grey"), visible))


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"infrared.0.weight", "visible.0.weight", "gate.weight", "decoder.2.weight"} <= state.keys()


def from_state_dict(state: Mapping[str, Tensor]) -> Fusion:
    """Builds the network whose width and colours the tensors show. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "Fusion")
    colours = shapes.size("visible.0.weight", 1)
    if colours not in (1, 3):
        raise shapes.misfit(f"'visible.0.weight' takes {colours} channels, expected 1 or 3")
    with torch.device("meta"):
        network = Fusion(shapes.size("gate.weight"), colours)
    fit(network, state)
    return network
