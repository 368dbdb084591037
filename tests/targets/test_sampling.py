"""Colour tables, bilateral grids and codebooks in int8: their layers have 256 levels; places, tables and what is only compared do not."""

import pytest
import torch
import torch.nn.functional as F
from tiny import pictures, psnr
from torch import nn

from edgekit import rewrite
from edgekit.recipe import Quantize
from edgekit_targets import backend
from edgekit_targets.devices.host import Host

SIDE = 16


class Table(nn.Module):
    """Zeng et al. 2020: tables of colours, mixed by what a small network says of the picture, read at each pixel's colour."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.share = nn.Linear(8, 2)
        axis = torch.linspace(0, 1, 9)
        same = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")[::-1])
        self.tables = nn.Parameter(torch.stack([same, same**0.5]))

    def forward(self, x):
        share = self.share(self.body(x).mean((2, 3))).softmax(1)
        table = (share.view(1, 2, 1, 1, 1, 1) * self.tables).sum(1)
        return F.grid_sample(table, (x * 2 - 1).permute(0, 2, 3, 1)[:, None], padding_mode="border", align_corners=True).squeeze(2)


class Grid(nn.Module):
    """Gharbi et al. 2017 (HDRNet): coefficients of a colour transform from the small picture, read at each pixel's place and brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 48, 3, 2, 1))
        self.guide = nn.Conv2d(3, 1, 1)
        nn.init.constant_(self.body[2].bias, 0.2)

    def forward(self, x):
        grid = self.body(F.interpolate(x, (8, 8), mode="bilinear")).view(1, 12, 4, 2, 2)
        y, z = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
        places = torch.stack([z[None], y[None], self.guide(x)[:, 0].tanh()], -1)[:, None]
        matrix = F.grid_sample(grid, places, padding_mode="border", align_corners=True).view(1, 3, 4, SIDE, SIDE)
        return (matrix[:, :, :3] * x[:, None]).sum(2) + matrix[:, :, 3]


@pytest.mark.parametrize("network", [Table, Grid])
@pytest.mark.parametrize("runtime", ["executorch", "tflite", "onnx", "coreml"])
def test_places_and_tables_are_not_rounded(runtime, network, tmp_path):
    torch.manual_seed(0)
    made, net = backend(runtime), network().eval().requires_grad_(False)
    tiles = [(p,) for p in pictures(6, seed=5, side=SIDE)]
    file = tmp_path / f"network{made.suffix}"
    made.lower(rewrite.apply(net, tiles[0], made.rewrites).module, tiles[0], Quantize("int8"), tiles, file)
    session = Host().session(file)
    assert min(psnr(session((p,))[0], net(p).clamp(0, 1)) for p in pictures(4, seed=9, side=SIDE)) > 45


class Codebook(nn.Module):
    """Each pixel becomes the nearest of 64 entries, by the squares and products of VQ-VAEs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 3, 3, padding=1)
        self.entries = nn.Parameter(0.5 * torch.randn(64, 16))

    def forward(self, x):
        rows = self.first(x).permute(0, 2, 3, 1).reshape(-1, 16)
        distance = rows.square().sum(1, keepdim=True) + self.entries.square().sum(1) - rows @ (2 * self.entries).t()
        return self.last(F.embedding(distance.argmin(1), self.entries).view(1, SIDE, SIDE, 16).permute(0, 3, 1, 2))


@pytest.mark.parametrize("runtime", ["executorch", "tflite", "onnx", "coreml"])
def test_distances_are_not_rounded(runtime, tmp_path):
    torch.manual_seed(0)
    made, net = backend(runtime), Codebook().eval().requires_grad_(False)
    tiles = [(p,) for p in pictures(6, seed=5, side=SIDE)]
    file = tmp_path / f"network{made.suffix}"
    lowered = made.lower(rewrite.apply(net, tiles[0], made.rewrites).module, tiles[0], Quantize("int8"), tiles, file)
    assert sorted(lowered.quantized) == ["first", "last"]
    session = Host().session(file)
    found = [psnr(session((p,))[0], net(p).clamp(0, 1)) for p in pictures(4, seed=9, side=SIDE)]
    print("Q", runtime, lowered.kept_float, found)
    assert min(found) > 20
