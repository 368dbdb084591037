"""Splits, views, expansions and stacked products, written with what XNNPACK has."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture, seeded, untouched
from test_rewrite_norms import Formula
from torch import nn

from edgekit import rewrite


@pytest.mark.parametrize(
    "same",
    [
        lambda x: x[..., :9, :11],
        lambda x: x[:, :, :, :],
        lambda x: x.detach(),
        lambda x: x.expand(1, 3, 9, 11),
        lambda x: x.view(1, 3, 9, 11),
        lambda x: x.reshape(x.shape),
        lambda x: x.type_as(x),
        lambda x: x.alias() if hasattr(x, "alias") else torch.ops.aten.alias(x),
    ],
)
def test_what_gives_back_what_it_got_goes(same):
    result = exact(Formula(lambda x: same(x + 1) * 2).eval(), picture(), "remove_identities")
    assert operators(result) == {"add": 1, "mul": 1}


def test_what_changes_something_stays():
    untouched(Formula(lambda x: x[..., 1:, :-1].reshape(-1).expand(2, -1) * 2).eval(), picture(), "remove_identities")
    cast = rewrite.apply(Formula(lambda x: x.float().double() + 1), (picture(),), ("remove_identities",))
    assert cast.module(picture()).dtype == torch.float64 and cast.changes == {"remove_identities": 0}


SPLITS = {
    "chunk": lambda x, dim: x.chunk(2, dim),
    "uneven chunk": lambda x, dim: x.chunk(4, dim),
    "split": lambda x, dim: x.split(2, dim),
    "sizes": lambda x, dim: x.split([1, x.shape[dim] - 1], dim),
    "unbind": lambda x, dim: x.unbind(dim),
}


@EXACT
@given(kind=st.sampled_from(sorted(SPLITS)), dim=st.sampled_from([1, 2, 3, -1, -3]))
def test_splits_become_slices(kind, dim):
    result = exact(Formula(lambda x: SPLITS[kind](x, dim)[-1].exp() + SPLITS[kind](x, dim)[0].sum()).eval(), picture(), "split_by_slices")
    assert result.changes["split_by_slices"] >= 1 and not {"chunk", "split", "split_with_sizes", "unbind"} & set(operators(result))


@EXACT
@given(
    view=st.sampled_from(
        [
            lambda x: x[0],
            lambda x: x[:, -1],
            lambda x: x.unsqueeze(0),
            lambda x: x.unsqueeze(-1),
            lambda x: x.squeeze(),
            lambda x: x.squeeze(0),
            lambda x: x.squeeze((0, 1)),
            lambda x: x.permute(0, 3, 2, 1).unsqueeze(1),
        ]
    )
)
def test_views_become_reshapings(view):
    result = exact(Formula(lambda x: view(x * 2).exp()).eval(), picture(), "reshape_views")
    assert result.changes["reshape_views"] >= 1 and not {"squeeze", "unsqueeze", "select"} & set(operators(result))


def test_a_view_that_is_written_through_stays():
    def clear(x):
        y = x * 2
        y[0, 1].mul_(0)
        return y

    assert exact(Formula(clear).eval(), picture(), "reshape_views")
    assert float(rewrite.apply(Formula(clear), (picture(),), ("reshape_views",)).module(picture())[:, 1].abs().max()) == 0


@EXACT
@given(stack=st.sampled_from([(4,), (2, 3), (1, 2, 2)]), sides=st.tuples(*[st.integers(1, 5)] * 3), seed=st.integers(0, 99))
def test_stacked_products_become_bmm(stack, sides, seed):
    (m, k, n), generator = sides, torch.Generator().manual_seed(seed)
    right = torch.rand(*stack, k, n, generator=generator, dtype=torch.float64)
    x = torch.rand(*stack, m, k, generator=generator, dtype=torch.float64)
    result = exact(Formula(lambda x: x @ (right * x.mean())).eval(), x, "batched_products")
    assert result.changes == {"batched_products": 1} and operators(result)["bmm"] == 1 and "matmul" not in operators(result)


def test_products_of_unlike_stacks_stay():
    right = torch.rand(1, 11, 2, dtype=torch.float64)
    untouched(Formula(lambda x: x @ (right * x.mean())).eval(), picture(), "batched_products")
    untouched(Formula(lambda x: x @ (right[0] * x.mean())).eval(), picture(), "batched_products")


def test_expansions_before_arithmetic_go_and_others_stay():
    narrow = Formula(lambda x: x * x[:, :1].expand(1, 3, 9, 11) + x[..., :1].expand_as(x))
    result = exact(narrow.eval(), picture(), "remove_expansions")
    assert result.changes == {"remove_expansions": 2} and not {"expand", "expand_as"} & set(operators(result))
    untouched(Formula(lambda x: x[:, :1].expand(1, 3, 9, 11) * 2).eval(), picture(), "remove_expansions")
    untouched(Formula(lambda x: x[:, :1].expand(1, 3, 9, 11).exp() + x).eval(), picture(), "remove_expansions")


@EXACT
@given(seed=st.integers(0, 99), bias=st.booleans())
def test_hard_sigmoid_folds_into_the_convolution_before_it(seed, bias):
    net = seeded(nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), nn.Hardsigmoid()), seed)
    net[0].weight.data *= 4
    result = exact(net, picture(), "hard_sigmoid", "fold_scales", "fold_mean_shift")
    assert operators(result) == {"conv2d": 1, "clamp": 1}


def test_features_behind_a_permutation_are_laid_out_as_others():
    net = seeded(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1), nn.PixelShuffle(2)))
    result = exact(Formula(lambda x: net(x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2))).double(), picture(), "plain_order")
    assert result.changes == {"plain_order": 1}
    again = rewrite.apply(result.module, (picture(),), ("plain_order",))
    assert again.changes == {"plain_order": 0}, "behind it, nothing is channels-last"


def test_views_become_reshapings_and_what_is_written_through_one_arrives():
    result = exact(Formula(lambda x: x.view(1, -1).mean(1).view(1, 1, 1, 1) * x).eval(), picture(), "free_views")
    assert result.changes == {"free_views": 2} and "view" not in operators(result) and operators(result)["reshape"] == 2

    def writes(x):
        y = x * 2
        y.view(3, 99).mul_(3)
        return y

    exact(Formula(writes).eval(), picture(), "free_views")
