"""A style network, trained a little, in int8: its instance normalizations, written as means, stay float and inside the delegate."""

import pytest
import torch
from tiny import pictures, psnr
from torch import nn

import edgekit_targets
from edgekit import rewrite
from edgekit.recipe import Quantize
from edgekit_targets.toolchain import part

SIDE = 24


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *[
                m
                for _ in range(2)
                for m in (nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels, affine=True), nn.ReLU())
            ][:-1]
        )

    def forward(self, x):
        return x + self.body(x)


@pytest.fixture(scope="module")
def style() -> nn.Module:
    """Learns to keep a picture: 60 steps, so that its activations are those of a network that does something."""
    torch.manual_seed(0)
    down = [
        nn.ReflectionPad2d(2),
        nn.Conv2d(3, 8, 5),
        nn.InstanceNorm2d(8, affine=True),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1),
        nn.InstanceNorm2d(16),
        nn.ReLU(),
    ]
    up = [
        nn.ConvTranspose2d(16, 8, 3, 2, 1, output_padding=1),
        nn.InstanceNorm2d(8, affine=True),
        nn.ReLU(),
        nn.ReflectionPad2d(1),
        nn.Conv2d(8, 3, 3),
    ]
    net = nn.Sequential(*down, Residual(16), *up)
    batch = torch.cat(pictures(16, seed=3, side=SIDE))
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(60):
        loss = (net(batch) - batch).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize("name,floor", [("executorch", 40.0), ("tflite", 40.0)])
def test_int8_keeps_the_statistics_in_float_and_in_one_partition(style, name, floor, tmp_path):
    backend = edgekit_targets.backend(name)
    tiles = [(p,) for p in pictures(8, seed=5, side=SIDE)]
    network = rewrite.apply(style, tiles[0], backend.rewrites)
    assert network.changes["instance_norm"] == 5 and network.changes["pad_by_slices"] == 4
    made = backend.lower(network.module, tiles[0], Quantize("int8"), tiles, tmp_path / f"style{backend.suffix}")
    assert made.delegation is not None and (made.delegation.delegated, made.delegation.partitions) == (made.delegation.total, 1), made.delegation
    session = part(name, "host").Session(made.file)
    held_out = pictures(2, seed=9, side=SIDE)
    worst = min(psnr(session((p,))[0], style(p).clamp(0, 1)) for p in held_out)
    assert worst >= floor
