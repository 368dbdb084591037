"""Operators that write in place: what a rewrite puts there shares no memory that the operator before it did not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from rewriting import Formula, exact, operators, picture


def through_a_view(x):
    y = 4 * x - 2
    F.mish(y[:, :2], inplace=True)
    return y


def through_a_view_of_a_view(x):
    y = 4 * x - 2
    y.flatten(2)[:, 1].relu_()
    return y * 2


def to_one_half(x):
    y = 4 * x - 2
    first, second = y[:, :2].chunk(2, 1)
    return F.mish(first, inplace=True) + second + y.sum(1, keepdim=True)


@pytest.mark.parametrize("function", [through_a_view, through_a_view_of_a_view, to_one_half])
def test_what_is_written_through_a_view_is_seen_by_those_that_read_the_whole(function):
    result = exact(Formula(function).eval(), picture(), "mish", "remove_noise")
    assert not {name for name in operators(result) if name.endswith("_")}


def test_a_view_that_alone_reads_is_written_in_place():
    """A trace whose writes become operators with results has no batch normalizations any more."""
    result = exact(Formula(lambda x: (4 * x - 2).flatten(2).relu_()).eval(), picture(), "remove_noise")
    assert operators(result)["relu_"] == 1


@pytest.mark.parametrize("copied", [lambda x: x * 1, lambda x: x + 0, lambda x: x + 0 * torch.randn_like(x)], ids=["x * 1", "x + 0", "x + no noise"])
@pytest.mark.parametrize("written", [lambda y: y.relu_(), lambda y: y.flatten(1)[:, ::2].relu_()], ids=["itself", "a view of it"])
def test_copies_that_are_written_stay_copies(copied, written):
    def network(x):
        y = x - 0.5
        z = copied(y)
        return written(z).sum() + z + y

    exact(Formula(network).eval(), picture(), "remove_noise")


def patches_of_one_pixel(x):
    y = x - 0.5
    z = F.unfold(y, 1)
    z.relu_()
    return z.view(y.shape) + y


def pixels_laid_side_by_side(x):
    y = x - 0.5
    z = F.fold(y.flatten(2), y.shape[-2:], 1)
    z.relu_()
    return z + y


@pytest.mark.parametrize(("function", "name"), [(patches_of_one_pixel, "neighbourhoods"), (pixels_laid_side_by_side, "fold")])
def test_patches_that_are_written_are_copies(function, name):
    assert exact(Formula(function).eval(), picture(), name).changes == {name: 1}


def test_a_mask_that_is_written_leaves_normalizations_whole():
    norm = torch.nn.BatchNorm2d(3).double().eval()

    def network(x):
        mask = torch.zeros(1, 1, *x.shape[-2:], dtype=x.dtype)
        mask[..., :4] = 1
        return norm(x) * mask

    assert operators(exact(Formula(network).eval(), picture(), "freeze_parameters")) == {"batch_norm": 1, "mul": 1}


@pytest.mark.parametrize(
    "function",
    [lambda y: y * torch.tensor(0.5, dtype=y.dtype), lambda y: F.dropout(y, 0.5, False) * 2],
    ids=["a constant made on the way", "dropout that is switched off"],
)
def test_beside_an_assignment(function):
    def network(x):
        y = 4 * x - 2
        y[:, :2] = function(y[:, :2])
        return function(y)

    exact(Formula(network).eval(), picture(), "slice_scatter", "freeze_parameters", "remove_noise")
