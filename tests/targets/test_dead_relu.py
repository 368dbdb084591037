"""A layer behind whose ReLU nothing gets through, as in MixDehazeNet's attention. XNNPACK refused the files, and in larger ones its cleaning up ended the
process."""

import pytest
import torch
from tiny import pictures, psnr
from torch import nn

from edgekit.recipe import Quantize
from edgekit_targets import backend
from edgekit_targets.devices.host import Host


class Dead(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.dead, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        y = self.first(x)
        return self.last(y + torch.relu(self.dead(y)))


@pytest.mark.parametrize("runtime", ["executorch", "tflite", "onnx"])
def test_it_runs_in_int8(runtime, tmp_path):
    torch.manual_seed(0)
    network = Dead()
    network.dead.bias = nn.Parameter(torch.full((8,), -100.0))
    network.eval().requires_grad_(False)
    tiles = [(p,) for p in pictures(2, seed=5, side=16)]
    file = tmp_path / f"dead{backend(runtime).suffix}"
    made = backend(runtime).lower(network, tiles[0], Quantize("int8"), tiles, file)
    assert {"first", "dead", "last"} <= set(made.quantized)
    assert psnr(Host().session(file)(tiles[0])[0], network(*tiles[0])) > 38
