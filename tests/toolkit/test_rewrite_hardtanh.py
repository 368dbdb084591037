"""Hard tanh as a clamp."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture
from torch import nn

BOUNDS = st.sampled_from([(0, 1), (-1, 1), (0, 6), (-1.0, 1.0), (-0.5, 1), (-2, -1)])


@EXACT
@given(bounds=BOUNDS, inplace=st.booleans())
def test_bounds_are_written_out(bounds, inplace):
    network = nn.Sequential(nn.Upsample(scale_factor=2), nn.Hardtanh(*bounds, inplace=inplace)).eval()
    result = exact(network, 4 * picture(3, 8, 9) - 2, "hardtanh")
    assert result.changes == {"hardtanh": 1} and "hardtanh" not in operators(result) and "clamp" in operators(result)
