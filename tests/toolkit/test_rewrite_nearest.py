"""Enlargement to the nearest pixel: of features folded into the convolution behind it, of a picture a convolution of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture, seeded, untouched
from torch import nn

BOTH = ("nearest_features", "nearest_picture")


@EXACT
@given(factor=st.integers(1, 4), kernel=st.sampled_from([1, 3, 5, 7]), height=st.integers(1, 9), by_size=st.booleans(), seed=st.integers(0, 99))
def test_the_convolution_behind_moves_to_the_small_side(factor, kernel, height, by_size, seed):
    size = {"size": (height * factor, 7 * factor)} if by_size else {"scale_factor": factor}
    net = seeded(nn.Sequential(nn.Upsample(**size), nn.Conv2d(3, 4, kernel, padding=kernel // 2), nn.ReLU(), nn.Conv2d(4, 2, 1)), seed)
    result = exact(net, picture(3, height, 7), *BOTH)
    found = operators(result)
    assert result.changes == {"nearest_features": 1, "nearest_picture": 0}
    assert found["conv2d"] == 2 and found["pixel_shuffle"] == 1 and "upsample_nearest2d" not in found
    (first,) = [n for n in result.module.graph.nodes if n.op == "get_attr" and n.target == "1.weight"]
    assert first.users, "the layer keeps its name"


@EXACT
@given(factor=st.integers(1, 4), channels=st.integers(1, 4), height=st.integers(1, 9))
def test_a_pictures_becomes_a_convolution_per_channel(factor, channels, height):
    result = exact(nn.Upsample(scale_factor=factor).eval(), picture(channels, height, 7), *BOTH)
    assert result.changes == {"nearest_features": 0, "nearest_picture": 1} and operators(result) == {"conv2d": 1, "pixel_shuffle": 1}


class Shared(nn.Module):
    """The enlarged picture is read twice, once by a convolution."""

    def __init__(self):
        super().__init__()
        self.up, self.conv = nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        y = self.up(x)
        return y + self.conv(y)


@pytest.mark.parametrize("convolution", [nn.Conv2d(6, 4, 3), nn.Conv2d(6, 4, 3, stride=2, padding=1), nn.Conv2d(6, 6, 3, padding=1, groups=3)])
def test_other_convolutions_stay_behind_it(convolution):
    untouched(seeded(nn.Sequential(nn.Upsample(scale_factor=2), convolution)), picture(6), *BOTH)


def test_one_that_is_read_twice_stays_in_front():
    untouched(seeded(Shared()), picture(), "nearest_features")
    result = exact(seeded(Shared()), picture(), "nearest_picture")
    assert operators(result) == {"conv2d": 2, "pixel_shuffle": 1, "add": 1}


def test_features_alone_stay():
    untouched(nn.Upsample(scale_factor=2).eval(), picture(5), *BOTH)


@pytest.mark.parametrize("options", [{"scale_factor": 1.5}, {"scale_factor": (2, 3)}, {"size": (20, 21)}])
def test_other_enlargements_stay(options):
    untouched(nn.Upsample(**options).eval(), picture(), *BOTH)


def test_two_in_a_row_as_in_esrgan():
    doubled = [layer for _ in range(2) for layer in (nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1), nn.LeakyReLU(0.2))]
    result = exact(seeded(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *doubled)), picture(), "nearest_features")
    assert result.changes == {"nearest_features": 2} and operators(result) == {"conv2d": 3, "pixel_shuffle": 2, "leaky_relu": 2}
