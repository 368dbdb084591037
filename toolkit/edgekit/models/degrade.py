"""How a clean photograph becomes a network's input. Calibration, parity and training pictures all pass through these.

Each function takes and gives (N, 3, H, W) float32 in [0, 1] whose values are multiples of 1/255: what an 8-bit picture can hold. They give the same bits on
every machine, so that a reference captured on one belongs to the tiles of another: sums are of whole numbers in float64, noise comes from numpy's
generator, and what is random is seeded by the picture itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Degrade = Callable[[Tensor], tuple[Tensor, ...]]


LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as JPEG and the super-resolution literature have it."""


def to_uint8_grid(x: Tensor) -> Tensor:
    """Clamps to [0, 1] and rounds to multiples of 1/255: what an 8-bit picture can hold. Float32 in and out."""
    return (x.clamp(0, 1) * 255).round() / 255


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """(N, C, H, W) float32 -> (N, C, height, width); anti-aliased bicubic with a = -0.5 (Keys 1981), as in PIL and MATLAB's imresize."""
    return F.interpolate(x, size=(height, width), mode="bicubic", antialias=True, align_corners=False)


def unchanged(clean: Tensor) -> tuple[Tensor, ...]:
    """The input of a network that takes pictures as they are: a photograph."""
    return (to_uint8_grid(clean),)


def downscale(scale: int) -> Degrade:
    """The input of a super-resolution network: an anti-aliased bicubic reduction by `scale`.

    The returned function takes pictures with H and W multiples of `scale`; it raises ValueError otherwise.
    """

    def degrade(clean: Tensor) -> tuple[Tensor, ...]:
        height, width = clean.shape[-2:]
        if height % scale or width % scale:
            raise ValueError(f"picture is {height}x{width}; expected multiples of {scale}")
        with torch.no_grad():
            small = resize(_levels(clean), height // scale, width // scale)
            return (_from_levels(small),)

    return degrade


def noisy(low: float = 5, high: float = 50) -> Degrade:
    """The input of a denoiser: Gaussian noise, independent per pixel and channel, its sigma (in steps of 1/255) drawn from [low, high] for each picture."""

    def degrade(clean: Tensor) -> tuple[Tensor, ...]:
        random = _random(clean)
        sigma = random.uniform(low, high, (clean.shape[0], 1, 1, 1))
        noise = random.standard_normal(tuple(clean.shape)) * sigma
        return (_from_levels(_levels(clean) + torch.from_numpy(noise)),)

    return degrade


def darkened(low: float = 0.04, high: float = 0.3) -> Degrade:
    """The input of a low-light network: the light of the scene times an exposure from [low, high], drawn for each picture evenly in stops.

    The exposure acts on linear light (sRGB's curve, IEC 61966-2-1) and the result is rounded to 8 bits, which is what hurts most in a dark picture.
    """

    def degrade(clean: Tensor) -> tuple[Tensor, ...]:
        stops = _random(clean).uniform(np.log2(low), np.log2(high), (clean.shape[0], 1, 1, 1))
        return (_from_levels(expose(_levels(clean) / 255, torch.from_numpy(2**stops)) * 255),)

    return degrade


def diffused(degrade: Degrade, shares: Sequence[float]) -> Degrade:
    """The inputs of one step of a diffusion model: the degraded picture, a state that holds the clean one, and its share of noise ((N, 1)), drawn for each
    picture from `shares`. The state (see `edgekit.sampler`) is no 8-bit picture."""

    def degrade_and_hide(clean: Tensor) -> tuple[Tensor, ...]:
        random = _random(clean)
        share = torch.from_numpy(random.choice(np.asarray(shares), (clean.shape[0], 1, 1, 1)))
        noise = torch.from_numpy(random.standard_normal(tuple(clean.shape)))
        state = (1 - share).sqrt() * (_levels(clean) / 127.5 - 1) + share.sqrt() * noise
        return *degrade(clean), state.float(), share.float().flatten(1)

    return degrade_and_hide


def paired(colours: int = 3) -> Degrade:
    """The inputs of a fusion network: an infrared picture (N, 1, H, W), and the visible one, which is dark and noisy, (N, `colours`, H, W).

    Infrared is stood in for by the light of the scene in red, which is free of noise here. Real pairs differ more; this tells whether files compute alike.
    """

    def degrade(clean: Tensor) -> tuple[Tensor, ...]:
        (dark,) = darkened(0.1, 0.3)(clean)
        (visible,) = noisy(4, 12)(dark)
        return clean[:, :1].contiguous(), visible if colours == 3 else luma_of(lambda x: (x,))(visible)[0]

    return degrade


def holed(share: float = 0.15) -> Degrade:
    """The inputs of an inpainting network: the picture with black holes, and the mask (N, 1, H, W) that is 1 in them. Holes are rectangles, about a third of the
    picture's side at most, until they cover `share` of it."""

    def degrade(clean: Tensor) -> tuple[Tensor, ...]:
        random = _random(clean)
        height, width = clean.shape[-2:]
        mask = torch.zeros(clean.shape[0], 1, height, width)
        for one in mask:
            while float(one.mean()) < share:
                h, w = (max(1, int(side * random.uniform(0.05, 0.3))) for side in (height, width))
                y, x = random.integers(0, height - h + 1), random.integers(0, width - w + 1)
                one[:, y : y + h, x : x + w] = 1
        return _from_levels(_levels(clean)) * (1 - mask), mask

    return degrade


def luma_of(degrade: Degrade) -> Degrade:
    """The input of a network for the luma alone: that of the picture which `degrade` makes, (N, 1, H, W) float32 in [0, 1], not rounded to 8 bits."""

    def to_luma(clean: Tensor) -> tuple[Tensor, ...]:
        (picture,) = degrade(clean)
        red, green, blue = (_levels(plane) * weight for plane, weight in zip(picture.split(1, 1), LUMA, strict=True))
        return (((red + green + blue) / 255).float(),)

    return to_luma


def expose(x: Tensor, factor: Tensor | float) -> Tensor:
    """sRGB values in [0, 1] -> the same scene with `factor` times the light, sRGB in [0, 1]."""
    light = torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4) * factor
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp_min(0.0031308) ** (1 / 2.4) - 0.055).clamp(0, 1)


def _levels(x: Tensor) -> Tensor:
    """Whole numbers 0 .. 255 in float64."""
    return (x.double() * 255).round()


def _from_levels(x: Tensor) -> Tensor:
    return (x.clamp(0, 255).round() / 255).float()


def _random(clean: Tensor) -> np.random.Generator:
    """Seeded by the picture: the same picture always gets the same noise, two pictures never do."""
    levels = _levels(clean).flatten()
    places = torch.arange(1, levels.numel() + 1, dtype=torch.float64) % 8191
    return np.random.default_rng([int(levels.sum()), int((levels * places).sum())])
