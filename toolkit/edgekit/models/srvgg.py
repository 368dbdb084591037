"""SRVGGNetCompact, the small network of Real-ESRGAN (Wang, Xie, Dong, Shan 2021, arXiv 2107.10833): a chain of convolutions and PReLU at the input's size,
one shuffle, and the picture itself, enlarged to the nearest pixel, carried past them. Parameter names are BasicSR's.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.shapes import Shapes


class SRVGGNetCompact(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3, H*scale, W*scale), nominally [0, 1] (not clamped here). `convolutions`: those between first and last."""

    def __init__(self, scale: int = 4, convolutions: int = 16, channels: int = 64) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1), nn.PReLU(channels)]
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU(channels)]
        self.body = nn.Sequential(*layers, nn.Conv2d(channels, 3 * scale * scale, 3, padding=1))
        self.upsampler = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        y = self.upsampler(self.body(x))
        return y + (F.interpolate(x, scale_factor=float(self.scale), mode="nearest") if self.scale > 1 else x)


def matches(state: Mapping[str, Tensor]) -> bool:
    """Convolutions at even numbers, PReLU's slopes, which have no bias, at odd ones."""
    expected = {f"body.{i}.{kind}" for i in range(len(state)) for kind in ("weight", "bias") if i % 2 == 0 or kind == "weight"}
    return {"body.0.weight", "body.1.weight", "body.2.weight"} <= set(state) <= expected and state["body.1.weight"].ndim == 1


def from_state_dict(state: Mapping[str, Tensor]) -> SRVGGNetCompact:
    """Builds the network whose depth, width and scale the tensors show. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "SRVGGNetCompact")
    last = shapes.count(r"body\.(\d{1,4})\.weight") - 1
    with torch.device("meta"):
        network = SRVGGNetCompact(shapes.shuffle(f"body.{last}.weight", 3), max(last // 2 - 1, 0), shapes.size("body.0.weight"))
    fit(network, state)
    return network
