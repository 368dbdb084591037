"""RRDBNet, the generator of ESRGAN (Wang et al. 2018, arXiv 1809.00219) and Real-ESRGAN (Wang et al. 2021, arXiv 2107.10833).

Parameter names are BasicSR's; the two older ones of the ESRGAN repository are read too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.shapes import Shapes

SLOPE = 0.2


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees all before it; a fifth of the result is added to the input. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for i in range(1, 6):
            self.add_module(f"conv{i}", nn.Conv2d(channels + (i - 1) * growth, growth if i < 5 else channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        first, *inner, last = self.children()
        features = [x, F.leaky_relu(first(x), SLOPE)]
        for conv in inner:
            features.append(F.leaky_relu(conv(torch.cat(features, 1)), SLOPE))
        return x + last(torch.cat(features, 1)) * 0.2


class RRDB(nn.Module):
    """Residual in residual: three dense blocks. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(channels, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rdb3(self.rdb2(self.rdb1(x))) * 0.2


class RRDBNet(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3, H*scale, W*scale), nominally [0, 1] (not clamped here). H and W are multiples of `multiple_of`.

    `doublings` nearest enlargements by 2 follow the body; where they give more than `scale`, the picture is folded into channels first (BasicSR's x2, x1).
    """

    def __init__(self, scale: int = 4, blocks: int = 23, channels: int = 64, growth: int = 32, doublings: int = 2) -> None:
        super().__init__()
        if scale < 1 or 2**doublings % scale:
            raise ValueError(f"RRDBNet scale is {scale} with {doublings} doublings; expected a divisor of {2**doublings}")
        self.scale, self.multiple_of, self.doublings = scale, 2**doublings // scale, doublings
        self.conv_first = nn.Conv2d(3 * self.multiple_of**2, channels, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(channels, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(channels, channels, 3, padding=1)
        for i in range(doublings):
            self.add_module(f"conv_up{i + 1}", nn.Conv2d(channels, channels, 3, padding=1))
        self.conv_hr = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.multiple_of > 1:
            x = F.pixel_unshuffle(x, self.multiple_of)
        y = self.conv_first(x)
        y = y + self.conv_body(self.body(y))
        for i in range(self.doublings):
            y = F.leaky_relu(self.get_submodule(f"conv_up{i + 1}")(F.interpolate(y, scale_factor=2.0, mode="nearest")), SLOPE)
        return self.conv_last(F.leaky_relu(self.conv_hr(y), SLOPE))


_LATER_ESRGAN = [
    (r"RRDB_trunk\.(\d+)\.RDB(\d)\.", r"body.\1.rdb\2."),
    (r"trunk_conv\.", "conv_body."),
    (r"upconv(\d)\.", r"conv_up\1."),
    (r"HRconv\.", "conv_hr."),
]


def _first_esrgan(state: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """How the ESRGAN repository first numbered its layers; past the body stand the doublings, the last but one and the last convolution."""
    behind = sorted({int(m[1]) for key in state if (m := re.fullmatch(r"model\.(\d{1,3})\.weight", key))} - {0})
    names = [*(f"conv_up{i + 1}" for i in range(len(behind) - 2)), "conv_hr", "conv_last"]
    return [
        (r"model\.0\.", "conv_first."),
        (r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
        (r"model\.1\.sub\.\d+\.(?=weight|bias)", "conv_body."),
        *((rf"model\.{number}\.", f"{name}.") for number, name in zip(behind, names, strict=False)),
    ]


def _basicsr_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    rules = _first_esrgan(state) if "model.0.weight" in state else _LATER_ESRGAN
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        rule = next(((pattern, new) for pattern, new in rules if re.match(pattern, key)), None)
        out[re.sub(f"^{rule[0]}", rule[1], key) if rule else key] = value
    return out


def matches(state: Mapping[str, Tensor]) -> bool:
    return any(key in state for key in ("body.0.rdb1.conv1.weight", "RRDB_trunk.0.RDB1.conv1.weight", "model.1.sub.0.RDB1.conv1.0.weight"))


def from_state_dict(state: Mapping[str, Tensor]) -> RRDBNet:
    """Builds the network whose depth, widths and scale the tensors show. Raises InvalidCheckpoint."""
    tensors = _basicsr_names(state)
    shapes = Shapes(tensors, "RRDBNet")
    doublings = shapes.count(r"conv_up(\d)\.weight", least=0)
    taken = shapes.size("conv_first.weight", 1)
    folded = isqrt(taken // 3)
    if 3 * folded**2 != taken or folded < 1 or 2**doublings % folded:
        raise shapes.misfit(f"'conv_first.weight' takes {taken} channels, expected 3, or 12 or 48 where the picture is folded first")
    with torch.device("meta"):
        network = RRDBNet(
            2**doublings // folded,
            shapes.count(r"body\.(\d{1,4})\.rdb1\.conv1\.weight"),
            shapes.size("conv_first.weight"),
            shapes.size("body.0.rdb1.conv1.weight"),
            doublings,
        )
    fit(network, tensors)
    return network
