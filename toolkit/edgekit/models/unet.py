"""A denoiser after U-Net (Ronneberger, Fischer, Brox 2015, arXiv 1505.04597) that predicts the noise (DnCNN: Zhang et al. 2017, arXiv 1608.03981).

No normalization (nothing to fold, nothing that a tile's statistics could change), strided 2x2 convolutions down, transposed 2x2 up, concatenated skips.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekit.errors import InvalidCheckpoint
from edgekit.models.checkpoint import fit


def pair(inputs: int, inner: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, inner, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(inner, outputs, 3, padding=1), nn.ReLU(inplace=True)
    )


class UNet(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3, H, W), nominally [0, 1] (not clamped here). H and W are multiples of `multiple_of`.

    `widths` are the channels at full size, half, quarter ... Pruned networks differ inside: `encoder_inner` and `decoder_inner` are the hidden widths of the
    pairs, `up` those of the enlarged maps, `decoder` those that a decoder hands on (None: as `widths`).
    """

    scale = 1

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 128),
        *,
        encoder_inner: tuple[int, ...] | None = None,
        up: tuple[int, ...] | None = None,
        decoder_inner: tuple[int, ...] | None = None,
        decoder: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        fine = widths[:-1]
        self.multiple_of = 2 ** len(fine)
        hidden, up, inner, outer = encoder_inner or widths, up or fine, decoder_inner or fine, decoder or fine
        self.encoder = nn.ModuleList(pair(3 if i == 0 else width, hidden[i], width) for i, width in enumerate(widths))
        self.down = nn.ModuleList(nn.Conv2d(width, width_below, 2, stride=2) for width, width_below in zip(fine, widths[1:], strict=True))
        below = (*outer[1:], widths[-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, width, 2, stride=2) for coarse, width in zip(below, up, strict=True))
        self.decoder = nn.ModuleList(pair(fine[i] + up[i], inner[i], outer[i]) for i in range(len(fine)))
        self.noise = nn.Conv2d(outer[0], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y, skips = self.encoder[0](x), []
        for down, encode in zip(self.down, self.encoder[1:], strict=True):  # pyright: ignore[reportArgumentType]
            skips.append(y)
            y = encode(down(y))
        for up, decode in zip(reversed(self.up), reversed(self.decoder), strict=True):  # pyright: ignore[reportArgumentType]
            y = decode(torch.cat([skips.pop(), up(y)], 1))
        return x - self.noise(y)


def matches(state: Mapping[str, Tensor]) -> bool:
    return "encoder.0.0.weight" in state and "decoder.0.0.weight" in state and "noise.weight" in state


def from_state_dict(state: Mapping[str, Tensor]) -> UNet:
    """Builds the network whose depth and widths the tensors show. Raises InvalidCheckpoint."""
    levels = len([key for key in state if re.fullmatch(r"encoder\.\d{1,2}\.0\.weight", key)])

    def width(key: str, axis: int = 0) -> int:
        shape = tuple(state[key].shape) if key in state else None
        if shape is None or len(shape) != 4 or min(shape) < 1:
            raise InvalidCheckpoint(
                f"the tensors do not fit UNet: '{key}' is {'missing' if shape is None else shape}, expected a convolution's (out, in, 3, 3)"
            )
        return shape[axis]

    if levels < 2:
        raise InvalidCheckpoint(f"the tensors do not fit UNet: there are {levels} encoders ('encoder.0.0.weight' ...), expected at least 2")
    inside = range(levels - 1)
    with torch.device("meta"):
        network = UNet(
            tuple(width(f"encoder.{i}.2.weight") for i in range(levels)),
            encoder_inner=tuple(width(f"encoder.{i}.0.weight") for i in range(levels)),
            up=tuple(width(f"up.{i}.weight", 1) for i in inside),
            decoder_inner=tuple(width(f"decoder.{i}.0.weight") for i in inside),
            decoder=tuple(width(f"decoder.{i}.2.weight") for i in inside),
        )
    fit(network, state)
    return network
