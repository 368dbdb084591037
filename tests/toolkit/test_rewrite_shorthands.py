"""Operators that stand for simpler ones, windows along a side, and kernels that the network computes."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, seeded, untouched
from torch import nn

SHORT = {
    "addcmul": lambda x: torch.addcmul(x, x, x + 1, value=0.5),
    "addcdiv": lambda x: torch.addcdiv(x, x, x + 1, value=0.5),
    "channel_shuffle": lambda x: F.channel_shuffle(torch.cat([x, -x], 1), 2),
    "cosine_similarity": lambda x: x * F.cosine_similarity(x, x.flip(1), dim=1)[:, None],
    "diff": lambda x: F.pad(x.diff(dim=-1), (0, 1)),
    "exp2": torch.exp2,
    "lerp": lambda x: torch.lerp(x, x.flip(-1), 0.3) + torch.lerp(x, x.exp(), x),
    "nan_to_num": lambda x: torch.nan_to_num((x - 0.5).log(), nan=3.0),
    "rms_norm": lambda x: F.rms_norm(x, (11,)),
    "rot90": lambda x: x.rot90(1, (2, 3)),
    "__and__": lambda x: x * ((x > 0.2) & (x < 0.7)),
}


@pytest.mark.parametrize("name", sorted(SHORT))
def test_what_stands_for_simpler_operators_becomes_those(name):
    result = exact(Formula(SHORT[name]).eval(), picture(), "shorthands")
    assert result.changes["shorthands"] >= 1 and name not in operators(result)


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_are_written_out(layer):
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer(3, 3, batch_first=True)

        def forward(self, x):
            made, _ = self.layer(x.mean(2).transpose(1, 2))
            return x + made.transpose(1, 2).unsqueeze(2)

    result = exact(seeded(Rows()), picture(), "recurrent_layers")
    assert result.changes == {"recurrent_layers": 1}
    assert not [name for name in operators(result) if "rnn" in name or name in ("lstm", "gru")]


@EXACT
@given(dim=st.sampled_from([2, 3, -1]), size=st.integers(1, 5), step=st.integers(1, 5))
def test_windows_along_a_side(dim, size, step):
    result = exact(Formula(lambda x: (x.unfold(dim, size, step) * 2).mean(-1)).eval(), picture(), "unfolded_windows")
    assert result.changes == {"unfolded_windows": 1} and "unfold" not in operators(result)


@EXACT
@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    dilation=st.integers(1, 2),
    depthwise=st.booleans(),
    bias=st.booleans(),
)
def test_kernels_that_the_network_computes(kernel, stride, padding, dilation, depthwise, bias):
    shape = (3, 1, *kernel) if depthwise else (4, 3, *kernel)

    def function(x):
        weight = (torch.arange(shape[0] * shape[1] * kernel[0] * kernel[1], dtype=x.dtype).reshape(shape) * x.mean()).sin()
        offset = x.mean((0, 2, 3)).repeat(2)[: shape[0]] if bias else None
        return F.conv2d(x, weight, offset, stride, padding, dilation, groups=3 if depthwise else 1)

    result = exact(Formula(function).eval(), picture(height=10), "computed_kernels")
    assert result.changes == {"computed_kernels": 1} and "conv2d" not in operators(result)


def test_stored_kernels_and_other_groups_stay():
    untouched(seeded(nn.Conv2d(3, 4, 3)), picture(), "computed_kernels")
    untouched(Formula(lambda x: F.conv2d(x, x[0, 0, 0, 0] * torch.ones(6, 2, 1, 1, dtype=x.dtype), groups=2)).eval(), picture(4), "computed_kernels")


def test_whole_bounds_of_a_clamp_are_fractions():
    result = exact(Formula(lambda x: (x + 0.1).clamp(1e-4, 1).log()).eval(), picture(), "plain_arguments")
    (node,) = (n for n in result.module.graph.nodes if n.target is torch.ops.aten.clamp.default)
    assert result.changes == {"plain_arguments": 1} and [type(bound) for bound in node.args[1:]] == [float, float]


def test_wrapped_padding_alone():
    net = Formula(lambda x: F.pad(F.pad(x, (1, 1, 1, 1), mode="circular"), (1, 1, 1, 1), mode="reflect"))
    result = exact(net.eval(), picture(), "circular_padding")
    assert result.changes == {"circular_padding": 1} and operators(result)["pad"] == 1
