"""Sorts become the choice of all values."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, untouched

from edgekit import rewrite
from edgekit.errors import LoweringError


@EXACT
@given(dim=st.integers(-4, 3), descending=st.booleans(), places=st.booleans(), stable=st.sampled_from([None, False]))
def test_sorts_become_topk(dim, descending, places, stable):
    options = {} if stable is None else {"stable": stable}
    net = Formula(lambda x: torch.sort(x * 2, dim=dim, descending=descending, **options)[int(places)].double())
    result = exact(net.eval(), picture(), "sort_by_topk")
    assert result.changes == {"sort_by_topk": 1} and operators(result)["topk"] == 1 and not {"sort", "argsort"} & set(operators(result))


@EXACT
@given(descending=st.booleans(), dtype=st.sampled_from([torch.uint8, torch.bool, torch.int8, torch.int64]))
def test_whole_numbers_have_no_negative_where_zero_is_the_least(descending, dtype):
    net = Formula(lambda x: (x * 4).to(dtype).sort(-1, descending)[0].double())
    assert exact(net.eval(), picture(), "sort_by_topk").changes == {"sort_by_topk": 1}


@pytest.mark.parametrize("function", [lambda x: x.argsort(1), lambda x: x.argsort(-1, descending=True), lambda x: x.msort()])
def test_places_in_order_and_sorts_by_another_name(function):
    result = exact(Formula(lambda x: function(x).double()).eval(), picture(), "sort_by_topk")
    assert result.changes == {"sort_by_topk": 1} and not {"sort", "argsort", "msort"} & set(operators(result))


def test_a_stable_sort_is_refused_by_name():
    net = Formula(lambda x: torch.sort(x, dim=-1, stable=True)[0]).eval()
    with pytest.raises(LoweringError, match=r"keeps equal values in order \(aten.sort, stable\), which no runtime here does: .* torch.topk$"):
        rewrite.apply(net, (picture(),), ("sort_by_topk",))


def test_topk_stays():
    untouched(Formula(lambda x: x.topk(3, -1)[0] + 1).eval(), picture(), "sort_by_topk")
