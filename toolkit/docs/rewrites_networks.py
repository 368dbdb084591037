"""A small network for each rewrite: where it has something to do. SIDE px, CHANNELS channels within."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from edgekit.enhancer import ImageSpec
from edgekit.models.pixels import Pixels

SIDE = 64
CHANNELS = 16

Network = Callable[[], nn.Module]


def conv(inputs: int = CHANNELS, outputs: int = CHANNELS, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


def between(*layers: nn.Module) -> nn.Module:
    """Layers of CHANNELS channels between a first and a last convolution."""
    return nn.Sequential(conv(3), nn.ReLU(), *layers, nn.ReLU(), conv(outputs=3))


class Branches(nn.Module):
    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *rest = (branch(x) for branch in self.branches)
        for one in rest:
            first = first + one
        return first


class Merging(nn.Module):
    """Computes its kernel from two others whenever it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.point = conv(), conv(kernel=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.wide.weight + F.pad(self.point.weight, [1] * 4), self.wide.bias, padding=1)


class Modulated(nn.Module):
    """StyleGAN2's convolution: the picture's style scales the weight's input channels, and its output channels are normalized."""

    def __init__(self) -> None:
        super().__init__()
        self.style, self.weight = nn.Linear(CHANNELS, CHANNELS), nn.Parameter(torch.randn(1, CHANNELS, CHANNELS, 3, 3) / (3 * CHANNELS**0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight * self.style(x.mean((2, 3))).view(1, 1, CHANNELS, 1, 1)
        weight = weight * torch.rsqrt(weight.pow(2).sum((2, 3, 4)) + 1e-8).view(1, CHANNELS, 1, 1, 1)
        return F.conv2d(x, weight.view(CHANNELS, CHANNELS, 3, 3), padding=1)


class Rolled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.roll(x, (-4, 3), (2, 3))


class Joined(nn.Module):
    """A 1x1 convolution of features and of what another convolution makes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.more, self.point = conv(), conv(inputs=2 * CHANNELS, kernel=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.point(torch.cat([x, self.more(x)], 1))


class Formula(nn.Module):
    """A function of features as a layer."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def gate(x: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, 1)
    return a * b


def capped(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[y > 0.5] = 0.5
    return y


def half_doubled(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[:, : CHANNELS // 2] = 2 * y[:, : CHANNELS // 2]
    return y


def smoothed(x: torch.Tensor) -> torch.Tensor:
    """By frequencies."""
    return torch.fft.irfft2(torch.fft.rfft2(x) * 0.5, s=x.shape[-2:])


def overlapped(x: torch.Tensor) -> torch.Tensor:
    """IPT's patches and back."""
    return F.fold(F.unfold(x, 8, stride=4), x.shape[-2:], 8, stride=4)


def formula(function: Callable[[torch.Tensor], torch.Tensor]) -> Network:
    """The function between convolutions."""
    return lambda: between(conv(), Formula(function), conv())


class ChannelsLast(nn.Module):
    """A layer of (N, H, W, C) on (N, C, H, W)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def ranged(colour: str) -> nn.Module:
    spec = ImageSpec("image", 3, colour, mean=(0.5, 0.5, 0.5), std=(0.5, 0.4, 0.3))
    return Pixels(between(conv()), (spec,), (spec,))


def tail(first: int, factor: int) -> nn.Module:
    return nn.Sequential(conv(3), nn.ReLU(), conv(outputs=CHANNELS * factor**2, kernel=first), nn.PixelShuffle(factor), conv(outputs=3))


def windows(x: torch.Tensor) -> torch.Tensor:
    """Attention's order of heads and windows, and back."""
    apart = x.view(1, 4, 4, 8, 8, 8, 8).permute(0, 3, 5, 1, 2, 4, 6)
    return (apart * apart).permute(0, 3, 4, 1, 5, 2, 6).reshape(x.shape)


def twice(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.ReLU(), layer)


def attended(x: torch.Tensor) -> torch.Tensor:
    """Rows attend to rows, by PyTorch's own operator."""
    return F.scaled_dot_product_attention(x, x, x)


def chosen(x: torch.Tensor) -> torch.Tensor:
    """Each pixel's largest channel chooses an entry of a codebook, as VQ-VAEs do it: by a product with rows of one one."""
    rows = x.permute(0, 2, 3, 1).reshape(-1, CHANNELS)
    ones = torch.zeros(SIDE * SIDE, CHANNELS).scatter_(1, rows.argmax(1, keepdim=True), 1)
    entries = (ones @ torch.arange(float(CHANNELS**2)).view(CHANNELS, CHANNELS).sin()).view(1, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2)
    return x + (entries - x).detach()


def mixed(x: torch.Tensor) -> torch.Tensor:
    """A 3x3 convolution of each channel, whose kernel the picture decides."""
    kernel = torch.linspace(0, 1, 9).view(1, 1, 3, 3) * x.mean((2, 3)).view(CHANNELS, 1, 1, 1)
    return F.conv2d(x, kernel, padding=1, groups=CHANNELS)


def coloured(x: torch.Tensor) -> torch.Tensor:
    """The picture's own colours, read in a table that it scales: 9 a side."""
    table = torch.linspace(0, 1, 3 * 9**3).view(1, 3, 9, 9, 9) * x.mean()
    return F.grid_sample(table, (x * 2 - 1).permute(0, 2, 3, 1)[:, None], padding_mode="border", align_corners=True).squeeze(2)


def sliced(x: torch.Tensor) -> torch.Tensor:
    """HDRNet's slicing: a small grid of coefficients, read at each pixel's place and brightness."""
    y, z = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    places = torch.stack([z[None], y[None], x[:, 0].tanh()], -1)[:, None]
    grid = F.adaptive_avg_pool2d(x, 8).reshape(1, CHANNELS // 4, 4, 8, 8)
    return x[:, : CHANNELS // 4] * F.grid_sample(grid, places, align_corners=True).squeeze(2)


class Recurrent(nn.Module):
    """A GRU along the rows' means."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(CHANNELS, CHANNELS, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made, _ = self.layer(F.avg_pool2d(x, (SIDE, 8)).squeeze(2).transpose(1, 2))
        return x + made.mean(1).view(1, CHANNELS, 1, 1)


NETWORKS: dict[str, dict[str, Network]] = {
    "shorthands": {
        "lerp": formula(lambda x: torch.lerp(x, x.flip(-1), 0.3)),
        "RMS normalization": formula(lambda x: F.rms_norm(x, (SIDE,))),
    },
    "recurrent_layers": {"GRU of eight steps": lambda: between(conv(), Recurrent(), conv())},
    "volume_sampling": {
        "a table of colours": lambda: nn.Sequential(Formula(coloured), conv(3, 3)),
        "a bilateral grid": lambda: between(conv(), Formula(sliced), conv(CHANNELS // 4)),
    },
    "attention": {"rows attend to rows": formula(attended)},
    "remove_checks": {"a check of the picture": formula(lambda x: (torch._assert_async((x < 1e9).all(), "too bright"), x * 2)[1])},
    "codebook": {"an entry for each pixel": formula(chosen)},
    "straight_through": {"an entry for each pixel": formula(chosen)},
    "one_hot": {"the largest channel alone": formula(lambda x: x * F.one_hot(x.argmax(1), CHANNELS).permute(0, 3, 1, 2))},
    "computed_kernels": {"a kernel for each picture": formula(mixed)},
    "plain_arguments": {
        "pooling without a stride": formula(lambda x: F.interpolate(F.max_pool2d(x, 2), scale_factor=2)),
        "clamp to 1": formula(lambda x: x.clamp(0.01, 1)),
    },
    "circular_padding": {"wrapped by 1": lambda: between(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, padding_mode="circular"))},
    "bicubic_resampling": {"x1.5": formula(lambda x: F.interpolate(x, scale_factor=1.5, mode="bicubic"))},
    "resampling": {
        "every second pixel": formula(lambda x: F.interpolate(x, scale_factor=0.5)),
        "bilinear, antialiased, to half": formula(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)),
    },
    "unfolded_windows": {"of 8 columns": formula(lambda x: x * x.unfold(3, 8, 8).mean(-1).repeat_interleave(8, 3))},
    "repeats": {"a value for each channel, spread": formula(lambda x: x * x.mean((2, 3), keepdim=True).repeat(1, 1, SIDE, SIDE))},
    "masked_assignment": {"at most 0.5": formula(capped)},
    "slice_scatter": {"one half doubled in place": formula(half_doubled)},
    "fourier_products": {"halved by frequencies": formula(smoothed)},
    "fold": {"patches of 8, every 4": formula(overlapped)},
    "neighbourhoods": {"sums of 3x3": formula(lambda x: F.unfold(x, 3, padding=1).view(1, CHANNELS, 9, SIDE, SIDE).sum(2))},
    "freeze_parameters": {
        "kernel merged in forward": lambda: between(Merging()),
        "weight norm": lambda: between(parametrizations.weight_norm(conv())),
    },
    "remove_noise": {"dropout before ReLU": lambda: between(conv(), nn.Dropout2d(0.3))},
    "explicit_padding": {'padding "same"': lambda: between(nn.Conv2d(CHANNELS, CHANNELS, 3, padding="same"))},
    "crop_by_slices": {"cropped by 4": formula(lambda x: F.pad(x, (-4, -4, -4, -4)))},
    "adaptive_pooling": {"maxima to 8x8": lambda: between(conv(), nn.AdaptiveMaxPool2d(8), conv())},
    "fold_batch_norm": {
        "behind a convolution": lambda: between(conv(), nn.BatchNorm2d(CHANNELS)),
        "behind a transposed one": lambda: between(nn.ConvTranspose2d(CHANNELS, CHANNELS, 4, 2, 1), nn.BatchNorm2d(CHANNELS)),
        "before a convolution": lambda: between(nn.BatchNorm2d(CHANNELS), conv()),
    },
    "merge_branches": {"3x3 + 1x1 + identity": lambda: between(Branches(conv(), conv(kernel=1), nn.Identity()))},
    "fold_channel_order": {"BGR": lambda: ranged("bgr")},
    "fold_scales": {"mean and std": lambda: ranged("rgb")},
    "fold_mean_shift": {"mean and std": lambda: ranged("rgb")},
    "collapse_linear": {
        "3x3, shuffle, 3x3": lambda: tail(3, 2),
        "1x1, 3x3": lambda: between(conv(outputs=4 * CHANNELS, kernel=1), conv(inputs=4 * CHANNELS)),
    },
    "split_concatenation": {"1x1 of two features": lambda: between(Joined())},
    "pad_by_slices": {
        "mirrored": lambda: between(nn.ReflectionPad2d(1), nn.Conv2d(CHANNELS, CHANNELS, 3)),
        "repeated": lambda: between(nn.ReplicationPad2d(2)),
    },
    "wide_padding": {"mirrored by 3": lambda: between(nn.ReflectionPad2d(3), nn.Conv2d(CHANNELS, CHANNELS, 7))},
    "modulated_convolution": {"a style for each picture": lambda: between(Modulated(), nn.ReLU(), conv())},
    "group_norm": {"4 groups": lambda: between(conv(), nn.GroupNorm(4, CHANNELS), conv())},
    "instance_norm": {"instance norm": lambda: between(conv(), nn.InstanceNorm2d(CHANNELS, affine=True))},
    "bicubic": {"x2 behind a convolution": lambda: nn.Sequential(between(conv()), nn.Upsample(scale_factor=2, mode="bicubic"))},
    "nearest_picture": {"x2 of the picture": lambda: nn.Sequential(nn.Upsample(scale_factor=2), between(conv()))},
    "nearest_features": {"x2 between convolutions": lambda: between(nn.Upsample(scale_factor=2), conv())},
    "nearest_by_copies": {"x2 between convolutions": lambda: between(nn.Upsample(scale_factor=2), conv())},
    "output_padding": {"3x3, stride 2": lambda: between(nn.ConvTranspose2d(CHANNELS, CHANNELS, 3, 2, 1, output_padding=1))},
    "transposed_padding": {"4x4, stride 2, padding 3": lambda: between(nn.ConvTranspose2d(CHANNELS, CHANNELS, 4, 2, 3))},
    "prelu": {"slopes 0.25": lambda: between(conv(), nn.PReLU(CHANNELS), conv())},
    "elu": {"alpha 1": lambda: between(conv(), nn.ELU(), conv())},
    "mish": {"between convolutions": lambda: between(conv(), nn.Mish(), conv())},
    "softplus": {"between convolutions": lambda: between(conv(), nn.Softplus(), conv())},
    "roll": {"shifted by (-4, 3)": lambda: between(Rolled(), conv())},
    "hardtanh": {"behind a convolution": lambda: between(conv(), nn.Hardtanh(0.0, 1.0), conv())},
    "hard_sigmoid": {"behind a convolution": lambda: between(conv(), nn.Hardsigmoid(), conv())},
    "remove_identities": {"cropped to the whole": formula(lambda x: x[..., :SIDE, :SIDE])},
    "layer_norm": {"over channels": lambda: between(conv(), ChannelsLast(nn.LayerNorm(CHANNELS)), conv())},
    "variance": {"over channels": formula(lambda x: x / (x.var(1, unbiased=False, keepdim=True) + 0.1).sqrt())},
    "vector_norm": {"over rows": formula(lambda x: F.normalize(x, dim=-1))},
    "power": {"squared": formula(lambda x: x**2.0)},
    "extremes": {"largest of the channels": formula(lambda x: x - x.max(1)[0].unsqueeze(1))},
    "fractions": {"remainder of one": formula(lambda x: x * 4 % 1)},
    "half_turns": {"angle of a point": formula(lambda x: torch.atan2(x.relu(), x - 0.1) / (2 * math.pi) + 0.5)},
    "tiny_addends": {"1e-8 against a division by zero": formula(lambda x: x / (x.relu() + 1e-8))},
    "channel_sums": {"mean over channels": formula(lambda x: x - x.mean(1, keepdim=True))},
    "split_by_slices": {"one half gates the other": lambda: between(conv(outputs=2 * CHANNELS), Formula(gate), conv())},
    "reshape_views": {"one channel gates all": formula(lambda x: x * x[:, 0].unsqueeze(1))},
    "free_views": {"flattened": formula(lambda x: x * x.view(1, -1).mean(1).view(1, 1, 1, 1))},
    "batched_products": {"rows attend to rows": formula(lambda x: (x @ x.transpose(-2, -1)).softmax(-1) @ x)},
    "remove_expansions": {"mean, expanded": formula(lambda x: x - x.mean((2, 3), keepdim=True).expand_as(x))},
    "sort_by_topk": {"rows in order": formula(lambda x: x.sort(-1)[0])},
    "rank_limit": {"windows, seven sides": formula(windows)},
    "separate_calls": {"one layer twice": lambda: between(twice(conv()))},
    "plain_order": {"shuffle behind a permutation": lambda: between(ChannelsLast(nn.Linear(CHANNELS, 4 * CHANNELS)), nn.PixelShuffle(2), conv())},
}
