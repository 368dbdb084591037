"""Normalizations, lengths and sums over channels, written with what XNNPACK has."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, seeded, untouched
from torch import nn
from torch.nn import functional as F


@EXACT
@given(seed=st.integers(0, 99), affine=st.booleans(), sides=st.integers(1, 3))
def test_layer_norm_becomes_means_over_as_many_sides(seed, affine, sides):
    norm = nn.LayerNorm((3, 9, 11)[-sides:], elementwise_affine=affine)
    result = exact(seeded(norm, seed), picture(), "layer_norm")
    assert result.changes == {"layer_norm": 1} and operators(result)["mean"] == 2 and "layer_norm" not in operators(result)


@EXACT
@given(unbiased=st.booleans(), keepdim=st.booleans(), dims=st.sampled_from([(1,), (-1,), (2, 3), (1, 2, 3)]))
def test_variances_become_means_of_squares(unbiased, keepdim, dims):
    result = exact(Formula(lambda x: x.var(dims, unbiased=unbiased, keepdim=keepdim).sum() + x).eval(), picture(), "variance")
    assert result.changes == {"variance": 1} and "var" not in operators(result)


def test_a_variance_of_everything_stays():
    untouched(Formula(lambda x: x + x.var()).eval(), picture(), "variance")


@EXACT
@given(dim=st.sampled_from([1, -1, (2, 3)]), keepdim=st.booleans())
def test_lengths_become_roots_of_sums(dim, keepdim):
    result = exact(Formula(lambda x: torch.linalg.vector_norm(x, 2, dim, keepdim) + x.mean()).eval(), picture(), "vector_norm")
    assert result.changes == {"vector_norm": 1} and {"sum", "sqrt"} <= set(operators(result))


def test_other_lengths_stay():
    untouched(Formula(lambda x: x / torch.linalg.vector_norm(x, 1, 1, keepdim=True)).eval(), picture(), "vector_norm")
    untouched(Formula(lambda x: x / torch.linalg.vector_norm(x)).eval(), picture(), "vector_norm")


@pytest.mark.parametrize(("exponent", "expected"), [(2, "mul"), (2.0, "mul"), (3, "mul"), (0.5, "sqrt"), (-0.5, "rsqrt")])
def test_small_powers_become_products_and_roots(exponent, expected):
    result = exact(Formula(lambda x: (x + 1) ** exponent).eval(), picture(), "power")
    assert result.changes == {"power": 1} and expected in operators(result) and "pow" not in operators(result)


def test_other_powers_stay():
    untouched(Formula(lambda x: (x + 1) ** 1.7).eval(), picture(), "power")


@EXACT
@given(dims=st.sampled_from([(1,), (-1,), (0,), (2,), (2, 3), (1, 2), (1, 3), (1, 2, 3), (0, 1, 2, 3)]), keepdim=st.booleans(), mean=st.booleans())
def test_means_and_sums_become_products(dims, keepdim, mean):
    net = Formula(lambda x: (x.mean if mean else x.sum)(dims, keepdim=keepdim).reshape(-1, 1) + x.flatten()[:1])
    result = exact(net.eval(), picture(), "channel_sums")
    native = mean and keepdim and dims == (2, 3)
    assert result.changes == {"channel_sums": 0 if native else 1} and "sum" not in operators(result)
    assert operators(result)["mean"] == (1 if dims == (2, 3) else 0)


def test_a_mean_over_channels_is_one_convolution_and_over_the_last_side_one_linear_layer():
    assert operators(exact(Formula(lambda x: x - x.mean(1, keepdim=True)).eval(), picture(), "channel_sums")) == {"conv2d": 1, "sub": 1}
    assert operators(exact(Formula(lambda x: x - x.mean(-1, keepdim=True)).eval(), picture(), "channel_sums")) == {"linear": 1, "sub": 1}


def test_whole_numbers_and_other_types_are_summed_as_they_were():
    untouched(Formula(lambda x: (x > 0.5).sum(1, keepdim=True) + x).eval(), picture(), "channel_sums")
    untouched(Formula(lambda x: x.sum(1, keepdim=True, dtype=torch.float32) + x).eval(), picture(), "channel_sums")


def test_normalized_directions_need_nothing_but_products_and_roots():
    names = ("vector_norm", "channel_sums", "remove_expansions")
    result = exact(Formula(lambda x: F.normalize(x, dim=-1)).eval(), picture(), *names)
    assert result.changes == dict.fromkeys(names, 1) and set(operators(result)) == {"mul", "linear", "sqrt", "clamp_min", "div"}


@EXACT
@given(groups=st.sampled_from([1, 2, 3, 6]), affine=st.booleans(), seed=st.integers(0, 99))
def test_group_norm_becomes_means_of_channels_averaged(groups, affine, seed):
    net = seeded(nn.GroupNorm(groups, 6, affine=affine, eps=1e-3), seed)
    result = exact(net, picture(6, seed=seed), "group_norm")
    assert result.changes == {"group_norm": 1} and operators(result)["mean"] == 4 and "group_norm" not in operators(result)


def test_group_norm_of_tokens_stays():
    untouched(Formula(lambda x: F.group_norm(x.flatten(2), 3)).eval(), picture(), "group_norm")
