"""Sorts become the choice of all values."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, picture, untouched
from test_rewrite_norms import Formula

from edgekit import rewrite
from edgekit.errors import LoweringError


@EXACT
@given(dim=st.integers(-4, 3), descending=st.booleans(), places=st.booleans(), stable=st.sampled_from([None, False]))
def test_sorts_become_topk(dim, descending, places, stable):
    options = {} if stable is None else {"stable": stable}
    net = Formula(lambda x: torch.sort(x * 2, dim=dim, descending=descending, **options)[int(places)].double())
    result = exact(net.eval(), picture(), "sort_by_topk")
    called = {str(node.target) for node in result.module.graph.nodes}
    assert result.changes == {"sort_by_topk": 1} and "aten.topk.default" in called and not any("sort" in name for name in called)


def test_a_stable_sort_is_refused_by_name():
    net = Formula(lambda x: torch.sort(x, dim=-1, stable=True)[0]).eval()
    with pytest.raises(LoweringError, match=r"keeps equal values in order \(aten.sort, stable\), which no runtime here does: .* torch.topk$"):
        rewrite.apply(net, (picture(),), ("sort_by_topk",))


def test_topk_stays():
    untouched(Formula(lambda x: x.topk(3, -1)[0] + 1).eval(), picture(), "sort_by_topk")
