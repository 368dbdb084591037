"""A UNet whose encoder is MobileNetV3 (Howard et al.: Searching for MobileNetV3, ICCV 2019, arXiv 1905.02244; the decoder after Ronneberger et al. 2015,
arXiv 1505.04597): depthwise convolutions, hard-swish, squeeze-excite; masks of 1 to N classes.

Squeeze-excite takes means over the whole picture, so it is never tiled. The encoder's parameter names are torchvision's (`features.N.block.N`), so that its
trained weights fit; the rows of `LARGE` are those of the paper's table 1 that are needed for halving four times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec
from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract
from edgekit.models.degrade import unchanged
from edgekit.models.shapes import Shapes


@dataclass(frozen=True)
class Row:
    """One inverted residual block of the paper's table: kernel, expanded and given channels, squeeze-excite, hard-swish (else ReLU), stride."""

    kernel: int
    expanded: int
    channels: int
    excite: bool
    hard: bool
    stride: int


LARGE = (
    Row(3, 16, 16, excite=False, hard=False, stride=1),
    Row(3, 64, 24, excite=False, hard=False, stride=2),
    Row(3, 72, 24, excite=False, hard=False, stride=1),
    Row(5, 72, 40, excite=True, hard=False, stride=2),
    Row(5, 120, 40, excite=True, hard=False, stride=1),
    Row(5, 120, 40, excite=True, hard=False, stride=1),
    Row(3, 240, 80, excite=False, hard=True, stride=2),
    Row(3, 200, 80, excite=False, hard=True, stride=1),
    Row(3, 184, 80, excite=False, hard=True, stride=1),
    Row(3, 184, 80, excite=False, hard=True, stride=1),
    Row(3, 480, 112, excite=True, hard=True, stride=1),
    Row(3, 672, 112, excite=True, hard=True, stride=1),
)


def rows(width: float = 1.0, blocks: int = len(LARGE)) -> tuple[Row, ...]:
    """The first `blocks` rows with `width` times their channels, in whole eights as the paper rounds them (at least 8)."""
    return tuple(Row(r.kernel, _eights(r.expanded * width), _eights(r.channels * width), r.excite, r.hard, r.stride) for r in LARGE[:blocks])


def _eights(channels: float, unit: int = 8) -> int:
    """As MobileNet rounds: to the nearest multiple, never down by more than a tenth."""
    rounded = max(unit, int(channels + unit / 2) // unit * unit)
    return rounded + unit if rounded < 0.9 * channels else rounded


class SqueezeExcitation(nn.Module):
    """(N, C, H, W) -> the same, each channel times a share that the means of all channels decide."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(self.avgpool(x)))))


def _normalized(takes: int, gives: int, kernel: int, stride: int, groups: int, *, hard: bool | None) -> nn.Sequential:
    """Convolution, batch normalization (with the paper's epsilon), activation; none where `hard` is None."""
    layers: list[nn.Module] = [
        nn.Conv2d(takes, gives, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(gives, eps=0.001, momentum=0.01),
    ]
    return nn.Sequential(*layers, *([] if hard is None else [nn.Hardswish() if hard else nn.ReLU()]))


class InvertedResidual(nn.Module):
    """(N, C, H, W) -> (N, row.channels, H / row.stride, W / row.stride)."""

    def __init__(self, takes: int, row: Row) -> None:
        super().__init__()
        self.keeps = takes == row.channels and row.stride == 1
        layers: list[nn.Module] = []
        if row.expanded != takes:
            layers.append(_normalized(takes, row.expanded, 1, 1, 1, hard=row.hard))
        layers.append(_normalized(row.expanded, row.expanded, row.kernel, row.stride, row.expanded, hard=row.hard))
        if row.excite:
            layers.append(SqueezeExcitation(row.expanded, _eights(row.expanded / 4)))
        layers.append(_normalized(row.expanded, row.channels, 1, 1, 1, hard=None))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.keeps else self.block(x)


class Up(nn.Module):
    """((N, C, H, W), (N, S, 2 H, 2 W)) -> (N, gives, 2 H, 2 W): enlarged by a transposed convolution, beside what the encoder had."""

    def __init__(self, takes: int, skipped: int, gives: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(takes, gives, 2, stride=2)
        self.conv = _normalized(gives + skipped, gives, 3, 1, 1, hard=False)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        return self.conv(torch.cat([self.enlarge(x), beside], 1))


class UNetMobileNetV3(nn.Module):
    """(N, 3, H, W) float32 RGB, normalized as ImageNet is -> (N, classes, H, W) shares in [0, 1]: a sigmoid for one class, else a softmax. H and W are multiples
    of `multiple_of` (16 for the whole table)."""

    scale = 1

    def __init__(self, classes: int = 1, width: float = 1.0, blocks: int = len(LARGE)) -> None:
        super().__init__()
        table = rows(width, blocks)
        stem = _eights(16 * width)
        features: list[nn.Module] = [_normalized(3, stem, 3, 2, 1, hard=True)]
        takes = stem
        self.taps: list[int] = []  # the last feature before each halving
        widths = []
        for row in table:
            if row.stride == 2:
                self.taps.append(len(features) - 1)
                widths.append(takes)
            features.append(InvertedResidual(takes, row))
            takes = row.channels
        self.features = nn.Sequential(*features)
        self.multiple_of = 2 ** (len(widths) + 1)
        self.up = nn.ModuleList()
        for skipped in reversed(widths):
            self.up.append(Up(takes, skipped, skipped))
            takes = skipped
        self.last = nn.Sequential(nn.ConvTranspose2d(takes, takes, 2, stride=2), nn.ReLU(), nn.Conv2d(takes, classes, 3, padding=1))
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        beside = []
        for number, feature in enumerate(self.features):
            x = feature(x)
            if number in self.taps:
                beside.append(x)
        for up in self.up:
            x = up(x, beside.pop())
        logits = self.last(x)
        return torch.sigmoid(logits) if self.classes == 1 else torch.softmax(logits, 1)


def contract(network: UNetMobileNetV3) -> Contract:
    """The input is normalized by ImageNet's mean and deviation, as torchvision's encoders are."""
    spec = ImageSpec("image", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), range=(-2.2, 2.7))
    return Contract(1, unchanged, "segment", (spec,), (ImageSpec("mask", network.classes, "mask"),), network.multiple_of, "whole")


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"features.0.0.weight", "up.0.enlarge.weight", "last.2.weight"} <= state.keys()


def from_state_dict(state: Mapping[str, Tensor]) -> UNetMobileNetV3:
    """Builds the network whose classes and depth the tensors show; the width is the one of those in sixteenths that fits. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "UNetMobileNetV3")
    blocks = shapes.count(r"features\.(\d{1,2})\..*") - 1
    if not 2 <= blocks <= len(LARGE):
        raise shapes.misfit(f"there are {blocks} blocks, expected 2 to {len(LARGE)}")
    last = state.get(f"features.{blocks}.block.{_projection(rows(1, blocks)[-1])}.0.weight")
    given = 0 if last is None else last.shape[0]
    stem, classes = shapes.size("features.0.0.weight"), shapes.size("last.2.weight")
    first = shapes.size("features.2.block.0.0.weight")
    for width in (sixteenth / 16 for sixteenth in range(2, 33)):
        table = rows(width, blocks)
        if (_eights(16 * width), table[1].expanded, table[-1].channels) == (stem, first, given):
            with torch.device("meta"):
                network = UNetMobileNetV3(classes, width, blocks)
            fit(network, state)
            return network
    raise shapes.misfit(f"'features.0.0.weight' gives {stem} channels and the last block {given}, which no width of the table has")


def _projection(row: Row) -> int:
    """The place of the last convolution in a block's sequence."""
    return 3 if row.excite else 2
