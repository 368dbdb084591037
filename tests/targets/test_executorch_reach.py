"""Blocks of restoration networks of which XNNPACK leaves nothing out, once they are rewritten: one partition, in float32 and in int8."""

import math

import pytest
import torch
from tiny import pictures, psnr
from torch import nn
from torch.nn import functional as F

from edgekit import rewrite
from edgekit.recipe import Quantize
from edgekit_targets.executorch import ExecuTorch
from edgekit_targets.executorch.host import Session
from edgekit_targets.executorch.quantizer import layers, statistics

SIDE, CHANNELS, WINDOW = 16, 8, 4


class Gated(nn.Module):
    """Normalization over channels, a gate, channel attention with a hard-sigmoid: NAFNet and MobileNetV3."""

    def __init__(self):
        super().__init__()
        self.wide, self.attend, self.back = nn.Conv2d(CHANNELS, 2 * CHANNELS, 1), nn.Conv2d(CHANNELS, CHANNELS, 1), nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x):
        centred = x - x.mean(1, keepdim=True)
        normal = centred / ((centred**2.0).mean(1, keepdim=True) + 1e-6).sqrt()
        a, b = self.wide(normal).chunk(2, 1)
        y = a * b
        return x + self.back(y * F.hardsigmoid(self.attend(y.mean((2, 3), keepdim=True))))


class Windowed(nn.Module):
    """Layer normalization of tokens and attention within windows: SwinIR."""

    def __init__(self):
        super().__init__()
        self.norm, self.qkv, self.proj = nn.LayerNorm(CHANNELS), nn.Linear(CHANNELS, 3 * CHANNELS), nn.Linear(CHANNELS, CHANNELS)

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = x.view(n, c, h // WINDOW, WINDOW, w // WINDOW, WINDOW).permute(0, 2, 4, 3, 5, 1).reshape(-1, WINDOW**2, c)
        q, k, v = self.qkv(self.norm(tokens)).reshape(-1, WINDOW**2, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        y = ((q @ k.transpose(-2, -1)) / math.sqrt(c)).softmax(-1) @ v
        y = self.proj(y.transpose(1, 2).reshape(-1, WINDOW**2, c))
        return x + y.view(n, h // WINDOW, w // WINDOW, WINDOW, WINDOW, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


class Transposed(nn.Module):
    """Attention between channels, by direction: Restormer."""

    def __init__(self):
        super().__init__()
        self.qkv, self.back = nn.Conv2d(CHANNELS, 3 * CHANNELS, 1), nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x):
        q, k, v = (part.flatten(2).view(1, 2, CHANNELS // 2, -1) for part in self.qkv(x).chunk(3, 1))
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        return x + self.back((scores.softmax(-1) @ v).reshape(x.shape))


class Styled(nn.Module):
    """Group normalization, a convolution whose weight the picture scales, ELU: diffusion's UNets, StyleGAN2, gated inpainting."""

    def __init__(self):
        super().__init__()
        self.norm, self.style = nn.GroupNorm(2, CHANNELS), nn.Linear(CHANNELS, CHANNELS)
        self.weight = nn.Parameter(torch.randn(1, CHANNELS, CHANNELS, 3, 3))

    def forward(self, x):
        weight = self.weight * self.style(x.mean((2, 3))).view(1, 1, CHANNELS, 1, 1)
        weight = weight * torch.rsqrt(weight.pow(2).sum((2, 3, 4)) + 1e-8).view(1, CHANNELS, 1, 1, 1)
        return x + F.elu(F.conv2d(F.silu(self.norm(x)), weight.view(CHANNELS, CHANNELS, 3, 3), padding=1))


def network(block: type[nn.Module]) -> nn.Module:
    """The block between convolutions; its picture is the given one and a little more."""
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.block, self.last = nn.Conv2d(3, CHANNELS, 3, padding=1), block(), nn.Conv2d(CHANNELS, 12, 3, padding=1)

        def forward(self, x):
            y = 0.2 * F.pixel_shuffle(self.last(self.block(self.first(x))), 2)
            return (F.interpolate(x, scale_factor=2, mode="bicubic") + y)[..., : 2 * SIDE, : 2 * SIDE]

    return Net().eval().requires_grad_(False)


@pytest.mark.parametrize("precision,floor", [("fp32", 90.0), ("int8", 35.0)])
@pytest.mark.parametrize("block", [Gated, Windowed, Transposed, Styled])
def test_nothing_of_it_stays_outside_the_delegate(block, precision, floor, tmp_path):
    net, tiles = network(block), [(p,) for p in pictures(6, seed=5, side=SIDE)]
    rewritten = rewrite.apply(net, tiles[0], ExecuTorch.rewrites)
    made = ExecuTorch().lower(rewritten.module, tiles[0], None if precision == "fp32" else Quantize("int8"), tiles, tmp_path / "net.pte")
    assert made.delegation is not None and made.delegation.leftovers == {}
    assert (made.delegation.delegated, made.delegation.partitions) == (made.delegation.total, 1)
    session = Session(made.file)
    assert min(psnr(session((p,))[0], net(p).clamp(0, 1)) for p in pictures(2, seed=9, side=SIDE)) >= floor


def test_sums_over_channels_are_no_layers_and_stay_float():
    graph = rewrite.apply(network(Gated), tuple(pictures(1, seed=5, side=SIDE)), ExecuTorch.rewrites).module
    sums = [n for n in statistics(graph) if n.target is torch.ops.aten.conv2d.default]
    assert len(sums) == 2 and not set(sums) & set(layers(graph).values())
    assert {"first", "block.wide", "block.attend", "block.back"} <= set(layers(graph))


def test_a_layer_of_zeros_runs_in_int8(tmp_path):
    """As NAFNet's residual gains of zero leave it; XNNPACK refused the file."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 3, 3, padding=1)]
    for value in layers[1].parameters():
        nn.init.zeros_(value)
    x = (torch.rand(1, 3, 16, 16),)
    made = ExecuTorch().lower(nn.Sequential(*layers).eval(), x, Quantize("int8"), [x], tmp_path / "zeros.pte")
    assert torch.isfinite(Session(made.file)(x)[0]).all()


@pytest.mark.parametrize("shape", [(1, 8, 16, 16), (1, 16, 8, 16)], ids=["behind a layer", "behind a reshape"])
def test_a_border_around_int8_that_float_reads(shape, tmp_path):
    """As KBNet's neighbourhoods and DAT's windows: XNNPACK refused the file."""

    class Bordered(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.back = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)

        def forward(self, x):
            y = F.pad(self.conv(x).reshape(shape), (1, 1, 1, 1))
            y = torch.sigmoid(y[..., 2:, 1:-1]) - y[..., :-2, 1:-1].exp()
            return self.back(y.reshape(1, 8, 16, 16))

    torch.manual_seed(0)
    net, x = Bordered().eval(), (torch.rand(1, 3, 16, 16),)
    made = ExecuTorch().lower(net, x, Quantize("int8"), [x], tmp_path / "bordered.pte")
    with torch.no_grad():
        assert psnr(Session(made.file)(x)[0], net(*x)) > 30


@pytest.mark.parametrize("activation", [nn.Mish(), nn.Softplus(), nn.LogSigmoid()], ids=lambda layer: type(layer).__name__)
def test_an_activation_of_exponentials_between_int8_layers_is_float_inside_one_partition(activation, tmp_path):
    """As MoSR's; ExecuTorch loaded the files and could not run them."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), activation, nn.Conv2d(8, 3, 3, padding=1)).eval().requires_grad_(False)
    net[0].weight *= 6
    tiles = [(p,) for p in pictures(4, seed=5, side=SIDE)]
    graph = rewrite.apply(net, tiles[0], ExecuTorch.rewrites).module
    made = ExecuTorch().lower(graph, tiles[0], Quantize("int8"), tiles, tmp_path / "activation.pte")
    assert made.delegation is not None and (made.delegation.partitions, made.delegation.leftovers) == (1, {})
    assert made.quantized[:1] == ("0",) and "2" in made.quantized
    with torch.no_grad():
        assert psnr(Session(made.file)(tiles[0])[0], net(*tiles[0]).clamp(0, 1)) > 38
