"""EDSR (Lim, Son, Kim, Nah, Lee: Enhanced Deep Residual Networks for Single Image Super-Resolution, CVPRW 2017, arXiv 1707.02921).

Parameter names are the authors' (EDSR-PyTorch), so that files are interchangeable with theirs; `from_state_dict` also reads BasicSR's and torchsr's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import log2

import torch
from torch import Tensor, nn

from edgekit.errors import InvalidCheckpoint
from edgekit.models.checkpoint import fit

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of DIV2K in [0, 1], which the authors subtract before the first convolution."""


class ResidualBlock(nn.Module):
    """conv -> ReLU -> conv, scaled and added to the input. (N, C, H, W) -> (N, C, H, W). `inner` may differ from `channels` (pruned networks)."""

    def __init__(self, channels: int, inner: int, residual_scale: float) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, inner, 3, padding=1), nn.ReLU(), nn.Conv2d(inner, channels, 3, padding=1))
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.residual_scale != 1.0:
            y = y * self.residual_scale
        return x + y


def upsampler(scale: int, channels: int, widths: tuple[int, ...] | None = None) -> nn.Sequential:
    """Convolution + PixelShuffle; x4 is two x2 stages, as in the paper. `widths`: channels behind each shuffle (None: `channels`)."""
    layers: list[nn.Module] = []
    stages = [2] * int(log2(scale)) if scale & (scale - 1) == 0 else [scale]
    for stage, width in zip(stages, widths or (channels,) * len(stages), strict=True):
        layers += [nn.Conv2d(channels, width * stage * stage, 3, padding=1), nn.PixelShuffle(stage)]
        channels = width
    return nn.Sequential(*layers)


class EDSR(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3, H*scale, W*scale), nominally [0, 1] (not clamped here).

    The baseline is 16 blocks of 64 channels; the full network is 32 blocks of 256 channels with residual_scale 0.1.
    `image_range` is the range the weights were trained in (255 for the authors' files); `mean` the colour shift in [0, 1].
    `inner` gives each block's hidden width and `tail` the channels behind each shuffle; None means `channels` everywhere.
    """

    mean: Tensor

    def __init__(
        self,
        scale: int = 2,
        blocks: int = 16,
        channels: int = 64,
        residual_scale: float = 1.0,
        image_range: float = 1.0,
        mean: tuple[float, float, float] = DIV2K_MEAN,
        inner: tuple[int, ...] | None = None,
        tail: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise ValueError(f"EDSR scale is {scale}; expected 2, 3 or 4")
        widths = inner if inner is not None else (channels,) * blocks
        self.scale, self.image_range = scale, image_range
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.head = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1))
        self.body = nn.Sequential(*(ResidualBlock(channels, width, residual_scale) for width in widths), nn.Conv2d(channels, channels, 3, padding=1))
        self.tail = nn.Sequential(upsampler(scale, channels, tail), nn.Conv2d(tail[-1] if tail else channels, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        x = x - self.mean
        if self.image_range != 1.0:
            x = x * self.image_range
        x = self.head(x)
        x = self.tail(x + self.body(x))
        if self.image_range != 1.0:
            x = x / self.image_range
        return x + self.mean


_BASICSR = [
    (r"conv_first\.(weight|bias)", r"head.0.\1"),
    (r"body\.(\d+)\.conv1\.(weight|bias)", r"body.\1.body.0.\2"),
    (r"body\.(\d+)\.conv2\.(weight|bias)", r"body.\1.body.2.\2"),
    (r"conv_after_body\.(weight|bias)", r"body.END.\1"),
    (r"upsample\.(\d+)\.(weight|bias)", r"tail.0.\1.\2"),
    (r"conv_last\.(weight|bias)", r"tail.1.\1"),
]


def _authors_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """BasicSR's names -> the authors' names; anything else is left as it is."""
    blocks = 1 + max((int(m[1]) for k in state if (m := re.match(r"body\.(\d+)\.conv1\.", k))), default=-1)
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        for pattern, new in _BASICSR:
            if re.fullmatch(pattern, key):
                key = re.sub(pattern, new, key).replace("END", str(blocks))
                break
        out[key] = value
    return out


def matches(state: Mapping[str, Tensor]) -> bool:
    """Whether the state dict's names are an EDSR's (authors', torchsr's or BasicSR's)."""
    return ("head.0.weight" in state and "tail.1.weight" in state and "body.0.body.0.weight" in state) or (
        "conv_first.weight" in state and "body.0.conv1.weight" in state and "conv_after_body.weight" in state and "upsample.0.weight" in state
    )


def from_state_dict(state: Mapping[str, Tensor]) -> EDSR:
    """Builds the network whose widths, depth and scale the float32 tensors show; they become its parameters.

    Files of the authors, of torchsr (both carry `sub_mean`, which tells range and mean) and of BasicSR (range 255) are read;
    a file of ours without `sub_mean` has range 1. The residual scale is not stored in any of them: 0.1 from 128 channels on, else 1,
    as published. Raises InvalidCheckpoint that names the first three tensors that do not fit.
    """
    tensors = _authors_names(state)
    image_range, mean = (255.0 if "conv_first.weight" in state else 1.0), DIV2K_MEAN
    if "sub_mean.bias" in tensors:
        image_range, mean = _shift(tensors)
    ours = {key: value for key, value in tensors.items() if not key.startswith(("sub_mean.", "add_mean."))}
    channels = _width(ours, "head.0.weight")
    indices = sorted(int(m[1]) for key in ours if (m := re.fullmatch(r"body\.(\d{1,4})\.body\.0\.weight", key)))
    inner = tuple(_width(ours, f"body.{i}.body.0.weight") for i in indices)
    stages = sum(bool(re.fullmatch(r"tail\.0\.\d+\.weight", key)) for key in ours)
    readers = [f"tail.0.{2 * i}.weight" for i in range(1, stages)] + ["tail.1.weight"]
    tail = tuple(_width(ours, key, 1) for key in readers)
    factor = _width(ours, "tail.0.0.weight") / tail[0]
    scale = {(1, 4.0): 2, (1, 9.0): 3, (2, 4.0): 4}.get((stages, factor))
    if scale is None:
        raise InvalidCheckpoint(
            f"the upsampler has {stages} stages of {factor:g} x the channels; expected one of 4 (x2), one of 9 (x3) or two of 4 (x4)"
        )
    with torch.device("meta"):  # sizes are what the tensors claim: nothing is allocated before they fit
        net = EDSR(scale, len(inner), channels, 0.1 if channels >= 128 else 1.0, image_range, inner=inner, tail=tail)
    fit(net, ours)
    net.mean = torch.tensor(mean).view(1, 3, 1, 1)
    return net


def to_state_dict(net: EDSR) -> dict[str, Tensor]:
    """The parameters and, where range or mean are not ours, the authors' `sub_mean` and `add_mean` that tell them. `from_state_dict` reads it back."""
    state = {key: value.clone() for key, value in net.state_dict().items()}
    mean = net.mean.flatten()
    if net.image_range != 1.0 or not torch.equal(mean, torch.tensor(DIV2K_MEAN)):
        for name, sign in (("sub_mean", -1.0), ("add_mean", 1.0)):
            state |= {f"{name}.weight": torch.eye(3).view(3, 3, 1, 1), f"{name}.bias": sign * net.image_range * mean.clone()}
    return state


def _width(tensors: Mapping[str, Tensor], key: str, axis: int = 0) -> int:
    """Output channels of a convolution; with `axis` 1 its input channels."""
    if key not in tensors:
        raise InvalidCheckpoint(f"the tensors do not fit EDSR: '{key}' is missing")
    shape = tuple(tensors[key].shape)
    if len(shape) != 4 or min(shape) < 1:
        raise InvalidCheckpoint(f"the tensors do not fit EDSR: '{key}' is {shape}, expected a convolution's (out, in, 3, 3)")
    return shape[axis]


def _shift(tensors: Mapping[str, Tensor]) -> tuple[float, tuple[float, float, float]]:
    """(range, mean) of the authors' MeanShift layers: sub_mean takes range * mean off, add_mean puts it back."""
    identity = torch.eye(3).view(3, 3, 1, 1)
    sub, add = (tensors.get(f"{name}_mean.bias", torch.empty(0)) for name in ("sub", "add"))
    plain = all(torch.equal(tensors.get(f"{name}_mean.weight", identity), identity) for name in ("sub", "add"))
    if not plain or sub.shape != (3,) or not torch.equal(add, -sub):
        raise InvalidCheckpoint("sub_mean and add_mean are no opposite shifts of the three colours; expected identity weights and biases -m and m")
    image_range = 255.0 if float(sub.abs().max()) > 1 else 1.0
    r, g, b = (-sub / image_range).tolist()
    return image_range, (r, g, b)
