import math

import pytest
import torch

from edgekit import metrics


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_psnr_has_a_fixed_peak_and_clamps():
    a = torch.full((1, 3, 8, 8), 0.5)
    assert metrics.psnr_db(a, a + 0.1) == pytest.approx(20, abs=1e-4)
    assert metrics.psnr_db(a, a) == metrics.CAP_DB
    assert metrics.psnr_db(torch.ones(3, 4, 4), torch.full((3, 4, 4), 7.0)) == metrics.CAP_DB
    # One overflowed pixel must not raise the peak: 512x512x3 with one pixel off by 1.
    b = torch.zeros(3, 64, 64)
    b[0, 0, 0] = 1e4
    assert metrics.psnr_db(torch.zeros(3, 64, 64), b) == pytest.approx(10 * math.log10(3 * 64 * 64), abs=1e-3)


def test_nan_cannot_pass():
    a = torch.zeros(3, 4, 4)
    b = a.clone()
    b[0, 0, 0] = float("nan")
    assert metrics.psnr_db(a, b) == float("-inf")


def test_ssim_is_one_only_for_equal_pictures_and_falls_with_noise():
    a = noise(1, 3, 32, 32)
    assert metrics.ssim(a, a) == pytest.approx(1)
    little, much = (metrics.ssim(a, (a + s * noise(3, 32, 32).flip(-1)).clamp(0, 1)) for s in (0.05, 0.5))
    assert 0.9 < little < 1 and much < little - 0.05
    # Constant pictures: only the luminance term remains, (2xy + c1) / (x^2 + y^2 + c1).
    x, y = 0.4, 0.6
    want = (2 * x * y + 1e-4) / (x * x + y * y + 1e-4)
    assert metrics.ssim(torch.full((1, 1, 16, 16), x), torch.full((1, 1, 16, 16), y)) == pytest.approx(want, abs=1e-6)


def test_colour_shift_sees_a_cast_in_one_channel_only():
    a = noise(1, 3, 16, 16)
    b = a.clone()
    b[:, 2] -= 2 / 255
    assert metrics.colour_shift(a, b) == pytest.approx(2 / 255, rel=1e-4)
    zero_mean = a + torch.tensor([0.1, -0.1]).repeat(8)
    assert metrics.colour_shift(a, zero_mean) < 1e-6


def test_banding_sees_contours_in_a_ramp_and_ignores_noise():
    ramp = torch.linspace(0.2, 0.28, 256).expand(1, 3, 32, 256)
    coarse = (ramp * 51).round() / 51
    assert metrics.banding(ramp, ramp) == 0
    assert metrics.banding(ramp, coarse) > 0.02
    assert metrics.banding(ramp, ramp + 0.005 * torch.randn(1, 3, 32, 256, generator=torch.Generator().manual_seed(0))) < 0.001
    edge = torch.cat([torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)], -1)
    assert metrics.banding(edge, noise(1, 3, 8, 16)) == 0, "nothing is smooth there"
