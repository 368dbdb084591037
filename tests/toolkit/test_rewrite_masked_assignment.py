"""Assignments to the places of a mask."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, picture
from torch import nn

from edgekit import rewrite


class Hue(nn.Module):
    """The hue of each pixel, as it is usually written with masks, times a weight."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = weight

    def forward(self, x):
        value, low = x.max(1).values, x.min(1).values
        hue = torch.zeros_like(value)
        for number in range(3):
            following, before = x[:, (number + 1) % 3], x[:, (number + 2) % 3]
            angle = (following - before) / (value - low + 1e-8)
            hue[x[:, number] == value] = (2.0 * number + angle[x[:, number] == value]) % 6
        hue[low == value] = 0.0
        return (hue * self.weight).unsqueeze(1)


@EXACT
@given(height=st.integers(1, 9), weight=st.floats(-2, 2), grey=st.booleans())
def test_the_hue_of_each_pixel(height, weight, grey):
    x = picture(3, height, 7)
    result = rewrite.apply(Hue(weight), (x,), ("masked_assignment", "remove_identities"))
    assert result.changes["masked_assignment"] == 4 and result.module.code.count("aten.where") == 4
    other = torch.rand_like(x)
    if grey:
        other[..., ::2] = other[:, :1, :, ::2]
    assert torch.equal(result.module(other), Hue(weight)(other))


class Other(nn.Module):
    def __init__(self, assign):
        super().__init__()
        self.assign = assign

    def forward(self, x):
        y = x * 2
        return self.assign(x, y)


def rows(x, y):
    y[torch.tensor([0])] = x
    return y


@pytest.mark.parametrize("assign", [rows])
def test_other_assignments_stay(assign):
    assert rewrite.apply(Other(assign), (picture(),), ("masked_assignment",)).changes == {"masked_assignment": 0}


class Powered(nn.Module):
    def __init__(self):
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor([0.2], dtype=torch.float64))

    def forward(self, x):
        y = x + 1
        y[x > 0.5] = 0.25
        return y.pow(self.exponent.item())


def test_a_parameter_read_as_a_number():
    result = rewrite.apply(Powered(), (picture(),), ("masked_assignment", "roll"))
    other = torch.rand_like(picture())
    assert torch.equal(result.module(other), Powered()(other)) and "item" not in result.module.code
