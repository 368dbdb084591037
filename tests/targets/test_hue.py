"""Colour arithmetic of HVI-CIDNet, which exporters write wrongly or not at all, in every runtime's file: extremes over channels, hue as a remainder of one, and
1e-8 against divisions by zero on grey. In int8 files it stays in float: 256 levels of a hue cost more than those of all layers together."""

import math

import pytest
import torch
from tiny import pictures, psnr, through
from torch import nn

from edgekit import rewrite
from edgekit.recipe import Quantize
from edgekit_targets import backend
from edgekit_targets.devices.host import Host


class Hue(nn.Module):
    """(N, 3, H, W) -> value, saturation, and the distance of red from green as a turn, all in [0, 1]."""

    def forward(self, x):
        value, least = x.max(1)[0], x.min(1)[0]
        span = value - least
        turn = ((x[:, 0] - x[:, 1]) / (span + 1e-8) / 6) % 1
        return torch.stack([value, span / (value + 1e-8), turn], 1)


@pytest.mark.parametrize("runtime", ["executorch", "tflite", "onnx", "coreml"])
def test_hue_of_coloured_grey_and_black_pixels(runtime, tmp_path):
    torch.manual_seed(0)
    x = torch.rand(1, 3, 16, 16)
    x[..., :4], x[..., 4:6] = 0.5, 0.0
    found, expected = through(runtime, Hue().eval(), x, tmp_path)
    # A turn just below one may as well be one just above zero.
    difference = (found - expected).abs()
    difference[:, 2] = torch.minimum(difference[:, 2], 1 - difference[:, 2])
    assert difference.max() < 1e-5
    assert found[..., 2, :, :6].abs().max() < 1e-6


class Turn(nn.Module):
    """(N, 2, H, W) -> the angle of the point (second, first) as a turn in [0, 1], a half to the right."""

    def forward(self, x):
        return torch.atan2(x[:, :1], x[:, 1:]) / (2 * math.pi) + 0.5


@pytest.mark.parametrize("runtime", ["executorch", "tflite", "onnx", "coreml"])
def test_angles_in_all_quadrants_and_on_both_axes(runtime, tmp_path):
    values = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0])
    x = torch.stack(torch.meshgrid(values, values, indexing="ij"))[None].contiguous()
    found, expected = through(runtime, Turn().eval(), x, tmp_path)
    assert (found - expected).abs().max() < 1e-5
    assert found[0, 0, 2].tolist() == pytest.approx([1.0, 1.0, 0.5, 0.5, 0.5])


class Toned(nn.Module):
    """Layers on colours in polar coordinates, with what turns RGB into those and back, as HVI-CIDNet has it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        value, least = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
        turn = (x[:, :1] - x[:, 1:2]) / (value - least + 1e-8) / 6 % 1 * (2 * math.pi)
        bright = ((value * math.pi / 2).sin() + 1e-4).sqrt()
        saturation = (value - least) / (value + 1e-8) * bright
        polar = torch.cat([saturation * turn.cos(), saturation * turn.sin(), value], 1)
        a, b, value = (polar + 0.2 * self.second(self.first(polar).relu())).split(1, 1)
        value = value.clamp(0, 1)
        bright = ((value * math.pi / 2).sin() + 1e-4).sqrt()
        a, b = a / bright, b / bright
        turn, saturation = torch.atan2(b, a), (a * a + b * b).sqrt().clamp(0, 1)
        return torch.cat([value * (1 - saturation * (1 - (turn - phase).cos()) / 2) for phase in (0.0, 2.1, 4.2)], 1)


@pytest.mark.parametrize("runtime", ["executorch", "tflite", "onnx"])
def test_int8_rounds_no_colour_arithmetic(runtime, tmp_path):
    made = backend(runtime)
    torch.manual_seed(0)
    network, tiles = Toned().eval().requires_grad_(False), [(p,) for p in pictures(6, seed=5, side=16)]
    file = tmp_path / f"toned{made.suffix}"
    lowered = made.lower(rewrite.apply(network, tiles[0], made.rewrites).module, tiles[0], Quantize("int8"), tiles, file)
    session = Host().session(file)
    assert sorted(lowered.quantized) == ["first", "second"]
    assert min(psnr(session((p,))[0], network(p)) for p in pictures(4, seed=9, side=16)) > 60
