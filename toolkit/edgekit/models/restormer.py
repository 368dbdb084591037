"""Restormer (Zamir et al.: Efficient Transformer for High-Resolution Image Restoration, CVPR 2022, arXiv 2111.09881).

Its attention is between channels, over all pixels at once: what it gives at a pixel depends on the whole picture. Parameter names are the authors'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.shapes import Shapes

LEVELS = 4
EXPANSION = 2.66


class Norm(nn.Module):
    """Layer normalization of each pixel over its channels, (N, C, H, W) -> the same; without `biased` only the deviation is divided by."""

    def __init__(self, channels: int, *, biased: bool) -> None:
        super().__init__()
        self.body = nn.ParameterDict({"weight": torch.ones(channels), **({"bias": torch.zeros(channels)} if biased else {})})

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        deviation = ((centred * centred).mean(1, keepdim=True) + 1e-5).sqrt()
        weight = self.body["weight"].view(1, -1, 1, 1)
        return centred / deviation * weight + self.body["bias"].view(1, -1, 1, 1) if "bias" in self.body else x / deviation * weight


class Attention(nn.Module):
    """Multi-head attention between channels. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, heads: int, *, biased: bool) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, channels * 3, 1, bias=biased)
        self.qkv_dwconv = nn.Conv2d(channels * 3, channels * 3, 3, padding=1, groups=channels * 3, bias=biased)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=biased)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        q, k, v = (part.reshape(n, self.heads, c // self.heads, h * w) for part in self.qkv_dwconv(self.qkv(x)).chunk(3, 1))
        alike = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature
        return self.project_out((alike.softmax(-1) @ v).reshape(n, c, h, w))


class FeedForward(nn.Module):
    """(N, C, H, W) -> (N, C, H, W) through twice `hidden` channels."""

    def __init__(self, channels: int, hidden: int, *, biased: bool) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(channels, hidden * 2, 1, bias=biased)
        self.dwconv = nn.Conv2d(hidden * 2, hidden * 2, 3, padding=1, groups=hidden * 2, bias=biased)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=biased)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.dwconv(self.project_in(x)).chunk(2, 1)
        return self.project_out(F.gelu(a) * b)


class TransformerBlock(nn.Module):
    """(N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, heads: int, expansion: float, *, norm_biased: bool, biased: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = (Norm(channels, biased=norm_biased) for _ in range(2))
        self.attn = Attention(channels, heads, biased=biased)
        self.ffn = FeedForward(channels, int(channels * expansion), biased=biased)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class Resample(nn.Module):
    """Halves the sides and doubles the channels (`down`), or the other way round."""

    def __init__(self, channels: int, *, down: bool) -> None:
        super().__init__()
        conv = nn.Conv2d(channels, channels // 2 if down else channels * 2, 3, padding=1, bias=False)
        self.body = nn.Sequential(conv, nn.PixelUnshuffle(2) if down else nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Restormer(nn.Module):
    """(N, C, H, W) float32 in [0, 1], RGB or luma -> the same, nominally [0, 1] (not clamped here). H and W are multiples of 8.

    `blocks` and `heads` are those of the four levels, from full size to an eighth; `refinement` more blocks follow at full size.
    """

    scale, multiple_of = 1, 8

    def __init__(
        self,
        channels: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = EXPANSION,
        colours: int = 3,
        *,
        norm_biased: bool = True,
        biased: bool = False,
    ) -> None:
        super().__init__()
        self.colours = colours

        def level(width: int, number: int, index: int) -> nn.Sequential:
            made = (TransformerBlock(width, heads[index], expansion, norm_biased=norm_biased, biased=biased) for _ in range(number))
            return nn.Sequential(*made)

        c = channels
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(colours, c, 3, padding=1, bias=biased)})
        self.encoder_level1, self.down1_2 = level(c, blocks[0], 0), Resample(c, down=True)
        self.encoder_level2, self.down2_3 = level(2 * c, blocks[1], 1), Resample(2 * c, down=True)
        self.encoder_level3, self.down3_4 = level(4 * c, blocks[2], 2), Resample(4 * c, down=True)
        self.latent, self.up4_3 = level(8 * c, blocks[3], 3), Resample(8 * c, down=False)
        self.reduce_chan_level3, self.decoder_level3 = nn.Conv2d(8 * c, 4 * c, 1, bias=biased), level(4 * c, blocks[2], 2)
        self.up3_2 = Resample(4 * c, down=False)
        self.reduce_chan_level2, self.decoder_level2 = nn.Conv2d(4 * c, 2 * c, 1, bias=biased), level(2 * c, blocks[1], 1)
        self.up2_1 = Resample(2 * c, down=False)
        self.decoder_level1, self.refinement = level(2 * c, blocks[0], 0), level(2 * c, refinement, 0)
        self.output = nn.Conv2d(2 * c, colours, 3, padding=1, bias=biased)

    def forward(self, x: Tensor) -> Tensor:
        first = self.encoder_level1(self.patch_embed["proj"](x))
        second = self.encoder_level2(self.down1_2(first))
        third = self.encoder_level3(self.down2_3(second))
        y = self.up4_3(self.latent(self.down3_4(third)))
        y = self.up3_2(self.decoder_level3(self.reduce_chan_level3(torch.cat([y, third], 1))))
        y = self.up2_1(self.decoder_level2(self.reduce_chan_level2(torch.cat([y, second], 1))))
        return x + self.output(self.refinement(self.decoder_level1(torch.cat([y, first], 1))))


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"patch_embed.proj.weight", "encoder_level1.0.attn.temperature", "latent.0.attn.qkv_dwconv.weight"} <= set(state)


def from_state_dict(state: Mapping[str, Tensor]) -> Restormer:
    """Builds the network whose depths, widths and heads the tensors show. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "Restormer")
    levels = [*(f"encoder_level{i}" for i in range(1, LEVELS)), "latent"]
    channels, colours = shapes.size("patch_embed.proj.weight"), shapes.size("patch_embed.proj.weight", 1)
    if colours not in (1, 3):
        raise shapes.misfit(f"'patch_embed.proj.weight' takes {colours} channels, expected 1 or 3")
    hidden = shapes.size("latent.0.ffn.project_out.weight", 1)
    expansion = EXPANSION if int(8 * channels * EXPANSION) == hidden else (hidden + 0.5) / (8 * channels)
    with torch.device("meta"):
        network = Restormer(
            channels,
            [shapes.count(rf"{name}\.(\d{{1,4}})\.attn\.temperature") for name in levels],
            shapes.count(r"refinement\.(\d{1,4})\.attn\.temperature", least=0),
            [shapes.size(f"{name}.0.attn.temperature", ndim=3) for name in levels],
            expansion,
            colours,
            norm_biased="latent.0.norm1.body.bias" in state,
            biased="latent.0.attn.qkv.bias" in state,
        )
    fit(network, state)
    return network
