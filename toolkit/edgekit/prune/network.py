"""What pruning asks of a network: its layers, what it costs, and whether it can be built again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

Pair = tuple[tuple[Tensor, ...], Tensor]
"""A calibration tile's inputs and its clean picture."""

Rebuild = Callable[[nn.Module], nn.Module]
"""Writes a network as a checkpoint and builds it again from that, without the file."""

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def macs(module: nn.Module, example: tuple[Tensor, ...]) -> float:
    """Multiplications of one run on `example`."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*example)
    return counter.get_total_flops() / 2


def changed_widths(before: nn.Module, after: nn.Module) -> dict[str, tuple[int, int]]:
    """Convolution -> its output channels (before, after), where they differ."""

    def widths(module: nn.Module) -> dict[str, int]:
        return {name: m.out_channels for name, m in module.named_modules() if isinstance(m, CONVOLUTIONS)}

    old, new = widths(before), widths(after)
    return {name: (old[name], new[name]) for name in old if new.get(name, old[name]) != old[name]}


def is_same(module: nn.Module, rebuild: Rebuild, example: tuple[Tensor, ...]) -> bool:
    """Whether the network that `rebuild` makes of the state dict gives the same picture."""
    small = tuple(torch.rand_like(e[..., : min(e.shape[-2], 32), : min(e.shape[-1], 32)]) for e in example)
    try:
        with torch.no_grad():
            return torch.allclose(rebuild(module).eval()(*small), module.eval()(*small), atol=1e-5)
    except Exception:  # a builder may fail in any way on widths it does not expect
        return False
