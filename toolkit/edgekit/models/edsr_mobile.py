"""A super-resolution network for camera preview: plain 3x3 convolutions at the input's size, one shuffle, and the picture itself carried past them.

It joins three published ideas: the picture skips the network in image space and only its detail is computed (ABPN: Du et al. 2021, arXiv 2105.09750); all
convolutions but the last are of one kind and end in ReLU (QuickSRNet: Berger et al. 2023, arXiv 2303.04336); and while training each is several linear
branches that become one 3x3 convolution afterwards (ECBSR: Zhang et al. 2021; SESR: Bhardwaj et al. 2022, arXiv 2101.06404).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.errors import InvalidCheckpoint
from edgekit.models.checkpoint import fit


class Branches(nn.Module):
    """A 3x3 convolution while it trains: 3x3, plus 1x1 -> 3x3 through `expand` times the width, plus 1x1, plus identity where the widths agree. All linear.

    `merged()` is the one convolution with the same function: (weight (O, I, 3, 3), bias (O,)). `forward` runs that, so training sees what will be shipped.
    """

    def __init__(self, inputs: int, outputs: int, expand: int = 2) -> None:
        super().__init__()
        self.plain = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.widen = nn.Conv2d(inputs, inputs * expand, 1, bias=False)
        self.narrow = nn.Conv2d(inputs * expand, outputs, 3, padding=1, bias=False)
        self.point = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.same = inputs == outputs

    def merged(self) -> tuple[Tensor, Tensor]:
        weight = self.plain.weight + torch.einsum("omhw,mi->oihw", self.narrow.weight, self.widen.weight[:, :, 0, 0])
        point = self.point.weight
        if self.same:
            point = point + torch.eye(point.shape[0], device=point.device)[:, :, None, None]
        assert self.plain.bias is not None
        return weight + F.pad(point, (1, 1, 1, 1)), self.plain.bias

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.merged()
        return F.conv2d(x, weight, bias, padding=1)


class Anchor(nn.Module):
    """The picture, enlarged bilinearly, in sub-pixel order: (N, 3, H, W) -> (N, 3 * scale**2, H, W). It does not train: free weights grow far beyond [0, 1]
    and the detail takes them back, which costs 10 dB once both are rounded to 8 bits."""

    weight: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.register_buffer("weight", bilinear(scale))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, padding=1)


class EDSRMobile(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3, H*scale, W*scale), nominally [0, 1] (not clamped here).

    `body` is a convolution with ReLU for each of `widths`; `tail` gives the detail and `anchor` the enlarged picture, in sub-pixel order.
    With `trainable` the convolutions are `Branches`; `merged()` gives the plain network with the same function.
    """

    def __init__(self, scale: int = 2, widths: tuple[int, ...] = (32,) * 6, *, trainable: bool = False) -> None:
        super().__init__()
        self.scale = scale
        out = 3 * scale * scale

        def conv(inputs: int, outputs: int) -> nn.Module:
            return Branches(inputs, outputs) if trainable else nn.Conv2d(inputs, outputs, 3, padding=1)

        self.body = nn.ModuleList(conv(inputs, outputs) for inputs, outputs in zip((3, *widths), widths, strict=False))
        self.tail = conv(widths[-1], out)
        self.anchor = Anchor(scale)
        with torch.no_grad():
            if isinstance(self.tail, Branches):
                for branch in (self.tail.plain, self.tail.narrow, self.tail.point):
                    branch.weight.mul_(0.1)  # it starts as the bilinear enlargement

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in self.body:
            y = F.relu(conv(y))
        return F.pixel_shuffle(self.tail(y) + self.anchor(x), self.scale)

    def merged(self) -> EDSRMobile:
        """The plain network. (N, 3, H, W) -> the same values up to float rounding."""
        state = {"anchor.weight": self.anchor.weight.detach().clone()}
        for name, module in self.named_modules():
            if isinstance(module, Branches):
                weight, bias = module.merged()
                state |= {f"{name}.weight": weight.detach().clone(), f"{name}.bias": bias.detach().clone()}
        return from_state_dict(state)


def bilinear(scale: int) -> Tensor:
    """Bilinear enlargement as a convolution before PixelShuffle: weight (3 * scale**2, 3, 3, 3)."""
    weight = torch.zeros(3, scale, scale, 3, 3, 3)
    for phase_y in range(scale):
        for phase_x in range(scale):
            rows, columns = (_taps((phase + 0.5) / scale - 0.5) for phase in (phase_y, phase_x))
            for channel in range(3):
                weight[channel, phase_y, phase_x, channel] = rows[:, None] * columns[None]
    return weight.reshape(-1, 3, 3, 3)


def _taps(offset: float) -> Tensor:
    """Weights of the pixels at -1, 0, 1 for a point at `offset`."""
    return torch.tensor([max(0.0, -offset), 1 - abs(offset), max(0.0, offset)])


def build() -> EDSRMobile:
    """The built-in network as it trains."""
    return EDSRMobile(trainable=True)


def merge(network: nn.Module) -> nn.Module:
    """The network as it ships."""
    assert isinstance(network, EDSRMobile)
    return network.merged()


def matches(state: Mapping[str, Tensor]) -> bool:
    return "anchor.weight" in state and "tail.weight" in state and "body.0.weight" in state


def from_state_dict(state: Mapping[str, Tensor]) -> EDSRMobile:
    """Builds the plain network whose depth, width and scale the tensors show. Raises InvalidCheckpoint."""
    convolutions = [state[key] for i in range(1000) if (key := f"body.{i}.weight") in state]
    anchor = state.get("anchor.weight", torch.empty(0))
    scale = {12: 2, 27: 3, 48: 4}.get(anchor.shape[0]) if anchor.shape[1:] == (3, 3, 3) else None
    if not convolutions or scale is None or any(c.ndim != 4 or min(c.shape) < 1 for c in convolutions):
        raise InvalidCheckpoint(
            f"the tensors do not fit EDSRMobile: 'anchor.weight' is {tuple(anchor.shape)} and there are {len(convolutions)} body weights; expected "
            "(12, 27 or 48, 3, 3, 3) and convolutions' (out, in, 3, 3)"
        )
    with torch.device("meta"):
        network = EDSRMobile(scale, tuple(c.shape[0] for c in convolutions))
    fit(network, state)
    return network
