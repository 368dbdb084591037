"""Overlapping patches as padded sums."""

from __future__ import annotations

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, sides, untouched
from torch import nn


def patches(channels: int, size: tuple[int, int], kernel, dilation, padding, stride) -> torch.Tensor:
    counts = [(s + 2 * p - d * (k - 1) - 1) // t + 1 for s, k, d, p, t in zip(size, kernel, dilation, padding, stride, strict=True)]
    assume(min(counts) > 0)
    return torch.rand(2, channels * kernel[0] * kernel[1], counts[0] * counts[1], dtype=torch.float64)


@EXACT
@given(kernel=sides(5), dilation=sides(3), stride=sides(5), padding=sides(2, 0), channels=st.integers(1, 3))
def test_patches_are_summed_where_they_lie(kernel, dilation, stride, padding, channels):
    assume(all(d == 1 or s == 1 for d, s in zip(dilation, stride, strict=True)))
    x = patches(channels, (9, 11), kernel, dilation, padding, stride)
    result = exact(nn.Fold((9, 11), kernel, dilation, padding, stride).eval(), x, "fold")
    assert result.changes == {"fold": 1} and "col2im" not in operators(result)


def test_what_would_be_too_many_sums_or_holes_with_steps_stays():
    untouched(nn.Fold((75, 75), 36).eval(), torch.rand(1, 36 * 36, 40 * 40, dtype=torch.float64), "fold")
    untouched(nn.Fold((9, 9), 3, dilation=2, stride=2).eval(), torch.rand(1, 9, 9, dtype=torch.float64), "fold")
