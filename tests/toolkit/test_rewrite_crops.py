"""Crops, paddings, poolings and assignments that a runtime has no operator for, written with those that it has."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, seeded, untouched
from torch import nn

from edgekit import rewrite
from edgekit.backend import FOLDS


@EXACT
@given(pads=st.lists(st.integers(-3, 3), min_size=6, max_size=6), sides=st.sampled_from([2, 4, 6]), value=st.sampled_from([0.0, 0.5]))
def test_negative_padding_becomes_slices(pads, sides, value):
    pads = [*pads[:4], *(min(pad, 1) if pad > 0 else max(pad, -1) for pad in pads[4:])][:sides]
    result = exact(Formula(lambda x: F.pad(x, pads, value=value)).eval(), picture(4), "crop_by_slices")
    crops = min(pads) < 0
    assert result.changes == {"crop_by_slices": int(crops)}
    names = operators(result)
    assert names["slice"] == (sum(min(pads[i : i + 2]) < 0 for i in range(0, sides, 2)) if crops else 0)
    assert names["pad"] + names["constant_pad_nd"] == int(max(pads) > 0 or not crops)


@pytest.mark.parametrize("padding", [nn.ZeroPad2d(2), nn.ReflectionPad2d(2), nn.ReplicationPad2d((-1, -1, -1, -1))])
def test_other_paddings_stay(padding):
    untouched(padding.eval(), picture(), "crop_by_slices")


@EXACT
@given(
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    stride=st.integers(1, 3),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    bias=st.booleans(),
)
def test_a_transposed_convolution_pads_as_tflite_can(kernel, stride, padding, dilation, groups, bias):
    spare = [dilation * (k - 1) + 1 - stride for k in kernel]
    assume(all(5 * stride > 2 * p for p in padding))
    net = seeded(nn.ConvTranspose2d(4, 6, kernel, stride, padding, groups=groups, bias=bias, dilation=dilation))
    result = exact(net, picture(4), "transposed_padding")
    is_known = padding == (0, 0) or [2 * p for p in padding] == spare
    assert result.changes == {"transposed_padding": int(not is_known)}
    (after,) = (n for n in result.module.graph.nodes if "conv_transpose2d" in str(n.target))
    left = list(after.args[4]) if len(after.args) > 4 else [0, 0]
    assert left == [0, 0] or [2 * p for p in left] == spare


def test_the_end_of_realcugan_keeps_what_tflite_can_pad():
    result = exact(seeded(nn.ConvTranspose2d(4, 3, 4, 2, 3)), picture(4), "transposed_padding")
    (after,) = (n for n in result.module.graph.nodes if "conv_transpose2d" in str(n.target))
    assert after.args[4] == [1, 1] and operators(result)["slice"] == 2


def test_output_padding_is_left_to_its_own_rewrite():
    net = seeded(nn.ConvTranspose2d(4, 3, 3, 2, 1, output_padding=1))
    untouched(net, picture(4), "transposed_padding")
    assert exact(net, picture(4), "output_padding", "transposed_padding").changes == {"output_padding": 1, "transposed_padding": 0}


@EXACT
@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)), window=st.tuples(st.integers(1, 4), st.integers(1, 4)), kind=st.sampled_from(["max", "avg"])
)
def test_adaptive_pooling_to_a_divisor_is_pooling(size, window, kind):
    pool = nn.AdaptiveMaxPool2d(size) if kind == "max" else nn.AdaptiveAvgPool2d(size)
    result = exact(pool.eval(), picture(3, size[0] * window[0], size[1] * window[1]), "adaptive_pooling")
    is_mean = kind == "avg" and size == (1, 1)
    assert result.changes == {"adaptive_pooling": int(not is_mean)}
    assert is_mean or operators(result) == {f"{kind}_pool2d": 1}


@pytest.mark.parametrize("pool", [nn.AdaptiveMaxPool2d(4), nn.AdaptiveAvgPool2d((3, 4)), nn.AdaptiveAvgPool2d(1)])
def test_to_other_sizes_it_stays(pool):
    untouched(pool.eval(), picture(3, 9, 11), "adaptive_pooling")


def test_a_maximum_whose_place_is_read_stays():
    untouched(Formula(lambda x: F.adaptive_max_pool2d(x, 3, return_indices=True)[1].double()).eval(), picture(3, 9, 9), "adaptive_pooling")


class Assigning(nn.Module):
    """Writes over neighbours of its features, which a view of them from before and one from after the assignment then read."""

    def __init__(self, dim: int, start: int, end: int, step: int = 1) -> None:
        super().__init__()
        self.first, self.gain = nn.Conv2d(3, 8, 3, padding=1), nn.Parameter(torch.rand(1))
        self.place = tuple(slice(start, end, step) if i == dim else slice(None) for i in range(4))

    def forward(self, x):
        x = self.first(x)
        early, kept = x[:, 1:5], x + 0
        x[self.place] = torch.sin(x[self.place]) * self.gain
        return torch.cat([x, x[:, 2:4] * early[:, :2], kept], 1)


@EXACT
@given(dim=st.integers(1, 3), start=st.integers(0, 7), length=st.integers(1, 8))
def test_an_assignment_becomes_a_concatenation(dim, start, length):
    result = exact(seeded(Assigning(dim, start, min(start + length, 8))), picture(3, 8, 8), "slice_scatter")
    names = operators(result)
    assert result.changes["slice_scatter"] >= 1
    assert not any(name in names for name in ("copy_", "copy", "slice_scatter"))


def test_every_second_channel_stays():
    result = exact(seeded(Assigning(1, 0, 8, 2)), picture(3, 8, 8), "slice_scatter")
    assert operators(result)["slice_scatter"] >= 1


def test_a_value_of_another_shape_fills_its_place():
    class Filling(nn.Module):
        def forward(self, x):
            y = x * 2
            y[:, :2] = x[:, 2:3]
            return y

    result = rewrite.apply(Filling().eval(), (picture(),), ("slice_scatter",))
    x = picture(seed=3)
    assert torch.equal(result.module(x), Filling()(x))


def test_a_network_that_pools_the_whole_picture_is_exact_at_its_edges_too():
    """It is run without a halo, so chains whose joined kernel differs there stay; pooled by ordinary pooling it must still be known for what it is."""

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.chain = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 3, 3, padding=1))

        def forward(self, x):
            return self.chain(x) * F.interpolate(F.adaptive_max_pool2d(x, 4), scale_factor=4)

    assert exact(seeded(Pooled()), picture(3, 16, 16), *FOLDS).changes["adaptive_pooling"] == 1
