"""SPAN (Wan, Yu et al.: Swift Parameter-free Attention Network for Efficient Super-Resolution, CVPRW 2024, arXiv 2311.12770).

Each 3x3 convolution trains as three in a row beside a 1x1 one; in eval mode `forward` merges them first, as the authors' does. Theirs writes the result into
`eval_conv`, which torch.export cannot trace; here it is computed and used. Parameter names are the authors'.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec
from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract
from edgekit.models.degrade import downscale
from edgekit.models.edsr import DIV2K_MEAN
from edgekit.models.shapes import Shapes

BLOCKS = 6


class Conv3XC(nn.Module):
    """A 3x3 convolution, (N, I, H, W) -> (N, O, H, W)."""

    def __init__(self, inputs: int, outputs: int, gain: int = 2) -> None:
        super().__init__()
        self.sk = nn.Conv2d(inputs, outputs, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inputs * gain, 1), nn.Conv2d(inputs * gain, outputs * gain, 3), nn.Conv2d(outputs * gain, outputs, 1)
        )

    def merged(self) -> tuple[Tensor, Tensor]:
        """(weight (O, I, 3, 3), bias (O,)) of the one convolution with the same function."""
        (w1, b1), (w2, b2), (w3, b3) = (_parameters(layer) for layer in self.conv.children())
        beside, offset = _parameters(self.sk)
        first = torch.einsum("mihw,nmyx->niyx", w1, w2)
        weight = torch.einsum("niyx,onhw->oiyx", first, w3) + F.pad(beside, (1, 1, 1, 1))
        return weight, w3[:, :, 0, 0] @ (w2.sum((2, 3)) @ b1 + b2) + b3 + offset

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.conv(F.pad(x, (1, 1, 1, 1))) + self.sk(x)
        return F.conv2d(x, *self.merged(), padding=1)


def _parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution."""
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    return layer.weight, layer.bias


class SPAB(nn.Module):
    """Swift parameter-free attention: the block's result weighs itself. -> (result, the activated first layer)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (Conv3XC(channels, channels) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = F.silu(self.c1_r(x))
        last = self.c3_r(F.silu(self.c2_r(first)))
        return (last + x) * (torch.sigmoid(last) - 0.5), first


class SPAN(nn.Module):
    """(N, 3, H, W) float32, as `contract` says -> (N, 3, H*scale, W*scale), RGB, nominally [0, 1] (not clamped here).

    `shifted`: trained on (RGB - DIV2K's mean) * 255, as the authors' files; else on RGB in [0, 1], which files say with a tensor `no_norm`.
    """

    no_norm: Tensor

    def __init__(self, scale: int = 4, channels: int = 48, *, shifted: bool = True) -> None:
        super().__init__()
        self.scale, self.shifted = scale, shifted
        if not shifted:
            self.register_buffer("no_norm", torch.zeros(1))
        self.conv_1 = Conv3XC(3, channels)
        for i in range(1, BLOCKS + 1):
            self.add_module(f"block_{i}", SPAB(channels))
        self.conv_cat = nn.Conv2d(channels * 4, channels, 1)
        self.conv_2 = Conv3XC(channels, channels)
        self.upsampler = nn.Sequential(nn.Conv2d(channels, 3 * scale * scale, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv_1(x)
        y, results, inner = first, [], first
        for i in range(1, BLOCKS + 1):
            y, inner = self.get_submodule(f"block_{i}")(y)
            results.append(y)
        return self.upsampler(self.conv_cat(torch.cat([first, self.conv_2(y), results[0], inner], 1)))


def contract(network: nn.Module) -> Contract:
    """`network` is a SPAN."""
    assert isinstance(network, SPAN)
    low, high = 255 * (0 - max(DIV2K_MEAN)), 255 * (1 - min(DIV2K_MEAN))
    shifted = ImageSpec("image", mean=DIV2K_MEAN, std=(1 / 255,), range=(low, high))
    return Contract(network.scale, downscale(network.scale), inputs=(shifted if network.shifted else ImageSpec("image"),))


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"conv_1.sk.weight", "block_1.c1_r.sk.weight", "conv_cat.weight"} <= set(state)


def from_state_dict(state: Mapping[str, Tensor]) -> SPAN:
    """Builds the network whose width and scale the tensors show. Raises InvalidCheckpoint.

    The `eval_conv` in the authors' files is what they last merged; it is made anew from the others.
    """
    tensors = {key: value for key, value in state.items() if ".eval_conv." not in key}
    shapes = Shapes(tensors, "SPAN")
    with torch.device("meta"):
        network = SPAN(shapes.shuffle("upsampler.0.weight", 3), shapes.size("conv_1.sk.weight"), shifted="no_norm" not in state)
    fit(network, tensors)
    return network
