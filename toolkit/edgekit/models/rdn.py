"""RDN (Zhang, Tian, Kong, Zhong, Fu: Residual Dense Network for Image Super-Resolution, CVPR 2018, arXiv 1802.08797).

Parameter names are those of MMEditing and RDN-pytorch, which work on [0, 1]; files of EDSR-PyTorch, which works on 0..255, are read too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.edsr import upsampler
from edgekit.models.shapes import Shapes


class DenseLayer(nn.Module):
    """Its input with `growth` new channels behind: (N, C, H, W) -> (N, C + growth, H, W)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, growth, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(x).relu()], 1)


class ResidualDenseBlock(nn.Module):
    """(N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(DenseLayer(channels + i * growth, growth) for i in range(layers)))
        self.lff = nn.Conv2d(channels + layers * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.lff(self.layers(x))


class RDN(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 3, H*scale, W*scale), nominally [0, 1] (not clamped here).

    `tail` gives the channels behind each shuffle (None: `channels`).
    """

    def __init__(
        self, scale: int = 4, blocks: int = 16, channels: int = 64, growth: int = 64, layers: int = 8, tail: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4, 8):
            raise ValueError(f"RDN scale is {scale}; expected 2, 3, 4 or 8")
        self.scale = scale
        self.sfe1 = nn.Conv2d(3, channels, 3, padding=1)
        self.sfe2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.rdbs = nn.ModuleList(ResidualDenseBlock(channels, growth, layers) for _ in range(blocks))
        self.gff = nn.Sequential(nn.Conv2d(blocks * channels, channels, 1), nn.Conv2d(channels, channels, 3, padding=1))
        self.upscale = upsampler(scale, channels, tail)
        self.output = nn.Conv2d(tail[-1] if tail else channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.sfe1(x)
        y, blocks = self.sfe2(first), []
        for block in self.rdbs:
            y = block(y)
            blocks.append(y)
        return self.output(self.upscale(first + self.gff(torch.cat(blocks, 1))))


_EDSR_PYTORCH = [
    (r"SFENet(\d)", r"sfe\1"),
    (r"RDBs\.(\d+)\.convs\.(\d+)\.conv\.0", r"rdbs.\1.layers.\2.conv"),
    (r"RDBs\.(\d+)\.LFF", r"rdbs.\1.lff"),
    (r"GFF\.(\d)", r"gff.\1"),
    (r"UPNet\.(\d)", r"upscale.\1"),
]


def _from_edsr_pytorch(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """EDSR-PyTorch's names -> ours, and its range of 0..255 into the first and the last convolution."""
    tensors = {}
    for key, value in state.items():
        for pattern, new in _EDSR_PYTORCH:
            key = re.sub(rf"^{pattern}\.(weight|bias)$", lambda m, new=new: f"{m.expand(new)}.{m[m.re.groups]}", key)
        tensors[key] = value
    last = max((key for key in tensors if re.fullmatch(r"upscale\.\d\.weight", key)), default="upscale.0.weight").removesuffix(".weight")
    for kind in ("weight", "bias"):
        if f"{last}.{kind}" in tensors:
            tensors[f"output.{kind}"] = tensors.pop(f"{last}.{kind}") / 255
    if "sfe1.weight" in tensors:
        tensors["sfe1.weight"] = tensors["sfe1.weight"] * 255
    return tensors


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"sfe1.weight", "rdbs.0.lff.weight", "gff.0.weight"} <= set(state) or {"SFENet1.weight", "RDBs.0.LFF.weight", "UPNet.0.weight"} <= set(
        state
    )


def from_state_dict(state: Mapping[str, Tensor]) -> RDN:
    """Builds the network whose depths, widths and scale the tensors show. Raises InvalidCheckpoint."""
    tensors = _from_edsr_pytorch(state) if "SFENet1.weight" in state else dict(state)
    shapes = Shapes(tensors, "RDN")
    stages = [f"upscale.{2 * i}.weight" for i in range(shapes.count(r"upscale\.(\d)\.weight"))]
    scale = shapes.enlargement([*stages, "output.weight"])
    if scale not in (2, 3, 4, 8) or len(stages) != (1 if scale == 3 else scale.bit_length() - 1):
        raise shapes.misfit(f"{len(stages)} stages enlarge by {scale}, expected 2, 4 or 8 in steps of 2, or 3 at once")
    with torch.device("meta"):
        network = RDN(
            scale,
            shapes.count(r"rdbs\.(\d{1,4})\.lff\.weight"),
            shapes.size("sfe1.weight"),
            shapes.size("rdbs.0.layers.0.conv.weight"),
            shapes.count(r"rdbs\.0\.layers\.(\d{1,3})\.conv\.weight"),
            tuple(shapes.size(key, 1) for key in (*stages[1:], "output.weight")),
        )
    fit(network, tensors)
    return network
