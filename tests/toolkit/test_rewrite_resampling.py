"""Resizing, pooling and repetition, where a converter lacks PyTorch's form."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, untouched

BOTH = ("resampling", "bicubic_resampling")

KINDS = {
    "bicubic": {"mode": "bicubic"},
    "bicubic aligned": {"mode": "bicubic", "align_corners": True},
    "bicubic antialiased": {"mode": "bicubic", "antialias": True},
    "bilinear antialiased": {"mode": "bilinear", "antialias": True},
    "nearest": {"mode": "nearest"},
    "nearest-exact": {"mode": "nearest-exact"},
}


PLAIN = ("bicubic", "bicubic aligned")


@EXACT
@given(kind=st.sampled_from(sorted(KINDS)), size=st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_to_any_size(kind, size):
    result = exact(Formula(lambda x: F.interpolate(x + 1, size=size, **KINDS[kind])).eval(), picture(), *BOTH)
    stays = kind == "nearest" and size[0] % 9 == 0 and size[1] % 11 == 0
    assert result.changes == {"resampling": 0 if stays or kind in PLAIN else 1, "bicubic_resampling": int(kind in PLAIN)}


@EXACT
@given(kind=st.sampled_from(sorted(KINDS)), scale=st.sampled_from([0.25, 0.4, 0.5, 1.5, 2.0, 2.3]), recompute=st.booleans())
def test_by_any_factor(kind, scale, recompute):
    """Without `recompute`, the weights follow the factor that was asked for, not the sizes that came of it."""
    net = Formula(lambda x: F.interpolate(x, scale_factor=scale, recompute_scale_factor=recompute, **KINDS[kind]))
    exact(net.eval(), picture(height=12, width=10), *BOTH)


@pytest.mark.parametrize("kind", ["nearest", "nearest-exact"])
def test_every_second_pixel_is_a_slice(kind):
    result = exact(Formula(lambda x: F.interpolate(x, scale_factor=0.5, **KINDS[kind])).eval(), picture(height=8, width=12), "resampling")
    assert operators(result) == {"slice": 2}


def test_what_every_runtime_has_stays_and_so_do_whole_photographs():
    net = Formula(lambda x: F.interpolate(F.interpolate(x, scale_factor=2), scale_factor=2, mode="bilinear"))
    untouched(net.eval(), picture(), *BOTH)
    untouched(Formula(lambda x: F.interpolate(x, scale_factor=1.5, mode="bicubic")).eval(), picture(1, 2000, 2000), *BOTH)


@EXACT
@given(times=st.tuples(st.just(1), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)), whole=st.booleans())
def test_repetitions_become_products_and_copies(times, whole):
    result = exact(Formula(lambda x: (x if whole else x.mean((2, 3), keepdim=True)).repeat(times) * 2).eval(), picture(), "repeats")
    assert result.changes == {"repeats": 1} and "repeat" not in operators(result)


def test_expansions_become_products_too():
    result = exact(Formula(lambda x: torch.cat([x, x.mean((2, 3), keepdim=True).expand(-1, -1, 9, 11)], 1)).eval(), picture(), "repeats")
    assert result.changes == {"repeats": 1} and "expand" not in operators(result)
    untouched(Formula(lambda x: x.repeat(2, 1, 1, 1, 1)[0]).eval(), picture(), "repeats")


@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
def test_pooling_says_its_stride(pool):
    result = exact(Formula(lambda x: pool(x, (2, 3))).eval(), picture(), "plain_arguments")
    (node,) = (n for n in result.module.graph.nodes if "pool" in str(n.target))
    assert result.changes == {"plain_arguments": 1} and node.args[2] == [2, 3]
