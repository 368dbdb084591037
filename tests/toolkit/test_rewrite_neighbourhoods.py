"""Neighbourhoods as shifted slices."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture, untouched
from torch import nn

SIDES = st.tuples(st.integers(1, 3), st.integers(1, 3))


@EXACT
@given(kernel=SIDES, dilation=SIDES, padding=st.tuples(st.integers(0, 2), st.integers(0, 2)), channels=st.integers(1, 3))
def test_slices_of_the_padded_picture(kernel, dilation, padding, channels):
    result = exact(nn.Unfold(kernel, dilation, padding).eval(), picture(channels, 9, 11), "neighbourhoods")
    assert result.changes == {"neighbourhoods": 1} and "im2col" not in operators(result)


def test_patches_stay():
    untouched(nn.Unfold(4, stride=4).eval(), picture(3, 8, 8), "neighbourhoods")
    untouched(nn.Unfold(8).eval(), picture(3, 9, 9), "neighbourhoods")
