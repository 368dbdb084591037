"""Hard tanh as a clamp."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, untouched
from torch import nn
from torch.nn import functional as F

BOUNDS = st.sampled_from([(0, 1), (-1, 1), (0, 6), (-1.0, 1.0), (-0.5, 1), (-2, -1)])


@EXACT
@given(bounds=BOUNDS, inplace=st.booleans())
def test_bounds_are_written_out(bounds, inplace):
    network = nn.Sequential(nn.Upsample(scale_factor=2), nn.Hardtanh(*bounds, inplace=inplace)).eval()
    result = exact(network, 4 * picture(3, 8, 9) - 2, "hardtanh")
    assert result.changes == {"hardtanh": 1} and "hardtanh" not in operators(result) and "clamp" in operators(result)


def test_whole_numbers_stay_whole():
    untouched(Formula(lambda x: F.hardtanh((9 * x).int(), -2, 2).double()).eval(), picture(), "hardtanh")
