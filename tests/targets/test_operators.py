"""What networks of the field compute beside convolutions and activations, through every backend: a file is made, runs, and computes it. Most of these failed in one
converter or another before a rewrite."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tiny import through
from torch import Tensor, nn

CHANNELS, SIDE = 8, 16

Operator = Callable[[Tensor], Tensor]


def resized(back: float | None = None, **options) -> Operator:
    """To another size and, by copies, back to SIDE or cut to it."""

    def operator(x: Tensor) -> Tensor:
        y = F.interpolate(x, **options)
        return (F.interpolate(y, scale_factor=back) if back else y)[..., :SIDE, :SIDE]

    return operator


def entry(x: Tensor, ones: Callable[[Tensor], Tensor]) -> Tensor:
    """Of a codebook, for each pixel: its largest channel chooses."""
    codebook = torch.arange(64.0).view(CHANNELS, CHANNELS).sin()
    return (ones(x.permute(0, 2, 3, 1).reshape(-1, CHANNELS).argmax(1)) @ codebook).view(1, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2)


def scattered(places: Tensor) -> Tensor:
    return torch.zeros(SIDE * SIDE, CHANNELS).scatter_(1, places[:, None], 1)


def mixed_kernel(x: Tensor, groups: int, side: int) -> Tensor:
    """A convolution whose kernel the picture decides."""
    shape = (CHANNELS, CHANNELS // groups, side, side)
    kernel = torch.arange(float(torch.Size(shape).numel())).sin().view(shape) * x.mean()
    return F.conv2d(x, kernel, padding=side // 2, groups=groups)


def read_at(x: Tensor, volume: bool, **options) -> Tensor:
    """A table of colours, or a picture, read at places that the picture decides."""
    places = (x[:, :3] * 0.8).permute(0, 2, 3, 1)
    table = torch.arange(float(CHANNELS * 5**3)).sin().view(1, CHANNELS, 5, 5, 5) * x.mean()
    if volume:
        return F.grid_sample(table, places[:, None], **options).squeeze(2)
    return F.grid_sample(x, places[..., :2], **options)


OPERATORS: dict[str, Operator] = {
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "pooling without a stride": lambda x: F.interpolate(F.max_pool2d(x, 2), scale_factor=2),
    "pooling, odd, ceiled": lambda x: F.interpolate(F.avg_pool2d(x, 3, 2, ceil_mode=True), scale_factor=2)[..., :SIDE, :SIDE],
    "bicubic x1.5": resized(scale_factor=1.5, mode="bicubic"),
    "bicubic x2, aligned": resized(scale_factor=2, mode="bicubic", align_corners=True),
    "bicubic to half, antialiased": resized(2, scale_factor=0.5, mode="bicubic", antialias=True),
    "bilinear to half, antialiased": resized(2, scale_factor=0.5, mode="bilinear", antialias=True),
    "bilinear x2, aligned": resized(scale_factor=2, mode="bilinear", align_corners=True),
    "nearest to half": resized(2, scale_factor=0.5),
    "nearest x1.5": resized(scale_factor=1.5),
    "nearest-exact x2": resized(scale_factor=2, mode="nearest-exact"),
    "spread and joined": lambda x: torch.cat([x[:, :4], x.mean((2, 3), keepdim=True).repeat(1, 1, SIDE, SIDE)[:, 4:]], 1),
    "expanded and joined": lambda x: torch.cat([x[:, :4], x.mean((2, 3), keepdim=True).expand(-1, -1, SIDE, SIDE)[:, 4:]], 1),
    "tiled": lambda x: x[..., :8, :8].repeat(1, 1, 2, 2),
    "of unit length": lambda x: F.normalize(x, dim=1),
    "flattened by a view": lambda x: x * x.view(1, -1).mean(1).view(1, 1, 1, 1),
    "codebook by scattering": lambda x: entry(x, scattered),
    "codebook by comparison": lambda x: entry(x, lambda places: F.one_hot(places, CHANNELS).float()),
    "channels shuffled": lambda x: F.channel_shuffle(x, 2),
    "wrapped": lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="circular"), 3, 1),
    "RMS normalization": lambda x: F.rms_norm(x, (SIDE,)),
    "group normalization": lambda x: F.group_norm(x, 2),
    "lerp": lambda x: torch.lerp(x, x.flip(-1), 0.3),
    "rot90": lambda x: x.rot90(1, (2, 3)),
    "differences": lambda x: F.pad(x.diff(dim=-1), (0, 1)),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=0.5),
    "cosine similarity": lambda x: x * F.cosine_similarity(x, x.flip(1), dim=1)[:, None],
    "two conditions": lambda x: x * ((x > 0.1) & (x < 0.5)),
    "exp2": torch.exp2,
    "clamped to 1": lambda x: x.clamp(0.01, 1).log(),
    "kernel by picture": lambda x: mixed_kernel(x, CHANNELS, 3),
    "colour table": lambda x: read_at(x, True, padding_mode="border", align_corners=True),
    "bilateral grid": lambda x: read_at(x, True, padding_mode="zeros", align_corners=False),
    "warped": lambda x: read_at(x, False, align_corners=False),
    "full kernel by picture": lambda x: mixed_kernel(x, 1, 3),
    "running sums": lambda x: x.cumsum(1) * 0.1,
    "wavelet and back": lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2) * 0.5, 2),
    "deviation": lambda x: x / (x.std((2, 3), keepdim=True) + 0.1),
    "logsumexp": lambda x: x - x.logsumexp(1, keepdim=True),
}


class Branches(nn.Module):
    """Each operator of what one convolution says, side by side: one file has them all."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(3, CHANNELS, 1) for _ in OPERATORS)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([operator(conv(x)) for conv, operator in zip(self.convolutions, OPERATORS.values(), strict=True)], 1)


@pytest.mark.parametrize("runtime", ["executorch", "tflite", "onnx", "coreml"])
def test_every_operator(runtime, tmp_path):
    torch.manual_seed(0)
    found, expected = through(runtime, Branches().eval(), torch.rand(1, 3, SIDE, SIDE), tmp_path, clamped=False)
    worst = {name: float((a - b).abs().max()) for name, a, b in zip(OPERATORS, found.split(CHANNELS, 1), expected.split(CHANNELS, 1), strict=True)}
    assert {name: difference for name, difference in worst.items() if not difference < 1e-4} == {}


class Tokens(nn.Module):
    """Pixels as tokens, through attention layers of torch.nn."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, CHANNELS, 1), nn.Conv2d(CHANNELS, 3, 1)
        self.attention = nn.MultiheadAttention(CHANNELS, 2, batch_first=True, dropout=0.1)
        self.encoder = nn.TransformerEncoderLayer(CHANNELS, 2, 16, batch_first=True, norm_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        tokens = y.flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return self.last(y + self.encoder(tokens).transpose(1, 2).reshape(y.shape))


@pytest.mark.parametrize("runtime", ["executorch", "tflite", "onnx", "coreml"])
def test_attention_layers(runtime, tmp_path):
    torch.manual_seed(0)
    found, expected = through(runtime, Tokens().eval(), torch.rand(1, 3, 8, 8), tmp_path)
    assert float((found - expected).abs().max()) < 1e-4
