"""What XNNPACK lacks under TFLite, written with what it has: nearest enlargement as copies, ELU as a maximum, wide padding with the channels last."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture, untouched
from torch import nn

from edgekit import rewrite


@EXACT
@given(factor=st.integers(1, 5), channels=st.integers(1, 9), height=st.integers(1, 9), width=st.integers(1, 9), batch=st.integers(1, 2))
def test_an_enlargement_becomes_copies(factor, channels, height, width, batch):
    x = picture(channels, height, width).expand(batch, -1, -1, -1).contiguous()
    result = exact(nn.Upsample(scale_factor=factor).eval(), x, "nearest_by_copies")
    assert result.changes == {"nearest_by_copies": 1}
    assert operators(result) == {"permute": 2, "cat": 2, "reshape": 2}
    assert result.module.graph.output_node().args[0][0].meta["val"].shape[-2:] == (height * factor, width * factor)


@pytest.mark.parametrize("enlargement", [nn.Upsample(scale_factor=(2.0, 3.0)), nn.Upsample(size=(13, 17)), nn.Upsample(scale_factor=6)])
def test_by_other_factors_it_stays(enlargement):
    untouched(enlargement.eval(), picture(4), "nearest_by_copies")


@EXACT
@given(alpha=st.floats(0.01, 1.0), size=st.floats(0.1, 30.0), seed=st.integers(0, 99))
def test_an_elu_becomes_a_maximum(alpha, size, seed):
    class Scaled(nn.Module):
        def forward(self, x):
            return nn.functional.elu((x - 0.5) * size, alpha)

    result = exact(Scaled().eval(), picture(seed=seed), "elu")
    assert result.changes == {"elu": 1} and operators(result)["maximum"] == 1 and "elu" not in operators(result)


def test_in_float32_it_is_exact_enough_around_zero():
    network, x = nn.ELU().eval(), torch.linspace(-1e-2, 1e-2, 4001).reshape(1, 1, 1, -1)
    assert (rewrite.apply(network, (x,), ("elu",)).module(x) - network(x)).abs().max() < 1e-6


@pytest.mark.parametrize("curve", [nn.ELU(alpha=1.5), nn.SELU()])
def test_curves_that_cross_the_line_stay(curve):
    untouched(curve.eval(), picture(), "elu")


@EXACT
@given(
    pads=st.tuples(*[st.integers(0, 5)] * 4),
    padding=st.sampled_from([nn.ReflectionPad2d, nn.ReplicationPad2d]),
    channels=st.integers(1, 4),
    batch=st.integers(1, 2),
)
def test_wide_padding_is_written_with_the_channels_last(pads, padding, channels, batch):
    x = picture(channels).expand(batch, -1, -1, -1).contiguous()
    result = exact(padding(pads).eval(), x, "wide_padding")
    is_wide = max(pads[0] + pads[1], pads[2] + pads[3]) >= 5
    assert result.changes == {"wide_padding": int(is_wide)}
    joins = [n for n in result.module.graph.nodes if "cat" in str(n.target)]
    assert all(len(n.args[0]) <= 5 for n in joins) and bool(joins) == is_wide
    assert not any(source in joins for n in joins for source in n.args[0] if source.op != "placeholder" and n.args[1] == source.args[1])


@pytest.mark.parametrize("padding", [nn.ReflectionPad2d(6), nn.ReflectionPad2d(2), nn.ZeroPad2d(3), nn.CircularPad2d(3)])
def test_other_paddings_stay(padding):
    untouched(padding.eval(), picture(), "wide_padding")
