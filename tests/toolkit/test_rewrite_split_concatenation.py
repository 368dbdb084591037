"""A convolution of concatenated features, taken apart."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture, seeded, untouched
from torch import nn


class Joined(nn.Module):
    """`parts` convolutions of different widths, joined and convolved."""

    def __init__(self, parts, kernel=1, *, again=False, **options):
        super().__init__()
        self.first = nn.ModuleList(nn.Conv2d(3, i + 1, 3, padding=1) for i in range(parts))
        self.last = nn.Conv2d(sum(range(parts + 1)), 4, kernel, **options)
        self.again = again

    def forward(self, x):
        y = torch.cat([conv(x) for conv in self.first], 1)
        return self.last(y) + (y.mean() if self.again else 0)


@EXACT
@given(parts=st.integers(2, 6), bias=st.booleans(), stride=st.integers(1, 2), seed=st.integers(0, 99))
def test_each_part_gets_a_convolution(parts, bias, stride, seed):
    result = exact(seeded(Joined(parts, bias=bias, stride=stride), seed), picture(), "split_concatenation")
    found = operators(result)
    assert result.changes == {"split_concatenation": 1} and "cat" not in found and found["conv2d"] == 2 * parts


class Twice(nn.Module):
    """One weight, a parameter of its own, convolves two concatenations."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 6, 1, 1))
        self.other = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        one, two = (nn.functional.conv2d(torch.cat([x, y], 1), self.weight) for y in (2 * x, x * x))
        return self.other(torch.cat([one, two], 1))


def test_parts_are_layers_that_recipes_can_name():
    result = exact(seeded(Twice()), picture(), "split_concatenation")
    read = {str(n.args[1].target) for n in result.module.graph.nodes if "conv2d" in str(n.target)}
    assert result.changes == {"split_concatenation": 3} and len(read) == 6
    assert {"other.part0.weight", "other.part1.weight"} < read and all(path.endswith(".weight") for path in read)


@pytest.mark.parametrize("net", [Joined(3, 3), Joined(2, again=True)])
def test_others_stay(net):
    untouched(seeded(net), picture(), "split_concatenation")
