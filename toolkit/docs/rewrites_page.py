"""Writes toolkit/docs/rewrites.md: what each rewrite does to a small network in each backend that asks for it, with and without: `make rewrites-page`.

Every file is made and executed here. Results are kept in build/rewrites.json, so that an interrupted run goes on; `--fresh` starts anew.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import edgekit_targets
from edgekit import rewrite
from edgekit.enhancer import ImageSpec
from edgekit.errors import CannotRunHere, EdgekitError
from edgekit.models.pixels import Pixels

BACKENDS = ("executorch", "tflite", "coreml", "onnx")
CACHE = Path("build/rewrites.json")
PAGE = Path(__file__).with_name("rewrites.md")
ROUNDS = 150
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


@dataclass(frozen=True)
class Made:
    """`said`: one line about the graph, or why there is no file."""

    said: str
    session: Any | None


def lowered(backend: Any, net: nn.Module, names: tuple[str, ...], x: torch.Tensor, folder: Path) -> Made:
    try:
        file = folder / f"{len(names)}{backend.suffix}"
        graph = rewrite.apply(net, (x,), names).module
        result = backend.lower(graph, (x,), None, [(x,)], file)
    except EdgekitError as error:
        return Made(f"fails: {str(error).replace(f'{folder}/', '')[:160]}", None)
    except Exception as error:  # litert-torch raises many types
        return Made(f"fails: {str(error).splitlines()[0][:160] if str(error) else type(error).__name__}", None)
    from edgekit_targets.devices.host import Host

    with torch.no_grad():
        expected = net(x).clamp(0, 1)
    try:
        session = Host().session(file)
        (got,) = session((x,))
    except CannotRunHere as error:
        return Made(f"not run: {str(error).partition(': ')[2] or error}", None)
    worst = float((got - expected)[..., 4:-4, 4:-4].abs().max()) if min(got.shape[-2:]) > 8 else float((got - expected).abs().max())
    if worst > 2e-3:
        return Made(f"wrong by {worst:.2g}", None)
    return Made(described(backend.name, result, file), session)


def described(backend: str, result: Any, file: Path) -> str:
    if result.delegation is not None:
        d = result.delegation
        left = f"; left: {', '.join(sorted(n.removeprefix('aten.').partition('.')[0] for n in d.leftovers))}" if d.leftovers else ""
        return f"{d.delegated}/{d.total} in {d.partitions}{left}"
    if backend == "coreml":
        return f"{sum(result.facts['operators'].values())} operators"
    import onnx

    return f"{len(onnx.load(file).graph.node)} operators"


def measured(name: str, backend: Any, build: Network) -> dict[str, Any]:
    torch.manual_seed(0)
    net, x = build().eval().requires_grad_(False), torch.rand(1, 3, SIDE, SIDE)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.5, 1.5)
    with tempfile.TemporaryDirectory() as folder:
        without = lowered(backend, net, tuple(n for n in backend.rewrites if n != name), x, Path(folder))
        with_it = lowered(backend, net, backend.rewrites, x, Path(folder))
        times = raced([made.session for made in (without, with_it)], x) if backend.name != "coreml" else [None, None]
    return {"without": without.said, "with": with_it.said, "ms": times}


def raced(sessions: list[Any | None], x: torch.Tensor) -> list[float | None]:
    """Best time of each, in milliseconds, over rounds in turn: what a shared machine disturbs least."""
    best: list[float | None] = [None] * len(sessions)
    for _ in range(ROUNDS):
        for i, session in enumerate(sessions):
            if session is not None:
                start = time.perf_counter()
                session((x,))
                ms = (time.perf_counter() - start) * 1000
                best[i] = min(ms, best[i] or ms)
    return best


def main(arguments: list[str]) -> None:
    done: dict[str, Any] = json.loads(CACHE.read_text()) if CACHE.exists() and "--fresh" not in arguments else {}
    chosen = [a for a in arguments if a in BACKENDS] or BACKENDS
    for backend in (edgekit_targets.backend(name) for name in chosen):
        for name, networks in NETWORKS.items():
            for label, build in networks.items():
                key = f"{name}/{label}/{backend.name}"
                if name in backend.rewrites and key not in done:
                    done[key] = measured(name, backend, build)
                    CACHE.parent.mkdir(exist_ok=True)
                    CACHE.write_text(json.dumps(done, indent=1))
                    print(key, done[key], flush=True)
    PAGE.write_text(page(done))


def page(done: dict[str, Any]) -> str:
    lines = [
        "# Rewrites",
        "",
        f"Written by `make rewrites-page`: a small network for each rewrite, {SIDE}x{SIDE} px, {CHANNELS} channels, float32, lowered by each backend that asks for",
        "the rewrite, with all its rewrites but this one and with all. ExecuTorch and TFLite: operators that XNNPACK executes / all operators, in how many",
        "partitions, and what is left outside; Core ML and ONNX: operators in the file. Times are the best of many runs in turn on this machine's processor, never",
        "a phone's; where both files are alike, their two times show what else the machine did: up to 1.6 x. Core ML files are executed by the evaluator, which",
        "says nothing about time. Every file was executed and compared with the network, four pixels and more from the border.",
        "`split_concatenation` is there for int8, where features of different sizes then have a scale each; in float32, as here, it saves only the copy.",
        "`separate_calls` is there for int8 too, where ExecuTorch cannot load a file in which a layer is called again.",
        "",
        "| rewrite | network | backend | without it | with it | ms without | ms with |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, row in sorted(done.items(), key=lambda item: (list(rewrite.REWRITES).index(item[0].split("/")[0]), item[0])):
        name, label, backend = key.split("/")
        times = ("-" if ms is None else f"{ms:.2f}" for ms in row["ms"])
        lines.append(f"| {name} | {label} | {backend} | {row['without']} | {row['with']} | {' | '.join(times)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
