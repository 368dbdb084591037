"""Tensors of six and seven sides become tensors of at most five."""

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, untouched

from edgekit.rewrite.graph import shape_of
from edgekit.rewrite.rank_limit import LIMIT, steps


def low(result) -> bool:
    return all(len(shape_of(node) or ()) <= LIMIT for node in result.module.graph.nodes)


@given(st.data())
def test_steps_are_the_permutation(data):
    rank = data.draw(st.integers(1, 8))
    shape = data.draw(st.tuples(*[st.integers(1, 3)] * rank))
    order = data.draw(st.permutations(range(rank)))
    tensor = torch.arange(prod(shape))
    wanted = tensor.view(shape).permute(order).flatten()
    for sides, step in steps(shape, order):
        assert len(sides) == len(step) <= LIMIT
        tensor = tensor.reshape(sides).permute(step)
    assert torch.equal(tensor.flatten(), wanted)


def test_sides_that_stay_neighbours_are_one():
    assert steps((1, 4, 4, 8, 8, 8, 8), [0, 3, 5, 1, 2, 4, 6]) == [((16, 8, 8, 8, 8), (1, 3, 0, 2, 4))]
    assert len(steps((2, 3, 2, 3, 2, 3), [5, 4, 3, 2, 1, 0])) > 1


def windows(x, side=2):
    n, c, h, w = x.shape
    return x.view(n, c, h // side, side, w // side, side).permute(0, 2, 4, 3, 5, 1)


OPERATORS = {
    "arithmetic": lambda x: x * x.exp() + 2,
    "one value": lambda x: x * x.flatten().mean(),
    "norm": lambda x: torch.nn.functional.layer_norm(x, x.shape[-2:]),
    "linear": lambda x: torch.nn.functional.linear(x, torch.linspace(0, 1, 20, dtype=x.dtype).view(5, 4)),
    "softmax": lambda x: x.softmax(1),
    "slice": lambda x: x[:, 1:, ..., :2],
    "select": lambda x: x[:, 1] * 2,
    "transpose": lambda x: x.transpose(1, -2) + 1,
    "product": lambda x: x @ x.transpose(-1, -2),
    "one value on some sides": lambda x: x * x.mean((1, 2), keepdim=True) + x.amax(-1, keepdim=True),
    "fewer sides": lambda x: x + x[0, 0, 0],
    "constant": lambda x: x * torch.linspace(0, 1, x.shape[2] * 2, dtype=x.dtype).view(1, 1, -1, 1, 2, 1),
    "sum": lambda x: x.sum(2)[:, None] * x,
    "sum of sides apart": lambda x: x.sum((1, -1), keepdim=True) + x.sum((0, 3)).sum(),
    "sum of all": lambda x: x * x.amin((0, 1, 2, 3, 4, 5), keepdim=True) + x[:1, :1].mean((0, 1), keepdim=True),
    "square": lambda x: x.unsqueeze(1).flatten(-2) * 1,
}


@EXACT
@given(operator=st.sampled_from(sorted(OPERATORS)), batch=st.integers(1, 2), height=st.sampled_from([4, 6]))
def test_operators_of_six_sides(operator, batch, height):
    x = torch.cat([picture(4, height, 8, seed) for seed in range(batch)])
    result = exact(Formula(lambda x: OPERATORS[operator](windows(x)).flatten(2).tanh()).eval(), x, "rank_limit")
    assert low(result) and result.changes["rank_limit"] >= 1


def test_windows_are_one_permutation_between_two_reshapings():
    result = exact(Formula(lambda x: windows(x).reshape(1, -1, 4, 4).exp()).eval(), picture(4, 8, 8), "rank_limit")
    assert operators(result) == {"reshape": 2, "permute": 1, "exp": 1}


@pytest.mark.parametrize("function", [lambda x: x.unsqueeze(1).permute(0, 2, 4, 1, 3) * 2, lambda x: x.permute(0, 2, 3, 1).softmax(-1)])
def test_five_sides_stay(function):
    untouched(Formula(function).eval(), picture(4, 8, 8), "rank_limit")


def test_what_is_not_known_stays():
    result = exact(Formula(lambda x: windows(x).cumsum(1).flatten(1)).eval(), picture(4, 8, 8), "rank_limit")
    assert not low(result) and operators(result)["cumsum"] == 1


@pytest.mark.parametrize("function", [lambda x: x.squeeze() * 1, lambda x: (x * 2).squeeze((0, 1, 2, 3, 4)).squeeze(0), lambda x: x.squeeze(3) + 1])
def test_a_single_value_of_six_sides(function):
    result = exact(Formula(lambda x: x * function(x.mean().view(1, 1, 1, 1, 1, 1)).reshape(-1)).eval(), picture(), "rank_limit")
    assert low(result)
