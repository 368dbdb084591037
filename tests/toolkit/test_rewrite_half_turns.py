"""The angle of a point on the horizontal axis, which exporters write wrongly."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, untouched


@EXACT
@given(step=st.sampled_from([0.25, 0.5, 1.0]), channels=st.integers(1, 4), seed=st.integers(0, 99))
def test_angles_on_the_axes_and_between_them(step, channels, seed):
    def angle(x):  # -0.0 + 0.0 is 0.0
        y, x = ((part / step).round() * step + 0.0 for part in (4 * x - 2).split([channels, channels], 1))
        return torch.atan2(y, x)

    result = exact(Formula(angle).eval(), picture(2 * channels, seed=seed), "half_turns")
    assert result.changes == {"half_turns": 1} and operators(result)["where"] == 1


def test_operands_of_different_shapes_and_two_angles():
    network = Formula(lambda x: torch.atan2(x[:, :1], x) + torch.atan2(x - 0.5, x.mean((2, 3), keepdim=True))).eval()
    assert exact(network, picture(), "half_turns").changes == {"half_turns": 2}


def test_other_angles_stay():
    untouched(Formula(lambda x: x.atan() + x.sin()).eval(), picture(), "half_turns")
