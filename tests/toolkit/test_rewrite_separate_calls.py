"""Layers that are called several times: one layer for each call."""

from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, picture, seeded, untouched
from torch import nn


class Again(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        self.layer, self.times, self.last = layer, times, nn.Conv2d(3, 3, 3)

    def forward(self, x):
        for _ in range(self.times):
            x = self.layer(x).tanh()
        return self.last(x)


@EXACT
@given(
    layer=st.sampled_from(
        [lambda b: nn.Conv2d(3, 3, 3, padding=1, bias=b), lambda b: nn.ConvTranspose2d(3, 3, 3, bias=b), lambda b: nn.Linear(11, 11, b)]
    ),
    times=st.integers(1, 4),
    bias=st.booleans(),
)
def test_each_call_gets_parameters_of_its_own(layer, times, bias):
    result = exact(seeded(Again(layer(bias), times)), picture(), "separate_calls")
    names = {name.rpartition(".")[0] for name, _ in result.module.named_parameters()}
    assert names == {"last", "layer", *(f"layer_{number}" for number in range(2, times + 1))}
    assert result.changes == {"separate_calls": times - 1}
    assert len({p.data_ptr() for p in result.module.parameters()}) == (times + 1) * (1 + bias) + (not bias), "copies share no memory"


def test_layers_that_are_called_once_stay():
    untouched(seeded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3))), picture(), "separate_calls")
