"""One partition of XNNPACK for what once cut it: wide mirrored padding, nearest enlargement of features, ELU, instance normalization."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit import rewrite
from edgekit.recipe import Quantize
from edgekit_targets import backend
from edgekit_targets.tflite.host import Session


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 7), nn.InstanceNorm2d(8, affine=True)
        self.small, self.last = nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.Conv2d(8, 3, 9)
        self.wide, self.wider, self.up, self.curve = nn.ReflectionPad2d(3), nn.ReflectionPad2d(4), nn.Upsample(scale_factor=2), nn.ELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.curve(self.norm(self.first(self.wide(x))))
        return self.last(self.wider(self.up(self.curve(self.small(y)))))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_nothing_is_left_outside(precision, tmp_path):
    torch.manual_seed(0)
    tflite, tile = backend("tflite"), (torch.rand(1, 3, 24, 32),)
    graph = rewrite.apply(Small().eval(), tile, tflite.rewrites)
    assert all(graph.changes[name] for name in ("wide_padding", "nearest_by_copies", "elu", "instance_norm"))
    made = tflite.lower(graph.module, tile, Quantize("int8") if precision == "int8" else None, [tile], tmp_path / "small.tflite").delegation
    assert made is not None and (made.partitions, made.leftovers) == (1, {}) and made.delegated == made.total


def test_a_view_of_what_a_convolution_gives(tmp_path):
    """Whose memory has its channels last then: litert-torch could not view it."""

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.level = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3 * 8 * 8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return y + self.level(y.view(1, -1)).view(1, 3, 1, 1)

    torch.manual_seed(0)
    net, tflite, tile = Flat().eval().requires_grad_(False), backend("tflite"), (torch.rand(1, 3, 8, 8),)
    made = tflite.lower(rewrite.apply(net, tile, tflite.rewrites).module, tile, None, [tile], tmp_path / "flat.tflite")
    assert float((Session(made.file)(tile)[0] - net(*tile).clamp(0, 1)).abs().max()) < 1e-5
