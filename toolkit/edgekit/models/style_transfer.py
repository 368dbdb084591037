"""Fast style transfer (Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer and Super-Resolution, ECCV 2016, arXiv 1603.08155) with the
resize-convolution of Odena et al. 2016 in place of transposed ones: reflection padding, instance normalization, nearest enlargement, pixels from 0 to 255.

Instance normalization takes means over the whole picture, so it is never tiled. Parameter names are those of PyTorch's examples (fast_neural_style).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec
from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract
from edgekit.models.degrade import unchanged
from edgekit.models.shapes import Shapes


class ConvLayer(nn.Module):
    """(N, C, H, W) -> (N, C', H / stride, W / stride), mirrored at the edges; with `upsample` enlarged to its nearest neighbours before."""

    def __init__(self, takes: int, gives: int, kernel: int, stride: int = 1, *, upsample: int = 1) -> None:
        super().__init__()
        self.upsample = upsample
        self.reflection_pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(takes, gives, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        if self.upsample > 1:
            x = F.interpolate(x, scale_factor=float(self.upsample), mode="nearest")
        return self.conv2d(self.reflection_pad(x))


class ResidualBlock(nn.Module):
    """(N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.in1 = ConvLayer(channels, channels, 3), nn.InstanceNorm2d(channels, affine=True)
        self.conv2, self.in2 = ConvLayer(channels, channels, 3), nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.in2(self.conv2(F.relu(self.in1(self.conv1(x)))))


class StyleTransfer(nn.Module):
    """(N, 3, H, W) float32 RGB from 0 to 255 -> the same, not clamped. H and W are multiples of 4."""

    scale = 1
    multiple_of = 4

    def __init__(self, channels: int = 32, blocks: int = 5) -> None:
        super().__init__()
        one, two, four = channels, channels * 2, channels * 4
        self.conv1, self.in1 = ConvLayer(3, one, 9), nn.InstanceNorm2d(one, affine=True)
        self.conv2, self.in2 = ConvLayer(one, two, 3, 2), nn.InstanceNorm2d(two, affine=True)
        self.conv3, self.in3 = ConvLayer(two, four, 3, 2), nn.InstanceNorm2d(four, affine=True)
        self.blocks = blocks
        for number in range(1, blocks + 1):
            self.add_module(f"res{number}", ResidualBlock(four))
        self.deconv1, self.in4 = ConvLayer(four, two, 3, upsample=2), nn.InstanceNorm2d(two, affine=True)
        self.deconv2, self.in5 = ConvLayer(two, one, 3, upsample=2), nn.InstanceNorm2d(one, affine=True)
        self.deconv3 = ConvLayer(one, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.in1(self.conv1(x)))
        x = F.relu(self.in2(self.conv2(x)))
        x = F.relu(self.in3(self.conv3(x)))
        for number in range(1, self.blocks + 1):
            x = self.get_submodule(f"res{number}")(x)
        x = F.relu(self.in4(self.deconv1(x)))
        x = F.relu(self.in5(self.deconv2(x)))
        return self.deconv3(x)


def contract(network: StyleTransfer) -> Contract:
    """Pixels from 0 to 255, in both directions."""
    spec = ImageSpec("image", std=(1 / 255,), range=(0.0, 255.0))
    return Contract(1, unchanged, "generate", (spec,), (replace(spec, name="enhanced"),), network.multiple_of, "whole")


def _parameters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the statistics that old releases of torch saved with instance normalization and that are not used."""
    return {key: value for key, value in state.items() if not re.search(r"in\d\.(running_mean|running_var|num_batches_tracked)$", key)}


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"conv1.conv2d.weight", "in1.weight", "res1.conv1.conv2d.weight", "deconv3.conv2d.weight"} <= state.keys()


def from_state_dict(state: Mapping[str, Tensor]) -> StyleTransfer:
    """Builds the network whose width and blocks the tensors show. Raises InvalidCheckpoint."""
    tensors = _parameters(state)
    shapes = Shapes(tensors, "StyleTransfer")
    with torch.device("meta"):
        network = StyleTransfer(shapes.size("conv1.conv2d.weight"), shapes.count(r"res(\d{1,2})\.conv1\.conv2d\.weight"))
    fit(network, tensors)
    return network
