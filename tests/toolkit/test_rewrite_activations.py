"""Activations that XNNPACK lacks, written with what it has: Mish as a fraction, softplus and log-sigmoid as a bend beside a ReLU."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture, untouched
from torch import nn

from edgekit import rewrite

LACKING = {"log1p", "softplus", "log_sigmoid", "mish", "mish_", "tanh", "gt", "where"}


def behind(activation: nn.Module, size: float) -> nn.Module:
    """The activation of values between -size and size."""

    class Scaled(nn.Module):
        def forward(self, x):
            return activation((x - 0.5) * 2 * size)

    return Scaled().eval()


@EXACT
@given(size=st.floats(0.1, 200.0), channels=st.integers(1, 5), height=st.integers(1, 9), inplace=st.booleans(), seed=st.integers(0, 99))
def test_mish_becomes_a_fraction(size, channels, height, inplace, seed):
    result = exact(behind(nn.Mish(inplace), size), picture(channels, height, seed=seed), "mish")
    assert result.changes == {"mish": 1} and operators(result)["div"] == 1 and not LACKING & set(operators(result))


@EXACT
@given(beta=st.sampled_from([1.0, 0.5, 3.0]), size=st.floats(0.1, 6.0), channels=st.integers(1, 5), seed=st.integers(0, 99))
def test_softplus_becomes_a_bend_beside_a_relu(beta, size, channels, seed):
    result = exact(behind(nn.Softplus(beta), size), picture(channels, seed=seed), "softplus")
    assert result.changes == {"softplus": 1} and not LACKING & set(operators(result))


@EXACT
@given(size=st.floats(0.1, 300.0), channels=st.integers(1, 5), seed=st.integers(0, 99))
def test_log_sigmoid_is_a_softplus(size, channels, seed):
    result = exact(behind(nn.LogSigmoid(), size), picture(channels, seed=seed), "softplus")
    assert result.changes == {"softplus": 1} and not LACKING & set(operators(result))


@pytest.mark.parametrize(("activation", "name"), [(nn.Mish(), "mish"), (nn.Softplus(), "softplus"), (nn.Softplus(2.0), "softplus")])
def test_in_float32_they_are_as_exact_as_the_activations_themselves(activation, name):
    """Against float64, over all that a layer may give."""
    x = torch.cat([torch.linspace(-120, 120, 200_001), torch.tensor([-1e38, -1e4, 1e4, 1e38])]).reshape(1, 1, 1, -1)
    found, expected = rewrite.apply(activation.eval(), (x,), (name,)).module(x).double(), activation(x.double())
    assert bool(found.isfinite().all())
    assert ((found - expected).abs() / expected.abs().clamp_min(1)).max() < 5e-7


def test_a_softplus_that_turns_into_a_line_early_stays():
    untouched(behind(nn.Softplus(1.0, 4.0), 9.0), picture(), "softplus")
