"""One step of a conditional diffusion model, for denoising or super-resolution (Ho, Jain, Abbeel 2020, arXiv 2006.11239; Saharia et al.: SR3, arXiv 2104.07636;
sampled as in Song, Meng, Ermon: Denoising Diffusion Implicit Models, ICLR 2021, arXiv 2010.02502). The loop over steps is the host's (`edgekit.sampler`); the
network is exported once, never unrolled.

The network estimates the clean picture (Salimans, Ho 2022, arXiv 2202.00512, call it x-prediction): its output is a picture whatever the step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec, Sampler
from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract
from edgekit.models.degrade import diffused, noisy
from edgekit.models.shapes import Shapes


class TimedBlock(nn.Module):
    """((N, C, H, W), (N, T)) -> (N, C, H, W): a residual block whose middle is shifted by the time."""

    def __init__(self, channels: int, timed: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Linear(timed, channels)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return x + self.conv2(F.silu(self.conv1(F.silu(x)) + self.time(time)[:, :, None, None]))


class Diffusion(nn.Module):
    """((N, 3, H, W) the degraded picture in [0, 1], (N, 3, H, W) state, (N, 1) share of noise in [0, 1]), float32 -> (N, 3, H, W), the clean picture as estimated,
    nominally in [0, 1] (not clamped here). H and W are multiples of 2.

    The state is sqrt(1 - s) (2 x - 1) + sqrt(s) n for the clean picture x, the share of noise s and Gaussian n: of variance about 1 at every step.
    """

    scale = 1
    multiple_of = 2

    def __init__(self, channels: int = 32, blocks: int = 2, timed: int = 32) -> None:
        super().__init__()
        self.frequencies = timed // 2
        self.time = nn.Sequential(nn.Linear(timed, timed), nn.SiLU(), nn.Linear(timed, timed), nn.SiLU())
        self.head = nn.Conv2d(6, channels, 3, padding=1)
        self.fine = nn.ModuleList(TimedBlock(channels, timed) for _ in range(blocks))
        self.down = nn.Conv2d(channels, 2 * channels, 2, stride=2)
        self.coarse = nn.ModuleList(TimedBlock(2 * channels, timed) for _ in range(blocks))
        self.up = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
        self.join = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.last = nn.ModuleList(TimedBlock(channels, timed) for _ in range(blocks))
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, given: Tensor, state: Tensor, noise: Tensor) -> Tensor:
        time = self.time(self._waves(noise))
        x = self.head(torch.cat([state, 2 * given - 1], 1))
        for block in self.fine:
            x = block(x, time)
        y = self.down(x)
        for block in self.coarse:
            y = block(y, time)
        x = self.join(torch.cat([x, self.up(y)], 1))
        for block in self.last:
            x = block(x, time)
        return given + self.tail(F.silu(x))

    def _waves(self, noise: Tensor) -> Tensor:
        """(N, 1) -> (N, 2 * frequencies): sines and cosines of rising frequency, as transformers number positions."""
        rates = torch.exp(torch.arange(self.frequencies, device=noise.device) * (math.log(100.0) / max(1, self.frequencies - 1)))
        return torch.cat([torch.sin(noise * rates), torch.cos(noise * rates)], 1)


NOISE = (0.98, 0.85, 0.6, 0.3)
"""Shares of noise before each of the steps. Few, because each costs a run of the network; a denoiser needs few."""


def contract(network: Diffusion) -> Contract:
    """A denoiser: the degraded picture is the condition."""
    state = ImageSpec("state", colour="state", range=(-5.0, 5.0))
    inputs = (ImageSpec("image"), state, ImageSpec("noise", 1, "scalar"))
    return Contract(1, diffused(noisy(15, 25), NOISE), inputs=inputs, multiple_of=network.multiple_of, sampler=Sampler("ddim", NOISE))


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"time.0.weight", "head.weight", "coarse.0.time.weight", "join.weight", "tail.weight"} <= state.keys()


def from_state_dict(state: Mapping[str, Tensor]) -> Diffusion:
    """Builds the network whose widths and blocks the tensors show. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "Diffusion")
    with torch.device("meta"):
        network = Diffusion(shapes.size("head.weight"), shapes.count(r"fine\.(\d)\.conv1\.weight"), shapes.size("time.0.weight", 1, ndim=2))
    fit(network, state)
    return network
