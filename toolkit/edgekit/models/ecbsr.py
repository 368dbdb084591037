"""ECBSR (Zhang, Zeng, Zhang: Edge-oriented Convolution Block for Real-time Super Resolution on Mobile Devices, ACM MM 2021).

Each 3x3 convolution trains as five branches; in eval mode `forward` merges their parameters, anew at each call, and runs one convolution. Parameter names
are BasicSR's.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.shapes import Shapes

EDGES = {
    "sbx": ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0)),
    "sby": ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0)),
    "lpl": ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0)),
}
"""The fixed filters: Sobel along x and y, Laplace."""


class Expanded(nn.Module):
    """A 1x1 convolution to `middle` channels, its result padded with its own bias, then a 3x3 one."""

    def __init__(self, inputs: int, outputs: int, middle: int) -> None:
        super().__init__()
        first, second = nn.Conv2d(inputs, middle, 1), nn.Conv2d(middle, outputs, 3)
        self.k0, self.b0, self.k1, self.b1 = first.weight, first.bias, second.weight, second.bias

    def merged(self) -> tuple[Tensor, Tensor]:
        """(weight (O, I, 3, 3), bias (O,)) of the one convolution with the same function."""
        assert self.b0 is not None and self.b1 is not None
        return F.conv2d(self.k1, self.k0.permute(1, 0, 2, 3)), self.k1.sum((2, 3)) @ self.b0 + self.b1


class Edge(nn.Module):
    """A 1x1 convolution, its result padded with its own bias, then in each channel a fixed filter times a learned factor."""

    def __init__(self, inputs: int, outputs: int, edge: tuple[tuple[float, ...], ...]) -> None:
        super().__init__()
        first = nn.Conv2d(inputs, outputs, 1)
        self.k0, self.b0 = first.weight, first.bias
        self.scale = nn.Parameter(torch.randn(outputs, 1, 1, 1) * 1e-3)
        self.bias = nn.Parameter(torch.randn(outputs) * 1e-3)
        self.mask = nn.Parameter(torch.tensor(edge).repeat(outputs, 1, 1, 1), requires_grad=False)

    def merged(self) -> tuple[Tensor, Tensor]:
        assert self.b0 is not None
        filters = self.scale * self.mask
        return filters * self.k0, filters.sum((1, 2, 3)) * self.b0 + self.bias


class ECB(nn.Module):
    """(N, I, H, W) -> (N, O, H, W)."""

    def __init__(self, inputs: int, outputs: int, *, middle: int, activate: bool) -> None:
        super().__init__()
        self.conv3x3 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv1x1_3x3 = Expanded(inputs, outputs, middle)
        for name, edge in EDGES.items():
            self.add_module(f"conv1x1_{name}", Edge(inputs, outputs, edge))
        self.act = nn.PReLU(outputs) if activate else nn.Identity()

    def merged(self) -> tuple[Tensor, Tensor]:
        """(weight (O, I, 3, 3), bias (O,)) of the one convolution with the same function."""
        weight, bias = self.conv3x3.weight, self.conv3x3.bias
        assert bias is not None
        for branch in (self.conv1x1_3x3, *(self.get_submodule(f"conv1x1_{name}") for name in EDGES)):
            more, offset = branch.merged()  # pyright: ignore[reportCallIssue]
            weight, bias = weight + more, bias + offset
        return weight, bias

    def forward(self, x: Tensor) -> Tensor:
        return self.act(F.conv2d(x, *self.merged(), padding=1))


class ECBSR(nn.Module):
    """(N, C, H, W) float32 in [0, 1], RGB or (with `colours` 1, as in the paper) luma -> (N, C, H*scale, W*scale), nominally [0, 1] (not clamped here)."""

    def __init__(self, scale: int = 2, blocks: int = 4, channels: int = 16, colours: int = 1, expansion: int = 2) -> None:
        super().__init__()
        self.scale, self.colours = scale, colours
        widths = [colours, *[channels] * (blocks + 1), colours * scale * scale]
        self.backbone = nn.Sequential(*(ECB(i, o, middle=expansion * o, activate=number <= blocks) for number, (i, o) in enumerate(pairwise(widths))))
        self.upsampler = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.upsampler(self.backbone(x)) + F.interpolate(x, scale_factor=float(self.scale), mode="nearest")


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"backbone.0.conv3x3.weight", "backbone.0.conv1x1_sbx.mask"} <= set(state)


def from_state_dict(state: Mapping[str, Tensor]) -> ECBSR:
    """Builds the network whose depth, widths and scale the tensors show. Raises InvalidCheckpoint.

    Whether the blocks add their input (BasicSR's `with_idt`, off in the published settings) is not stored: they do not.
    """
    shapes = Shapes(state, "ECBSR")
    last = shapes.count(r"backbone\.(\d{1,4})\.conv3x3\.weight", least=2) - 1
    colours = shapes.size("backbone.0.conv3x3.weight", 1)
    if colours not in (1, 3):
        raise shapes.misfit(f"'backbone.0.conv3x3.weight' takes {colours} channels, expected 1 or 3")
    with torch.device("meta"):
        network = ECBSR(
            shapes.shuffle(f"backbone.{last}.conv3x3.weight", colours),
            last - 1,
            shapes.size("backbone.0.conv3x3.weight"),
            colours,
            shapes.size("backbone.0.conv1x1_3x3.k0") // shapes.size("backbone.0.conv3x3.weight"),
        )
    fit(network, state)
    return network
