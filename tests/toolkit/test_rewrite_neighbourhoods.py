"""Neighbourhoods and patches as slices."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture, sides, untouched
from torch import nn


@EXACT
@given(kernel=sides(6), dilation=sides(3), stride=sides(4), padding=sides(2, 0), channels=st.integers(1, 3))
def test_slices_of_the_padded_picture(kernel, dilation, stride, padding, channels):
    assume(all(d == 1 or s == 1 for d, s in zip(dilation, stride, strict=True)))
    assume(all(side + 2 * p > d * (k - 1) for side, k, d, p in zip((9, 11), kernel, dilation, padding, strict=True)))
    result = exact(nn.Unfold(kernel, dilation, padding, stride).eval(), picture(channels, 9, 11), "neighbourhoods")
    assert result.changes == {"neighbourhoods": 1} and "im2col" not in operators(result)


def test_what_would_be_too_many_slices_or_slices_with_steps_stays():
    untouched(nn.Unfold(36).eval(), picture(1, 75, 75), "neighbourhoods")
    untouched(nn.Unfold(3, dilation=2, stride=2).eval(), picture(3, 9, 9), "neighbourhoods")
