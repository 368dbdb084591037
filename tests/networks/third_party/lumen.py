"""Lumen: a U-shaped retouching network with large-kernel attention, as somebody else might have published it.

It stands for code that edgekit has never seen: it imports nothing of edgekit, keeps pictures as OpenCV does (BGR, 0 to 255), takes sides in multiples of
four, and carries what research code carries: a configuration, dropout, initialization, helpers for training that are not needed to run it.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn as nn
import torch.nn.functional as F

# Means of the training set, in OpenCV's channel order.
BGR_MEAN = (103.5, 111.2, 118.9)


@dataclass
class LumenConfig:
    """Everything that an experiment changes."""

    width: int = 12
    blocks: list[int] = field(default_factory=lambda: [1, 1])
    attention_kernel: int = 5
    attention_dilation: int = 2
    expansion: float = 2.0
    dropout: float = 0.1
    layer_scale: float = 0.1
    strength: float = 24.0

    @property
    def stride(self):
        return 2 ** len(self.blocks)


class ChannelNorm(nn.Module):
    """Layer normalization over the channels of each pixel, (N, C, H, W)."""

    def __init__(self, channels, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x):
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + self.eps)
        return x * self.weight[None, :, None, None] + self.bias[None, :, None, None]


class LargeKernelAttention(nn.Module):
    """A gate from a wide neighbourhood: depthwise, depthwise and dilated, pointwise."""

    def __init__(self, channels, kernel, dilation):
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.far = nn.Conv2d(
            channels,
            channels,
            kernel,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=channels,
        )
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.mix(self.far(self.near(x))))


class AttentionBranch(nn.Module):
    def __init__(self, channels, config):
        super().__init__()
        self.before = nn.Conv2d(channels, channels, 1)
        self.attention = LargeKernelAttention(channels, config.attention_kernel, config.attention_dilation)
        self.after = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return self.after(self.attention(F.gelu(self.before(x))))


class GatedMLP(nn.Module):
    """Half of the hidden channels gate the other half."""

    def __init__(self, channels, config):
        super().__init__()
        hidden = int(channels * config.expansion)
        self.expand = nn.Conv2d(channels, 2 * hidden, 1)
        self.spatial = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden)
        self.reduce = nn.Conv2d(hidden, channels, 1)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        value, gate = self.spatial(self.expand(x)).chunk(2, dim=1)
        return self.reduce(self.dropout(value * F.gelu(gate)))


class LumenBlock(nn.Module):
    def __init__(self, channels, config):
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.attention = AttentionBranch(channels, config)
        self.norm2 = ChannelNorm(channels)
        self.mlp = GatedMLP(channels, config)
        self.gamma1 = nn.Parameter(torch.full((1, channels, 1, 1), config.layer_scale))
        self.gamma2 = nn.Parameter(torch.full((1, channels, 1, 1), config.layer_scale))

    def forward(self, x):
        x = x + self.gamma1 * self.attention(self.norm1(x))
        return x + self.gamma2 * self.mlp(self.norm2(x))


class Down(nn.Module):
    """Half the size, twice the channels."""

    def __init__(self, channels):
        super().__init__()
        self.fold = nn.PixelUnshuffle(2)
        self.reduce = nn.Conv2d(4 * channels, 2 * channels, 1)

    def forward(self, x):
        return self.reduce(self.fold(x))


class Up(nn.Module):
    """Twice the size, half the channels, joined with what was passed on at that size."""

    def __init__(self, channels):
        super().__init__()
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.unfold = nn.PixelShuffle(2)
        self.join = nn.Conv2d(channels, channels // 2, 1)

    def forward(self, x, skip):
        return self.join(torch.cat([self.unfold(self.expand(x)), skip], dim=1))


class Lumen(nn.Module):
    """(N, 3, H, W) BGR, 0 to 255 -> the same, retouched. H and W are multiples of config.stride."""

    def __init__(self, config=None):
        super().__init__()
        self.config = config or LumenConfig()
        width, depths = self.config.width, self.config.blocks
        self.register_buffer("mean", torch.tensor(BGR_MEAN).view(1, 3, 1, 1))
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.encoder, self.down = nn.ModuleList(), nn.ModuleList()
        for level, depth in enumerate(depths):
            channels = width * 2**level
            self.encoder.append(self._stage(channels, depth))
            self.down.append(Down(channels))
        channels = width * 2 ** len(depths)
        self.bottleneck = self._stage(channels, depths[-1])
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for level, depth in reversed(list(enumerate(depths))):
            self.up.append(Up(width * 2 ** (level + 1)))
            self.decoder.append(self._stage(width * 2**level, depth))
        self.tail = nn.Conv2d(width, 3, 3, padding=1)
        self.apply(self._initialize)

    def _stage(self, channels, depth):
        return nn.Sequential(*[LumenBlock(channels, self.config) for _ in range(depth)])

    @staticmethod
    def _initialize(module):
        if isinstance(module, nn.Conv2d):
            fan = module.in_channels * module.kernel_size[0] * module.kernel_size[1] // module.groups
            nn.init.normal_(module.weight, std=1 / math.sqrt(fan))
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.05, 0.05)

    def check_size(self, x):
        height, width = x.shape[-2:]
        stride = self.config.stride
        if height % stride or width % stride:
            raise ValueError(f"Lumen needs sides in multiples of {stride}, got {height}x{width}")

    def forward(self, image):
        self.check_size(image)
        x = self.head((image - self.mean) / 255.0)
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            x = stage(x)
            skips.append(x)
            x = down(x)
        x = self.bottleneck(x)
        for up, stage in zip(self.up, self.decoder, strict=True):
            x = stage(up(x, skips.pop()))
        change = torch.tanh(self.tail(x)) * self.config.strength
        return image + change


def charbonnier(prediction, target, eps=1e-3):
    """The loss that it is trained with."""
    return torch.sqrt((prediction - target).pow(2) + eps**2).mean()


def load_pretrained(config=None, seed=7):
    """Stands for a download: weights that are the same every time."""
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        return Lumen(config)
    finally:
        torch.random.set_rng_state(generator_state)


def enhancer():
    """What edgekit calls."""
    return load_pretrained().eval()
