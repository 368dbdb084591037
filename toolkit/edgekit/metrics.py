"""How far two pictures are apart. All take float32 (N, C, H, W) or (C, H, W) in [0, 1]; the peak is 1.0, never taken from the data."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CAP_DB = 100.0
"""PSNR of equal pictures, and the most that is ever reported: beyond it float rounding decides."""


def psnr_db(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio over all channels and pixels, clamped to [0, 1] first, at most 100 dB. NaN anywhere gives -inf: it cannot pass."""
    error = (a.clamp(0, 1).double() - b.clamp(0, 1).double()).square().mean()
    if not bool(torch.isfinite(error)):
        return float("-inf")
    return min(CAP_DB, float(-10 * torch.log10(error.clamp_min(1e-20))))


def to_uint8(x: Tensor) -> Tensor:
    """What an 8-bit picture holds: clamp, scale, round half up. uint8."""
    return (x.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def psnr_uint8_db(a: Tensor, b: Tensor) -> float:
    """PSNR of the two pictures as they would be saved."""
    return psnr_db(to_uint8(a).float() / 255, to_uint8(b).float() / 255)


def ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity, 11x11 Gaussian window of sigma 1.5, mean over pixels and channels (Wang, Bovik, Sheikh, Simoncelli 2004).

    (N, C, H, W); sides below 11 px use the largest odd window that fits.
    """
    channels, height, width = a.shape[-3:]
    side = min(11, height - 1 + height % 2, width - 1 + width % 2)
    offsets = torch.arange(side, dtype=torch.float64) - side // 2
    line = torch.exp(-offsets.square() / (2 * 1.5**2))
    line = (line / line.sum()).expand(channels, 1, 1, side)

    def blur(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, line, groups=channels), line.transpose(2, 3), groups=channels)

    x, y = (t.reshape(-1, channels, height, width).clamp(0, 1).double() for t in (a, b))
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return float(value.mean())


def channel_shift(a: Tensor, b: Tensor) -> tuple[float, ...]:
    """Per channel, the signed mean of b - a: a cast that PSNR hides, with its direction."""
    dims = [d for d in range(a.dim()) if d != a.dim() - 3]
    return tuple((b.double() - a.double()).mean(dims).tolist())


def colour_shift(a: Tensor, b: Tensor) -> float:
    """The largest over the channels of |mean(b - a)|."""
    return max(abs(shift) for shift in channel_shift(a, b))


def banding(a: Tensor, b: Tensor) -> float:
    """Share of neighbouring 8x8 blocks that differ by at most one 8-bit step in `a`, and in `b` by over 1.5 steps more or less: contours where it was smooth.

    Block means leave out the fine noise of quantization, which the eye does not see as a contour. 0 where nothing is smooth.
    """
    x, y = (F.avg_pool2d(to_uint8(t).reshape(-1, *t.shape[-3:]).float(), 8) for t in (a, b))
    smooth = jumps = 0
    for dim in (-1, -2):
        step = x.diff(dim=dim)
        flat = step.abs() <= 1
        smooth += int(flat.sum())
        jumps += int((flat & ((y.diff(dim=dim) - step).abs() > 1.5)).sum())
    return jumps / smooth if smooth else 0.0


def dice(a: Tensor, b: Tensor) -> float | None:
    """Twice the overlap of two sets of masks over the sum of their areas (Dice 1945), the mean over classes.

    (N, classes, H, W) in [0, 1]; a pixel belongs to a class above 0.5. Classes that neither has do not count; None if there is no other.
    """
    both, one, two = _areas(a, b)
    shown = one + two > 0
    return float((2 * both[shown] / (one + two)[shown]).mean()) if bool(shown.any()) else None


def iou(a: Tensor, b: Tensor) -> float | None:
    """The overlap of two sets of masks over their union (Jaccard 1912), the mean over classes; masks and classes as in `dice`."""
    both, one, two = _areas(a, b)
    union = one + two - both
    shown = union > 0
    return float((both[shown] / union[shown]).mean()) if bool(shown.any()) else None


def _areas(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per class: pixels of both masks, of `a`, of `b`."""
    x, y = (t.reshape(-1, *t.shape[-3:]) > 0.5 for t in (a, b))
    both, one, two = ((t.sum((0, 2, 3))).double() for t in (x & y, x, y))
    return both, one, two
