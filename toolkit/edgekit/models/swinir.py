"""SwinIR (Liang et al.: Image Restoration Using Swin Transformer, ICCVW 2021, arXiv 2108.10257): attention inside windows that shift by half from layer to layer.

Windows lie on a fixed grid from the picture's corner, so tiles must start at multiples of the window. Parameter names are the authors'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract, of_luma
from edgekit.models.degrade import downscale, noisy
from edgekit.models.edsr import DIV2K_MEAN, upsampler
from edgekit.models.shapes import Shapes


def into_windows(x: Tensor, window: int) -> Tensor:
    """(N, H, W, C) -> (N * windows, window * window, C)."""
    n, h, w, c = x.shape
    return x.reshape(n * h // window, window, w // window, window, c).permute(0, 2, 1, 3, 4).reshape(-1, window * window, c)


def out_of_windows(x: Tensor, window: int, height: int, width: int) -> Tensor:
    """(N * windows, window * window, C) -> (N, H, W, C)."""
    return x.reshape(-1, width // window, window, window, x.shape[-1]).permute(0, 2, 1, 3, 4).reshape(-1, height, width, x.shape[-1])


def relative_positions(window: int) -> Tensor:
    """(window**2, window**2) int64: for two pixels of a window, the row of the bias table that belongs to their distance."""
    y, x = np.divmod(np.arange(window * window), window)
    dy, dx = (v[:, None] - v[None] + window - 1 for v in (y, x))
    return torch.tensor((dy * (2 * window - 1) + dx).tolist())


def shift_mask(height: int, width: int, window: int) -> Tensor:
    """(windows, window**2, window**2) float32: -100 between pixels that only the cyclic shift by half a window brought together, else 0.

    Made without torch's operators, so that a trace at a fixed size holds it as a constant.
    """
    y, x = (np.arange(side) for side in (height, width))
    row, column = (np.where(v < side - window, 0, np.where(v < side - window // 2, 1, 2)) for v, side in ((y, height), (x, width)))
    region = (3 * row[:, None] + column[None]).reshape(height // window, window, width // window, window).transpose(0, 2, 1, 3)
    region = region.reshape(-1, window * window)
    return torch.from_numpy(np.where(region[:, :, None] == region[:, None], np.float32(0), np.float32(-100)))


class Attention(nn.Module):
    """Multi-head attention between the pixels of each window. (windows, pixels, C) -> the same."""

    relative_position_index: Tensor

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads) * 0.02)
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        windows, pixels, channels = x.shape
        q, k, v = self.qkv(x).reshape(windows, pixels, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * (channels // self.heads) ** -0.5) @ k.transpose(-2, -1)
        bias = self.relative_position_bias_table[self.relative_position_index.reshape(-1)].reshape(1, pixels, pixels, self.heads).permute(0, 3, 1, 2)
        scores = scores + (bias if mask is None else bias + mask[:, None])
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(windows, pixels, channels))


class Mlp(nn.Module):
    """(..., C) -> (..., C)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SwinLayer(nn.Module):
    """(N, H, W, C) -> (N, H, W, C)."""

    def __init__(self, channels: int, heads: int, window: int, hidden: int, *, shifted: bool) -> None:
        super().__init__()
        self.window, self.shift = window, window // 2 if shifted else 0
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn, self.mlp = Attention(channels, heads, window), Mlp(channels, hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        _, h, w, _ = x.shape
        y = self.norm1(x)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = out_of_windows(self.attn(into_windows(y, self.window), mask if self.shift else None), self.window, h, w)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + y
        return x + self.mlp(self.norm2(x))


def bottleneck(channels: int, *, three: bool) -> nn.Module:
    """The convolution behind a group of layers; `three` are narrower inside."""
    if not three:
        return nn.Conv2d(channels, channels, 3, padding=1)
    inner = channels // 4
    return nn.Sequential(
        nn.Conv2d(channels, inner, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(inner, inner, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(inner, channels, 3, padding=1),
    )


class Group(nn.Module):
    """Residual Swin transformer block. (N, H, W, C) -> (N, H, W, C)."""

    def __init__(self, channels: int, layers: int, heads: int, window: int, hidden: int, *, three: bool) -> None:
        super().__init__()
        blocks = nn.ModuleList(SwinLayer(channels, heads, window, hidden, shifted=i % 2 == 1) for i in range(layers))
        self.residual_group = nn.ModuleDict({"blocks": blocks})
        self.conv = bottleneck(channels, three=three)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = x
        for layer in self.residual_group["blocks"].children():
            y = layer(y, mask)
        return x + self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class SwinIR(nn.Module):
    """(N, C, H, W) float32, as `contract` says -> (N, C, H*scale, W*scale), in the same values (not clamped here). Sides are multiples of `window`.

    `tail` enlarges: "shuffle" (classical: convolution, shuffles, convolution), "direct" (lightweight: one shuffle), "nearest" (real-world, x4), or with scale 1
    "none": the network predicts what is to be added. `inner` is the width of the first and the third.
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 180,
        layers: Sequence[int] = (6,) * 6,
        heads: Sequence[int] = (6,) * 6,
        window: int = 8,
        hidden: int = 360,
        tail: str = "shuffle",
        inner: int = 64,
        colours: int = 3,
        *,
        three: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.multiple_of, self.window, self.tail, self.colours = scale, window, window, tail, colours
        self.conv_first = nn.Conv2d(colours, channels, 3, padding=1)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(channels)})
        self.layers = nn.ModuleList(Group(channels, number, count, window, hidden, three=three) for number, count in zip(layers, heads, strict=True))
        self.norm = nn.LayerNorm(channels)
        self.conv_after_body = bottleneck(channels, three=three)
        if tail in ("shuffle", "nearest"):
            self.conv_before_upsample = nn.Sequential(nn.Conv2d(channels, inner, 3, padding=1), nn.LeakyReLU())
        if tail == "shuffle":
            self.upsample = upsampler(scale, inner)
        elif tail == "direct":
            self.upsample = nn.Sequential(nn.Conv2d(channels, colours * scale * scale, 3, padding=1), nn.PixelShuffle(scale))
        elif tail == "nearest":
            self.conv_up1, self.conv_up2, self.conv_hr = (nn.Conv2d(inner, inner, 3, padding=1) for _ in range(3))
        if tail != "direct":
            self.conv_last = nn.Conv2d(channels if tail == "none" else inner, colours, 3, padding=1)

    def features(self, x: Tensor) -> Tensor:
        mask = shift_mask(x.shape[2], x.shape[3], self.window).to(x.device).repeat(x.shape[0], 1, 1)
        y = self.patch_embed["norm"](x.permute(0, 2, 3, 1))
        for group in self.layers:
            y = group(y, mask)
        return self.conv_after_body(self.norm(y).permute(0, 3, 1, 2)) + x

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(self.conv_first(x))
        if self.tail == "direct":
            return self.upsample(y)
        if self.tail == "none":
            return x + self.conv_last(y)
        y = self.conv_before_upsample(y)
        if self.tail == "shuffle":
            return self.conv_last(self.upsample(y))
        for conv in (self.conv_up1, self.conv_up2):
            y = F.leaky_relu(conv(F.interpolate(y, scale_factor=2.0, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(y), 0.2))


def contract(network: nn.Module) -> Contract:
    """`network` is a SwinIR. DIV2K's mean is taken off and put back; luma has none. The authors' files of window 7, for JPEG, work on a range of 255."""
    assert isinstance(network, SwinIR)
    found = Contract(network.scale, noisy() if network.scale == 1 else downscale(network.scale), multiple_of=network.window)
    factor = 255 if network.window == 7 else 1
    found, mean = (of_luma(found), (0.0,)) if network.colours == 1 else (found, DIV2K_MEAN)
    low, high = -factor * max(mean), factor * (1 - min(mean))
    inputs, outputs = (
        tuple(replace(spec, mean=mean, std=(1 / factor,), range=(low, high)) for spec in specs) for specs in (found.inputs, found.outputs)
    )
    return replace(found, inputs=inputs, outputs=outputs)


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"conv_first.weight", "layers.0.residual_group.blocks.0.attn.relative_position_bias_table", "conv_after_body.weight"} <= set(state) or (
        "layers.0.residual_group.blocks.0.attn.relative_position_bias_table" in state and "conv_after_body.0.weight" in state
    )


def from_state_dict(state: Mapping[str, Tensor]) -> SwinIR:
    """Builds the network whose depths, widths, heads, window and tail the tensors show. Raises InvalidCheckpoint.

    The masks that the authors' files carry belong to their training size; the ones used here are made for each size.
    """
    tensors = _learned(state)
    shapes = Shapes(tensors, "SwinIR")
    first = "layers.0.residual_group.blocks.0"
    groups = range(shapes.count(r"layers\.(\d{1,3})\.residual_group\.blocks\.0\.attn\.qkv\.weight"))
    layers = [shapes.count(rf"layers\.{i}\.residual_group\.blocks\.(\d{{1,3}})\.attn\.qkv\.weight") for i in groups]
    heads = [shapes.size(f"layers.{i}.residual_group.blocks.0.attn.relative_position_bias_table", 1, ndim=2) for i in groups]
    rows = shapes.size(f"{first}.attn.relative_position_bias_table", ndim=2)
    window = (isqrt(rows) + 1) // 2
    colours = shapes.size("conv_first.weight", 1)
    if (2 * window - 1) ** 2 != rows or window > 64 or colours not in (1, 3):
        raise shapes.misfit(
            f"the bias table has {rows} rows and the picture {colours} channels, expected (2 * window - 1)**2 rows, and 1 or 3 channels"
        )
    tail, scale, inner = "none", 1, 64
    if "conv_up1.weight" in tensors:
        tail, scale, inner = "nearest", 4, shapes.size("conv_hr.weight")
    elif "conv_before_upsample.0.weight" in tensors:
        stages = [f"upsample.{2 * i}.weight" for i in range(shapes.count(r"upsample\.(\d)\.weight"))]
        tail, scale, inner = "shuffle", shapes.enlargement([*stages, "conv_last.weight"]), shapes.size("conv_before_upsample.0.weight")
    elif "upsample.0.weight" in tensors:
        tail, scale = "direct", shapes.shuffle("upsample.0.weight", colours)
    with torch.device("meta"):
        network = SwinIR(
            scale,
            shapes.size("conv_first.weight"),
            layers,
            heads,
            window,
            shapes.size(f"{first}.mlp.fc1.weight", ndim=2),
            tail,
            inner,
            colours,
            three="conv_after_body.0.weight" in tensors,
        )
    positions = {key: relative_positions(window) for key in network.state_dict() if key.endswith("relative_position_index")}
    fit(network, {**tensors, **positions})
    return network


def to_state_dict(network: nn.Module) -> dict[str, Tensor]:
    """What was learned; `from_state_dict` makes the rest."""
    return _learned(network.state_dict())


def _learned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not re.search(r"\.(attn_mask|relative_position_index)$", key)}
