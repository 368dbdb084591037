"""Formulas that exporters cannot write or write wrongly: extremes without their side, remainders of one, additions of next to nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, untouched

from edgekit.rewrite.graph import constant

EXTREMES = {
    "amax": lambda x, dim: x.amax(dim) - x,
    "amin": lambda x, dim: x.amin(dim).unsqueeze(dim) + x,
    "max": lambda x, dim: x.max(dim)[0] * 2,
    "min, kept": lambda x, dim: x - x.min(dim, keepdim=True)[0],
    "max, read twice": lambda x, dim: x.max(dim)[0] + x.max(dim)[0].relu(),
}


@EXACT
@given(kind=st.sampled_from(sorted(EXTREMES)), dim=st.sampled_from([0, 1, -3]), channels=st.integers(1, 6), height=st.integers(1, 9))
def test_extremes_are_taken_with_their_side(kind, dim, channels, height):
    result = exact(Formula(lambda x: EXTREMES[kind](x, dim)).eval(), picture(channels, height, 8), "extremes")
    assert result.changes["extremes"] >= 1 and not {"max", "min"} & set(operators(result))
    found = [n for n in result.module.graph.nodes if "aten.am" in str(n.target)]
    assert found and all(n.args[2] is True for n in found)


@pytest.mark.parametrize("function", [lambda x: x.amax(1, keepdim=True), lambda x: sum(x.max(1)), lambda x: torch.maximum(x, x * 2)])
def test_other_extremes_stay(function):
    untouched(Formula(function).eval(), picture(), "extremes")


@EXACT
@given(size=st.floats(0.1, 1000.0), channels=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_remainder_of_one_is_a_difference(size, channels, seed):
    result = exact(Formula(lambda x: (x - 0.5) * size % 1).eval(), picture(channels, seed=seed), "fractions")
    assert result.changes == {"fractions": 1} and operators(result)["floor"] == 1 and "remainder" not in operators(result)


@pytest.mark.parametrize("function", [lambda x: x * 9 % 6, lambda x: ((x * 9).int() % 1).double(), lambda x: (x * 9).int() % 1.0])
def test_other_remainders_stay(function):
    untouched(Formula(function).eval(), picture(), "fractions")


@EXACT
@given(addend=st.floats(1e-12, 1e-8), subtracts=st.booleans(), channels=st.integers(1, 4))
def test_next_to_nothing_is_added_as_a_tensor(addend, subtracts, channels):
    result = exact(Formula(lambda x: x / (x.round() - addend if subtracts else x.round() + addend)).eval(), picture(channels), "tiny_addends")
    assert result.changes == {"tiny_addends": 1}
    (added,) = [n for n in result.module.graph.nodes if str(n.target) in ("aten.add.Tensor", "aten.sub.Tensor")]
    assert constant(result.module, added.args[1]).tolist() == [addend]


@pytest.mark.parametrize("function", [lambda x: (x.mean() + 1e-9) * x, lambda x: (x * 0).add_(1e-9) + x, lambda x: (x * 0).sub_(1e-9) + x])
def test_one_value_stays_one_value_and_in_place_counts_too(function):
    assert exact(Formula(function).eval(), picture(), "tiny_addends").changes == {"tiny_addends": 1}


@pytest.mark.parametrize("addend", [0.0, 2e-8, 1.0])
def test_other_numbers_stay(addend):
    untouched(Formula(lambda x: x / (x + 1 + addend)).eval(), picture(), "tiny_addends")
