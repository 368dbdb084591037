"""Every activation of torch.nn, through every backend: a file is made, runs, and computes it."""

from __future__ import annotations

import pytest
import torch
from tiny import through
from torch import nn

ACTIVATIONS = (
    *(
        nn.ReLU(),
        nn.ReLU6(),
        nn.LeakyReLU(),
        nn.LeakyReLU(0.2),
        nn.PReLU(),
        nn.PReLU(8),
        nn.RReLU(),
        nn.ELU(),
        nn.ELU(0.5),
        nn.SELU(),
        nn.CELU(),
        nn.CELU(2.0),
    ),
    *(
        nn.GELU(),
        nn.GELU("tanh"),
        nn.SiLU(),
        nn.Mish(),
        nn.Softplus(),
        nn.Softplus(2, 10),
        nn.Hardtanh(),
        nn.Hardtanh(0, 1),
        nn.Hardtanh(0, 2),
        nn.Hardswish(),
    ),
    *(
        nn.Hardsigmoid(),
        nn.Softsign(),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.LogSigmoid(),
        nn.Tanhshrink(),
        nn.Softshrink(),
        nn.Hardshrink(),
        nn.Threshold(0.1, 0.0),
    ),
    *(nn.GLU(1), nn.Softmax(1), nn.LogSoftmax(1), nn.Softmin(1)),
)

ROUGHER = {(runtime, "GELU(approximate='tanh')"): 1e-3 for runtime in ("executorch", "coreml")}
"""Farther off than 1e-4: XNNPACK computes, and coremltools writes, the exact GELU where its approximation by tanh was asked for."""


class Branches(nn.Module):
    """Each activation of what one convolution says, side by side: one file has them all. The slopes reach beyond 1."""

    def __init__(self, activations: tuple[nn.Module, ...]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(3, 8, 1) for _ in activations)
        self.activations = nn.ModuleList(activations)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([act(4 * conv(x)) for conv, act in zip(self.convolutions, self.activations, strict=True)], 1)


@pytest.mark.parametrize("runtime", ["executorch", "tflite", "onnx", "coreml"])
def test_every_activation(runtime, tmp_path):
    torch.manual_seed(0)
    found, expected = through(runtime, Branches(ACTIVATIONS).eval(), torch.rand(1, 3, 8, 8) * 2 - 1, tmp_path, clamped=False)
    sizes = [4 if isinstance(act, nn.GLU) else 8 for act in ACTIVATIONS]
    worst = [float((a - b).abs().max()) for a, b in zip(found.split(sizes, 1), expected.split(sizes, 1), strict=True)]
    most = [ROUGHER.get((runtime, str(act)), 1e-4) for act in ACTIVATIONS]
    assert not [f"{act}: {difference:.1e} off" for act, difference, bound in zip(ACTIVATIONS, worst, most, strict=True) if not difference < bound]
