"""Operators that some runtime lacks, written with those it has."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture, seeded, untouched
from torch import nn

PADS = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d, "circular": nn.CircularPad2d}


@EXACT
@given(mode=st.sampled_from(sorted(PADS)), pads=st.tuples(*[st.integers(0, 8)] * 4))
def test_paddings_by_the_pictures_own_pixels_become_slices(mode, pads):
    result = exact(nn.Sequential(PADS[mode](pads), nn.ReLU()).eval(), picture(), "pad_by_slices")
    assert result.changes == {"pad_by_slices": 1} and set(operators(result)) <= {"slice", "cat", "relu"}
    assert all(len(n.args[0]) <= 5 for n in result.module.graph.nodes if "cat" in str(n.target)), "XNNPACK concatenates five at most"


def test_a_convolutions_own_padding_mode_and_successive_paddings():
    net = seeded(nn.Sequential(nn.Conv2d(3, 4, 5, padding=2, padding_mode="reflect"), nn.ReflectionPad2d(1), nn.ReplicationPad2d(2)))
    assert exact(net, picture(), "pad_by_slices").changes == {"pad_by_slices": 3}


def test_zero_padding_and_cropping_stay():
    untouched(nn.Sequential(nn.ZeroPad2d(2), nn.ConstantPad2d(1, 0.5)).eval(), picture(), "pad_by_slices")
    untouched(nn.ReplicationPad2d((-1, 2, 0, 0)).eval(), picture(), "pad_by_slices")


@EXACT
@given(seed=st.integers(0, 99), affine=st.booleans(), height=st.integers(1, 12), width=st.integers(2, 12))
def test_instance_norm_becomes_means(seed, affine, height, width):
    result = exact(seeded(nn.Sequential(nn.Conv2d(3, 4, 1), nn.InstanceNorm2d(4, affine=affine)), seed), picture(3, height, width), "instance_norm")
    assert result.changes == {"instance_norm": 1} and operators(result)["mean"] == 2


def test_normalizations_of_stored_statistics_are_not_instance_norms():
    untouched(seeded(nn.Sequential(nn.BatchNorm2d(3), nn.GroupNorm(3, 3))), picture(), "instance_norm")
    batch = nn.BatchNorm2d(3, track_running_stats=False)
    assert exact(seeded(batch), picture(), "instance_norm").changes == {"instance_norm": 1}


@EXACT
@given(factor=st.integers(2, 5), channels=st.integers(1, 4), height=st.integers(1, 9), by_size=st.booleans())
def test_bicubic_enlargement_becomes_a_convolution_and_a_shuffle(factor, channels, height, by_size):
    size = {"size": (height * factor, 7 * factor)} if by_size else {"scale_factor": factor}
    result = exact(nn.Upsample(**size, mode="bicubic").eval(), picture(channels, height, 7), "bicubic")
    assert result.changes == {"bicubic": 1} and operators(result)["pixel_shuffle"] == 1 and "upsample_bicubic2d" not in operators(result)


@pytest.mark.parametrize("options", [{"scale_factor": 1.5}, {"scale_factor": 2, "align_corners": True}, {"scale_factor": (2, 3)}, {"size": (20, 21)}])
def test_other_enlargements_stay(options):
    untouched(nn.Upsample(**options, mode="bicubic").eval(), picture(), "bicubic")


@EXACT
@given(seed=st.integers(0, 99), shared=st.booleans(), low=st.sampled_from([0.0, -0.5]), high=st.sampled_from([1.0, 1.5]))
def test_prelu_becomes_a_maximum_or_two_relus(seed, shared, low, high):
    net = seeded(nn.Sequential(nn.Conv2d(3, 4, 1), nn.PReLU(1 if shared else 4)), seed)
    net[1].weight.data = (net[1].weight.data + 0.5) * (high - low) + low
    inside = bool(((net[1].weight >= 0) & (net[1].weight <= 1)).all())
    result = exact(net, picture(), "prelu")
    assert result.changes == {"prelu": 1} and ("maximum" in operators(result)) == inside and operators(result)["relu"] == (0 if inside else 2)


class Roll(nn.Module):
    def __init__(self, shifts, dims):
        super().__init__()
        self.shifts, self.dims = shifts, dims

    def forward(self, x):
        return torch.roll(x.permute(0, 2, 3, 1), self.shifts, self.dims)


@EXACT
@given(shifts=st.tuples(*[st.integers(-20, 20)] * 2))
def test_roll_becomes_slices(shifts):
    result = exact(Roll(shifts, (1, 2)), picture(), "roll")
    assert result.changes == {"roll": 1} and set(operators(result)) <= {"permute", "slice", "cat"}


def test_a_roll_of_the_flattened_tensor_stays():
    untouched(Roll(3, None), picture(), "roll")
