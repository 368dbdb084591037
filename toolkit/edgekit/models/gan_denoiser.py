"""A denoiser trained against a discriminator, with the generator of pix2pix (Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial
Networks, CVPR 2017, arXiv 1611.07004): 4x4 convolutions of stride 2, batch normalization, skips. One channel: grey pictures, or the luma of coloured ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec
from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract
from edgekit.models.degrade import luma_of, noisy
from edgekit.models.shapes import Shapes


class GANDenoiser(nn.Module):
    """(N, 1, H, W) float32 luma in [-1, 1] -> the same. H and W are multiples of `multiple_of`, 2 ** `halvings`."""

    scale = 1
    colours = 1

    def __init__(self, channels: int = 64, halvings: int = 3) -> None:
        super().__init__()
        self.multiple_of = 2**halvings
        widths = [min(channels * 2**i, channels * 8) for i in range(halvings)]
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(1 if i == 0 else widths[i - 1], width, 4, stride=2, padding=1, bias=i == 0),
                *([] if i == 0 else [nn.BatchNorm2d(width)]),
                nn.LeakyReLU(0.2),
            )
            for i, width in enumerate(widths)
        )
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(widths[i] * (1 if i == halvings - 1 else 2), widths[i - 1], 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(widths[i - 1]),
                nn.ReLU(),
            )
            for i in reversed(range(1, halvings))
        )
        self.last = nn.Sequential(nn.ConvTranspose2d(widths[0] * (1 if halvings == 1 else 2), 1, 4, stride=2, padding=1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        beside = []
        for down in self.down:
            x = down(x)
            beside.append(x)
        beside.pop()
        for up in self.up:
            x = torch.cat([up(x), beside.pop()], 1)
        return self.last(x)


def contract(network: GANDenoiser) -> Contract:
    """Luma in [-1, 1], in both directions."""
    spec = ImageSpec("image", 1, "luma", mean=(0.5,), std=(0.5,), range=(-1.0, 1.0))
    return Contract(1, luma_of(noisy(5, 25)), inputs=(spec,), outputs=(replace(spec, name="enhanced"),), multiple_of=network.multiple_of)


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"down.0.0.weight", "last.0.weight"} <= state.keys() and state["down.0.0.weight"].shape[-1:] == (4,)


def from_state_dict(state: Mapping[str, Tensor]) -> GANDenoiser:
    """Builds the network whose width and depth the tensors show. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "GANDenoiser")
    with torch.device("meta"):
        network = GANDenoiser(shapes.size("down.0.0.weight"), shapes.count(r"down\.(\d)\.0\.weight"))
    fit(network, state)
    return network
