"""The CycleGAN generator with residual blocks (Zhu, Park, Isola, Efros: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV
2017, arXiv 1703.10593; the layers are those of Johnson et al. 2016): reflection padding, instance normalization, transposed convolutions, tanh.

Instance normalization takes means over the whole picture, so it is never tiled. Parameter names are those of pytorch-CycleGAN-and-pix2pix: `model.N`, numbered
with the layers that have no parameters, and the blocks' `conv_block.N`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec
from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract
from edgekit.models.degrade import unchanged
from edgekit.models.shapes import Shapes


class ResnetBlock(nn.Module):
    """(N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class CycleGAN(nn.Module):
    """(N, 3, H, W) float32 RGB in [-1, 1] -> the same. H and W are multiples of 2 ** `halvings`."""

    scale = 1

    def __init__(self, channels: int = 64, blocks: int = 9, halvings: int = 2) -> None:
        super().__init__()
        self.multiple_of = 2**halvings
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, channels, 7), nn.InstanceNorm2d(channels), nn.ReLU()]
        for width in (channels * 2**i for i in range(halvings)):
            layers += [nn.Conv2d(width, width * 2, 3, stride=2, padding=1), nn.InstanceNorm2d(width * 2), nn.ReLU()]
        layers += [ResnetBlock(channels * 2**halvings) for _ in range(blocks)]
        for width in (channels * 2**i for i in reversed(range(halvings))):
            layers += [
                nn.ConvTranspose2d(width * 2, width, 3, stride=2, padding=1, output_padding=1),
                nn.InstanceNorm2d(width),
                nn.ReLU(),
            ]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(channels, 3, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def contract(network: CycleGAN) -> Contract:
    """Pixels in [-1, 1], in both directions."""
    spec = ImageSpec("image", mean=(0.5,), std=(0.5,), range=(-1.0, 1.0))
    return Contract(1, unchanged, "generate", (spec,), (replace(spec, name="enhanced"),), network.multiple_of, "whole")


def _parameters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the statistics that instance normalization of old releases left in the file and does not use."""
    return {key: value for key, value in state.items() if not re.search(r"(running_mean|running_var|num_batches_tracked)$", key)}


def matches(state: Mapping[str, Tensor]) -> bool:
    return "model.1.weight" in state and any(re.fullmatch(r"model\.\d+\.conv_block\.1\.weight", key) for key in state)


def from_state_dict(state: Mapping[str, Tensor]) -> CycleGAN:
    """Builds the generator whose widths and blocks the tensors show. Raises InvalidCheckpoint; the U-shaped and the batch-normalized generators of the same
    repository are other networks."""
    tensors = _parameters(state)
    shapes = Shapes(tensors, "CycleGAN")
    blocks = shapes.count(r"model\.(\d{1,3})\.conv_block\.1\.weight")
    # Convolutions outside the blocks: both ends, and one on each side per halving.
    halvings = (shapes.count(r"model\.(\d{1,3})\.weight", least=4) - 2) // 2
    with torch.device("meta"):
        network = CycleGAN(shapes.size("model.1.weight"), blocks, halvings)
    fit(network, tensors)
    return network
