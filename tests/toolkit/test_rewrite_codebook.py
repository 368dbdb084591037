"""Codebooks: the choice of the nearest entry, its lookup, and the gradient's way around it."""

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, untouched

ENTRIES = torch.rand(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def nearest(x):
    """(99, 3) rows and (99, 1) places of the nearest entries."""
    rows = x.permute(0, 2, 3, 1).reshape(-1, 3)
    return rows, torch.cdist(rows, ENTRIES).argmin(1, keepdim=True)


def scattered(rows, places):
    return torch.zeros(len(rows), 5).to(rows).scatter_(1, places, 1)


def compared(rows, places):
    return F.one_hot(places.squeeze(1), 5).to(rows.dtype)


@EXACT
@given(form=st.sampled_from([scattered, compared]), product=st.sampled_from([torch.matmul, torch.mm]), seed=st.integers(0, 99))
def test_products_with_single_ones_become_a_lookup(form, product, seed):
    def choose(x):
        rows, places = nearest(x)
        return product(form(rows, places), ENTRIES).view(1, 9, 11, 3).permute(0, 3, 1, 2)

    result = exact(Formula(choose).eval(), picture(seed=seed), "remove_checks", "codebook")
    assert result.changes["codebook"] == 1 and operators(result)["embedding"] == 1
    assert not {"matmul", "mm", "scatter", "scatter_", "one_hot"} & set(operators(result))


def test_other_rows_stay():
    def twice(x):
        rows, places = nearest(x)
        return (scattered(rows, places) * 2) @ ENTRIES + torch.zeros(99, 5).to(rows).scatter_(1, places, 3) @ ENTRIES

    untouched(Formula(twice).eval(), picture(), "codebook")


def test_one_hot_rows_become_a_comparison():
    result = exact(Formula(lambda x: x * F.one_hot(x.argmax(1), 3).permute(0, 3, 1, 2)).eval(), picture(), "one_hot")
    assert result.changes == {"one_hot": 1} and operators(result)["eq"] == 1 and "one_hot" not in operators(result)


@EXACT
@given(swapped=st.booleans(), detached=st.booleans())
def test_the_straight_through_estimator_goes(swapped, detached):
    def through(x):
        y = x + 1
        rounded = (8 * y).round() / 8
        way = (rounded - y).detach() if detached else rounded - y
        return way + y if swapped else y + way

    result = exact(Formula(through).eval(), picture(), "straight_through")
    assert result.changes == {"straight_through": 1} and "sub" not in operators(result)


def test_other_sums_of_differences_stay():
    untouched(Formula(lambda x: x + (x * 2 - x.flip(-1)) + torch.sub(x.exp(), x, alpha=2)).eval(), picture(), "straight_through")
    untouched(Formula(lambda x: x + (x.mean(1, keepdim=True) - x)).eval(), picture(), "straight_through")


def test_checks_leave_the_graph():
    def checked(x):
        torch._assert_async((x > -1).all(), "below")
        return x * 2

    result = exact(Formula(checked).eval(), picture(), "remove_checks")
    assert result.changes["remove_checks"] == 1 and operators(result) == {"mul": 1}
