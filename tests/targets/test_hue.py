"""Colour arithmetic of HVI-CIDNet, which exporters write wrongly or not at all, in every runtime's file: extremes over channels, hue as a remainder of one, and
1e-8 against divisions by zero on grey."""

import pytest
import torch
from torch import nn

from edgekit import rewrite
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
    made = backend(runtime)
    torch.manual_seed(0)
    x = torch.rand(1, 3, 16, 16)
    x[..., :4], x[..., 4:6] = 0.5, 0.0
    network = Hue().eval()
    file = tmp_path / f"hue{made.suffix}"
    made.lower(rewrite.apply(network, (x,), made.rewrites).module, (x,), None, [(x,)], file)
    (found,) = Host().session(file)((x,))
    # A turn just below one may as well be one just above zero.
    difference = (found - network(x)).abs()
    difference[:, 2] = torch.minimum(difference[:, 2], 1 - difference[:, 2])
    assert difference.max() < 1e-5
    assert found[..., 2, :, :6].abs().max() < 1e-6
