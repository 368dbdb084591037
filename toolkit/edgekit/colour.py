"""How far two pictures' colours are apart, in units that people see: CIEDE2000 between sRGB pictures.

sRGB (IEC 61966-2-1) -> linear light -> XYZ -> CIELAB (CIE 15) under D65, 2 degree observer -> CIEDE2000 (CIE 142-2001, as written down by Sharma, Wu and
Dalal, "The CIEDE2000 color-difference formula", Color Research and Application 30(1), 2005), with all parametric factors 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgekit.models.degrade import LUMA

RGB_TO_XYZ = (
    (0.4123907992659595, 0.3575843393838780, 0.1804807884018343),
    (0.2126390058715104, 0.7151686787677559, 0.0721923153607337),
    (0.0193308187155918, 0.1191947797946259, 0.9505321522496608),
)
"""From the chromaticities of sRGB's primaries and of D65 (0.3127, 0.3290). Its row sums are the white, so that grey has no chroma at all."""

CHUNK = 2**16
"""Pixels that are converted at once: some twenty float64 planes of them stay in a processor's cache."""

HALF_TURN = math.pi * (1 + 1e-12)
"""Two hues half a turn apart have two mean hues; the formula takes the first, and rounding must not choose the other."""


def luma(rgb: Tensor) -> Tensor:
    """(..., 3, H, W) in [0, 1] -> (..., 1, H, W)."""
    return (rgb * torch.tensor(LUMA)[:, None, None]).sum(-3, keepdim=True)


def in_channels(rgb: Tensor, channels: int) -> Tensor:
    """(..., 3, H, W) as a network of so many channels may be shown it: itself, or its mean in each of them."""
    return rgb if channels == 3 else rgb.mean(-3, keepdim=True).expand(*rgb.shape[:-3], channels, -1, -1)


def to_lab(x: Tensor) -> Tensor:
    """(3, ...) sRGB in [0, 1] -> (3, ...) float64: L* in [0, 100], a*, b*."""
    x = x.double()
    light = torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    matrix = torch.tensor(RGB_TO_XYZ, dtype=torch.float64)
    xyz = torch.tensordot(matrix / matrix.sum(1, keepdim=True), light, 1)
    cube = torch.where(xyz > (6 / 29) ** 3, xyz.clamp_min(1e-12) ** (1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return torch.stack([116 * cube[1] - 16, 500 * (cube[0] - cube[1]), 200 * (cube[1] - cube[2])])


def ciede2000(one: Tensor, two: Tensor) -> Tensor:
    """CIEDE2000 of two (3, ...) CIELAB tensors -> (...). About 1 is what an attentive eye just notices side by side. Symmetric, never negative."""
    (l1, a1, b1), (l2, a2, b2) = one.double(), two.double()
    mean_chroma7 = ((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * (mean_chroma7 / (mean_chroma7 + 25.0**7)).sqrt()
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = (torch.atan2(b, a) % (2 * math.pi) for a, b in ((a1, b1), (a2, b2)))
    coloured = c1 * c2 > 0

    turn = h2 - h1
    turn = turn - 2 * math.pi * ((turn > HALF_TURN).double() - (turn < -HALF_TURN).double())
    turn = torch.where(coloured, turn, torch.zeros_like(turn))
    far = coloured & ((h1 - h2).abs() > HALF_TURN)
    other_side = (far & (h1 + h2 < 2 * math.pi)).double() - (far & (h1 + h2 >= 2 * math.pi)).double()
    hue = torch.where(coloured, (h1 + h2) / 2, h1 + h2) + math.pi * other_side

    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    d_lightness, d_chroma, d_hue = l2 - l1, c2 - c1, 2 * (c1 * c2).sqrt() * torch.sin(turn / 2)
    weight = (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )
    from_50 = (lightness - 50) ** 2
    by_lightness = d_lightness / (1 + 0.015 * from_50 / (20 + from_50).sqrt())
    by_chroma = d_chroma / (1 + 0.045 * chroma)
    by_hue = d_hue / (1 + 0.015 * chroma * weight)
    blue = math.radians(30) * torch.exp(-(((torch.rad2deg(hue) - 275) / 25) ** 2))
    rotation = -2 * (chroma**7 / (chroma**7 + 25.0**7)).sqrt() * torch.sin(2 * blue)
    return (by_lightness**2 + by_chroma**2 + by_hue**2 + rotation * by_chroma * by_hue).clamp_min(0).sqrt()


def difference(a: Tensor, b: Tensor) -> Tensor:
    """CIEDE2000 of every pixel of two sRGB pictures, (N, 3, H, W) or (3, H, W), clamped to [0, 1] first. -> (pixels,) float32."""
    one, two = (t.clamp(0, 1).movedim(-3, 0).flatten(1) for t in (a, b))
    found = [ciede2000(to_lab(x), to_lab(y)).float() for x, y in zip(one.split(CHUNK, 1), two.split(CHUNK, 1), strict=True)]
    return torch.cat(found)


def mean_and_p99(a: Tensor, b: Tensor) -> tuple[float, float]:
    """The mean CIEDE2000 over the pixels of two pictures, and what 99 of 100 pixels do not exceed."""
    found = difference(a, b)
    return float(found.double().mean()), float(found.kthvalue(math.ceil(0.99 * found.numel())).values)
