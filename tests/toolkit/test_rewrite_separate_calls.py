"""Layers that are called several times: one layer for each call."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, picture, seeded, untouched
from torch import nn
from torch.nn import functional as F

from edgekit.rewrite.graph import aten, layer_name


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


def test_they_are_numbered_as_they_are_called():
    result = exact(seeded(Again(nn.Conv2d(3, 3, 3), 3)), picture(), "separate_calls")
    read = [layer_name(node) for node in result.module.graph.nodes if node.target is aten.conv2d.default]
    assert read == ["layer", "layer_2", "layer_3", "last"]


class Bare(nn.Module):
    """A kernel that is a parameter of the network itself, read `times` times."""

    def __init__(self, times):
        super().__init__()
        self.kernel, self.times = nn.Parameter(torch.rand(3, 3, 3, 3)), times

    def forward(self, x):
        for _ in range(self.times):
            x = F.conv2d(x, self.kernel)
        return x


def test_kernels_without_a_layer_of_their_own():
    untouched(seeded(Bare(1)), picture(), "separate_calls")
    result = exact(seeded(Bare(2)), picture(), "separate_calls")
    assert [name for name, _ in result.module.named_parameters()] == ["kernel", "kernel_2.weight"]


def test_layers_that_are_called_once_stay():
    untouched(seeded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3))), picture(), "separate_calls")
