"""Convolutions whose weights are multiplied per picture, as StyleGAN2's and GFPGAN's are."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, seeded, untouched
from torch import nn

from edgekit import rewrite


class Modulated(nn.Module):
    """One picture's style scales the weight's input channels; normalized, its output channels have unit length."""

    def __init__(self, inputs: int = 3, outputs: int = 5, kernel: int = 3, *, normalized: bool = True, bias: bool = True, stride: int = 1):
        super().__init__()
        self.style, self.weight = nn.Linear(inputs, inputs), nn.Parameter(torch.empty(1, outputs, inputs, kernel, kernel))
        self.normalized, self.bias, self.stride = normalized, nn.Parameter(torch.empty(outputs)) if bias else None, stride

    def forward(self, x):
        weight = self.weight * self.style(x.mean((2, 3))).view(1, 1, -1, 1, 1)
        if self.normalized:
            weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8).view(1, -1, 1, 1, 1)
        weight = weight.view(weight.shape[1:])
        return F.conv2d(x, weight, self.bias, stride=self.stride, padding=weight.shape[-1] // 2)


def read_by_convolutions_alone(result):
    """The names of convolutions' weights: constants that nothing else reads, so that no product of a whole weight is left."""
    weights = [n.args[1] for n in result.module.graph.nodes if n.target is torch.ops.aten.conv2d.default]
    assert all(w.op == "get_attr" and all(user.target is torch.ops.aten.conv2d.default for user in w.users) for w in weights)
    return [w.target for w in weights]


@EXACT
@given(
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 4),
    kernel=st.sampled_from([1, 3]),
    normalized=st.booleans(),
    bias=st.booleans(),
    stride=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_the_weight_is_constant_and_the_answer_the_same(inputs, outputs, kernel, normalized, bias, stride, seed):
    net = seeded(Modulated(inputs, outputs, kernel, normalized=normalized, bias=bias, stride=stride), seed)
    result = exact(net, picture(inputs, seed=seed), "modulated_convolution")
    assert result.changes == {"modulated_convolution": 1}
    assert [str(name) for name in read_by_convolutions_alone(result)] == ["weight"]


def test_the_layer_keeps_its_name_and_two_read_one_weight():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Modulated(3, 3)

        def forward(self, x):
            return self.layer(self.layer(x) / 8)

    result = exact(seeded(Twice()), picture(), "modulated_convolution")
    assert result.changes == {"modulated_convolution": 2}
    assert read_by_convolutions_alone(result) == ["layer.weight", "layer.weight"] and result.module.get_parameter("layer.weight").shape == (
        3,
        3,
        3,
        3,
    )


def test_a_weight_that_is_also_read_as_it_was_keeps_its_own_copy():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Modulated(3, 3)

        def forward(self, x):
            return self.layer(x) + x * self.layer.weight.sum((2, 3, 4))[:, :, None, None] * (self.layer.weight * x.mean()).amax()

    assert exact(seeded(Both()), picture(), "modulated_convolution").changes == {"modulated_convolution": 1}


def test_squares_written_as_a_product_and_factors_in_front():
    weight = torch.rand(4, 3, 3, 3, dtype=torch.float64)

    def function(x):
        mine = x.mean((0, 2, 3), keepdim=True) * weight
        mine = (mine * mine).sum((1, 2, 3), keepdim=True).rsqrt() * mine
        return F.conv2d(x, mine, padding=1)

    result = exact(Formula(function).eval(), picture(), "modulated_convolution")
    assert result.changes == {"modulated_convolution": 1}
    assert len(read_by_convolutions_alone(result)) == 1


@pytest.mark.parametrize("factor", ["per pixel of the kernel", "added"])
def test_other_computed_weights_stay(factor):
    weight = torch.rand(4, 3, 3, 3, dtype=torch.float64)

    def function(x):
        mine = weight * x[:, :, :3, :3] if factor == "per pixel of the kernel" else weight + x.mean((0, 2, 3), keepdim=True)
        return F.conv2d(x, mine, padding=1)

    untouched(Formula(function).eval(), picture(), "modulated_convolution")


def test_constant_weights_and_groups_stay():
    net = seeded(nn.Sequential(nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, 4, 1)))
    untouched(net, picture(), "modulated_convolution")
    grouped = Formula(lambda x: F.conv2d(x, torch.ones(3, 1, 3, 3, dtype=x.dtype) * x.mean(), groups=3)).eval()
    assert rewrite.apply(grouped, (picture(),), ["modulated_convolution"]).changes == {"modulated_convolution": 0}
    assert operators(exact(grouped, picture(), "modulated_convolution"))["conv2d"] == 1
