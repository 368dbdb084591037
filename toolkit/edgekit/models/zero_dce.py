"""A low-light enhancer after Zero-DCE (Guo et al. 2020, arXiv 2001.06826): a small network looks at the picture and draws, for each pixel, a brightening curve.

The curve is x + a * (x - x**2), applied again and again with another `a` each time. Unlike the paper's, `a` is one for the three colours: grey stays grey,
so the network cannot cast a colour. The curve maps [0, 1] onto [0, 1] for a in [-1, 1], so nothing is clipped either.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekit.errors import InvalidCheckpoint
from edgekit.models.checkpoint import fit


class ZeroDCE(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3, H, W) in [0, 1].

    Seven 3x3 convolutions of `channels` with the paper's symmetric skips; `steps` curves follow one another.
    """

    scale = 1

    def __init__(self, channels: int = 32, steps: int = 4) -> None:
        super().__init__()
        self.steps = steps
        widths = [(3, channels), *[(channels, channels)] * 3, *[(2 * channels, channels)] * 2, (2 * channels, steps)]
        self.body = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in widths)

    def curves(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, steps, H, W) in [-1, 1]."""
        first, second, third, fourth, *later, last = self.body
        a = first(x).relu()
        b = second(a).relu()
        c = third(b).relu()
        y = fourth(c).relu()
        for conv, skip in zip(later, (c, b), strict=True):
            y = conv(torch.cat([skip, y], 1)).relu()
        return last(torch.cat([a, y], 1)).tanh()

    def bend(self, x: Tensor, curves: Tensor) -> Tensor:
        """Applies the curves in turn."""
        for step in range(self.steps):
            x = x + curves[:, step : step + 1] * (x - x * x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.bend(x, self.curves(x))


def matches(state: Mapping[str, Tensor]) -> bool:
    return set(state) == {f"body.{i}.{kind}" for i in range(7) for kind in ("weight", "bias")}


def from_state_dict(state: Mapping[str, Tensor]) -> ZeroDCE:
    """Builds the network whose width and number of curves the tensors show. Raises InvalidCheckpoint."""
    first, last = (state.get(f"body.{i}.weight", torch.empty(0)) for i in (0, 6))
    if first.ndim != 4 or last.ndim != 4 or min(first.shape) < 1 or not 1 <= last.shape[0] <= 64:
        raise InvalidCheckpoint(
            f"the tensors do not fit ZeroDCE: 'body.0.weight' is {tuple(first.shape)}, 'body.6.weight' {tuple(last.shape)}; expected convolutions' (out, in, 3, 3)"
        )
    with torch.device("meta"):
        network = ZeroDCE(first.shape[0], last.shape[0])
    fit(network, state)
    return network
