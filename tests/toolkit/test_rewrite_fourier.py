"""Fourier transforms as products of real matrices."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture, seeded, untouched
from torch import nn

from edgekit import rewrite

NORMS = st.sampled_from([None, "backward", "ortho", "forward"])


class Filtered(nn.Module):
    """As FFTformer's: a real gain for each frequency, and a picture multiplied by another in frequencies."""

    def __init__(self, height: int, width: int, norm: str | None):
        super().__init__()
        self.gain, self.norm = nn.Parameter(torch.ones(3, height, width // 2 + 1)), norm

    def forward(self, x):
        spectrum = torch.fft.rfft2(x, norm=self.norm)
        other = torch.fft.rfft2(x.flip(1), norm=self.norm)
        return torch.fft.irfft2(spectrum * other * self.gain + self.gain * spectrum - other, s=x.shape[-2:], norm=self.norm)


class Convolved(nn.Module):
    """As LaMa's: real and imaginary parts are channels of a convolution."""

    def __init__(self, norm: str | None):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(6, 6, 1), norm

    def forward(self, x):
        spectrum = torch.fft.rfftn(x, dim=(-2, -1), norm=self.norm)
        real, imaginary = self.conv(torch.cat([spectrum.real, spectrum.imag], 1)).chunk(2, 1)
        return torch.fft.irfftn(torch.complex(real, imaginary), s=x.shape[-2:], dim=(-2, -1), norm=self.norm)


@EXACT
@given(height=st.integers(2, 12), width=st.integers(2, 12), norm=NORMS, seed=st.integers(0, 99))
def test_a_filter_in_frequencies(height, width, norm, seed):
    result = exact(seeded(Filtered(height, width, norm), seed), picture(3, height, width), "fourier_products")
    assert result.changes == {"fourier_products": 3} and not any("fft" in name for name in operators(result))


@EXACT
@given(height=st.integers(2, 12), width=st.integers(2, 12), norm=NORMS, seed=st.integers(0, 99))
def test_a_convolution_of_frequencies(height, width, norm, seed):
    result = exact(seeded(Convolved(norm), seed), picture(3, height, width), "fourier_products")
    assert result.changes == {"fourier_products": 2} and "fft" not in result.module.code and "complex" not in result.module.code


def test_float32_stays_close():
    net = Convolved("ortho").eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(rewrite.apply(net, (x,), ("fourier_products",)).module(x), net(x), atol=1e-5)


class Other(nn.Module):
    def __init__(self, transform):
        super().__init__()
        self.transform = transform

    def forward(self, x):
        return self.transform(x)


@pytest.mark.parametrize(
    "transform",
    [
        lambda x: torch.fft.rfft2(x).abs(),
        lambda x: torch.fft.irfft2(torch.fft.rfft2(x), s=(8, 8)),
        lambda x: torch.fft.rfftn(x, dim=(-3, -2)).real,
        lambda x: torch.fft.rfft2(x).exp().real,
        lambda x: torch.fft.fft2(x).real,
    ],
)
def test_what_is_not_known_is_left_alone(transform):
    untouched(Other(transform), picture(3, 9, 11), "fourier_products")
