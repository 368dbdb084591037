"""Sampling from volumes, where a runtime has none: colour tables and bilateral grids."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, untouched

SIZES = st.tuples(*[st.integers(1, 5)] * 3)


@EXACT
@given(sizes=SIZES, padding=st.sampled_from(["zeros", "border", "reflection"]), aligned=st.booleans(), reach=st.sampled_from([1.0, 1.5, 9.0]))
def test_between_eight_entries(sizes, padding, aligned, reach):
    """Also places far outside of the volume."""
    volume = torch.rand(1, 2, *sizes, dtype=torch.float64)

    def sampled(x):
        grid = ((x * 2 - 1) * reach).permute(0, 2, 3, 1).unsqueeze(1)
        return F.grid_sample(volume * x.mean(), grid, padding_mode=padding, align_corners=aligned).squeeze(2)

    result = exact(Formula(sampled).eval(), picture(), "volume_sampling")
    assert result.changes == {"volume_sampling": 1} and operators(result)["embedding"] == 8


@EXACT
@given(sizes=SIZES, padding=st.sampled_from(["zeros", "border", "reflection"]), aligned=st.booleans())
def test_the_nearest_entry(sizes, padding, aligned):
    volume = torch.rand(1, 2, *sizes, dtype=torch.float64)

    def sampled(x):
        grid = (x * 3 - 1.5).permute(0, 2, 3, 1).unsqueeze(1)
        return F.grid_sample(volume, grid, mode="nearest", padding_mode=padding, align_corners=aligned).squeeze(2)

    assert operators(exact(Formula(sampled).eval(), picture(), "volume_sampling"))["embedding"] == 1


@pytest.mark.parametrize("scale", [1e6, -1e6])
def test_places_beyond_all_whole_numbers(scale):
    net = Formula(lambda x: F.grid_sample(x[:, None], (x * 0 + scale).permute(0, 2, 3, 1)[:, None], align_corners=False))
    exact(net.eval(), picture(), "volume_sampling")


def test_pictures_and_batches_are_sampled_as_they_are():
    untouched(Formula(lambda x: F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False)).eval(), picture(), "volume_sampling")
    two = Formula(
        lambda x: F.grid_sample(x.expand(2, -1, -1, -1)[:, None], x.expand(2, -1, -1, -1).permute(0, 2, 3, 1)[:, None], align_corners=False)[:1]
    )
    untouched(two.eval(), picture(), "volume_sampling")
