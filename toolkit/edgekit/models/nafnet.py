"""NAFNet (Chen, Chu, Zhang, Sun: Simple Baselines for Image Restoration, ECCV 2022, arXiv 2204.04676): a U-shaped network without activations.

Its channel attention averages over the whole picture. Parameter names are the authors'; their LayerNorm2d, an autograd.Function, is written as a formula.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.shapes import Shapes


class LayerNorm2d(nn.Module):
    """Normalizes each pixel over its channels. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels)), eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        normal = centred / ((centred * centred).mean(1, keepdim=True) + self.eps).sqrt()
        return self.weight.view(1, -1, 1, 1) * normal + self.bias.view(1, -1, 1, 1)


def gate(x: Tensor) -> Tensor:
    """One half of the channels times the other."""
    a, b = x.chunk(2, 1)
    return a * b


class NAFBlock(nn.Module):
    """(N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.conv4 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.norm1, self.norm2 = LayerNorm2d(channels), LayerNorm2d(channels)
        self.beta, self.gamma = (nn.Parameter(torch.zeros(1, channels, 1, 1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = gate(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.conv3(y * self.sca(y)) * self.beta
        return x + self.conv5(gate(self.conv4(self.norm2(x)))) * self.gamma


def stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(channels) for _ in range(blocks)))


class NAFNet(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3, H, W), nominally [0, 1] (not clamped here). H and W are multiples of `multiple_of`.

    `encoders` and `decoders` are the numbers of blocks at full size, half, quarter ... and back; `width` doubles with each step down.
    """

    scale = 1

    def __init__(self, width: int = 32, middle: int = 12, encoders: Sequence[int] = (2, 2, 4, 8), decoders: Sequence[int] = (2, 2, 2, 2)) -> None:
        super().__init__()
        if len(encoders) != len(decoders):
            raise ValueError(f"NAFNet has {len(encoders)} encoders and {len(decoders)} decoders; expected as many")
        widths = [width * 2**level for level in range(len(encoders) + 1)]
        self.multiple_of = 2 ** len(encoders)
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.encoders = nn.ModuleList(stage(channels, blocks) for channels, blocks in zip(widths, encoders, strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(channels, 2 * channels, 2, stride=2) for channels in widths[:-1])
        self.middle_blks = stage(widths[-1], middle)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, 2 * channels, 1, bias=False), nn.PixelShuffle(2)) for channels in reversed(widths[1:])
        )
        self.decoders = nn.ModuleList(stage(channels, blocks) for channels, blocks in zip(reversed(widths[:-1]), decoders, strict=True))
        self.ending = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y, skips = self.intro(x), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            y = encoder(y)
            skips.append(y)
            y = down(y)
        y = self.middle_blks(y)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            y = decoder(up(y) + skips.pop())
        return x + self.ending(y)


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"intro.weight", "ending.weight", "encoders.0.0.sca.1.weight", "encoders.0.0.beta"} <= set(state)


def from_state_dict(state: Mapping[str, Tensor]) -> NAFNet:
    """Builds the network whose depths and width the tensors show. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "NAFNet")
    levels = shapes.count(r"downs\.(\d)\.weight")
    encoders, decoders = (
        [shapes.count(rf"{name}\.{level}\.(\d{{1,4}})\.conv1\.weight", least=0) for level in range(levels)] for name in ("encoders", "decoders")
    )
    with torch.device("meta"):
        network = NAFNet(shapes.size("intro.weight"), shapes.count(r"middle_blks\.(\d{1,4})\.conv1\.weight", least=0), encoders, decoders)
    fit(network, state)
    return network
