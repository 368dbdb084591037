"""Pixels in [0, 1], RGB, around a network that was trained on other values: mean and standard deviation, [-1, 1], 0..255, BGR.

The conversion becomes part of the exported file, so no app converts anything, and rewrites fold it into the neighbouring convolutions where that is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec

PIXELS = ("rgb", "bgr", "grey", "luma", "mask")
"""Colours whose values are those of pictures; a scalar is passed on as it is."""


class Convert(nn.Module):
    """(N, C, H, W) pixels in [0, 1], RGB -> the values and the channel order of `spec`, or back (`inverse`), then clamped to [0, 1]."""

    mean: Tensor | None
    factor: Tensor | None

    def __init__(self, spec: ImageSpec, *, inverse: bool = False) -> None:
        super().__init__()
        self.reverse_channels, self.inverse = spec.colour == "bgr", inverse
        mean, std = (torch.tensor(v, dtype=torch.float64).view(1, -1, 1, 1) for v in (spec.mean, spec.std))
        self.register_buffer("mean", mean.float() if mean.any() else None, persistent=False)
        self.register_buffer("factor", (std if inverse else 1 / std).float() if (std != 1).any() else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.inverse:
            x = x if self.factor is None else x * self.factor
            x = x if self.mean is None else x + self.mean
            return self._ordered(x).clamp(0, 1)
        x = self._ordered(x)
        x = x if self.mean is None else x - self.mean
        return x if self.factor is None else x * self.factor

    def _ordered(self, x: Tensor) -> Tensor:
        """Slices and a concatenation, which every runtime has; a flip none of the fast ones."""
        return torch.cat([x[:, i : i + 1] for i in reversed(range(x.shape[1]))], 1) if self.reverse_channels else x


class Pixels(nn.Module):
    """Takes and gives pictures (N, C, H, W) float32 in [0, 1], RGB where they have colours; `network` gets and gives what `inputs` and `outputs` say.

    Outputs are clamped to [0, 1]. A network of one output gives a tensor, one of several a tuple.
    """

    def __init__(self, network: nn.Module, inputs: Sequence[ImageSpec], outputs: Sequence[ImageSpec]) -> None:
        super().__init__()
        self.network = network
        self.before = nn.ModuleList(_converter(spec, inverse=False) for spec in inputs)
        self.after = nn.ModuleList(_converter(spec, inverse=True) for spec in outputs)

    def forward(self, *pictures: Tensor) -> Tensor | tuple[Tensor, ...]:
        found = self.network(*(convert(x) for convert, x in zip(self.before, pictures, strict=True)))
        given = found if isinstance(found, tuple | list) else (found,)
        results = tuple(convert(y) for convert, y in zip(self.after, given, strict=True))
        return results[0] if len(results) == 1 else results


def plain(spec: ImageSpec) -> ImageSpec:
    """What an app sees of `spec`: pixels in [0, 1], RGB."""
    if spec.colour not in PIXELS:
        return spec
    return replace(spec, colour="rgb" if spec.colour == "bgr" else spec.colour, mean=(0.0,), std=(1.0,), range=(0.0, 1.0))


def in_pixels(network: nn.Module, inputs: Sequence[ImageSpec], outputs: Sequence[ImageSpec]) -> nn.Module:
    """The network itself where it takes and gives pixels already, else one wrapped in `Pixels`."""
    if isinstance(network, Pixels):
        return network
    return network if all(plain(spec) == spec for spec in (*inputs, *outputs)) else Pixels(network, inputs, outputs)


def _converter(spec: ImageSpec, *, inverse: bool) -> nn.Module:
    return Convert(spec, inverse=inverse) if spec.colour in PIXELS else nn.Identity()
