"""What the backends' tests share: small smooth pictures, a plain PSNR, and a network's way through a backend."""

from pathlib import Path

import torch
from torch import nn

from edgekit import rewrite
from edgekit_targets import backend
from edgekit_targets.devices.host import Host


def pictures(count: int, seed: int = 0, side: int = 24) -> list[torch.Tensor]:
    """Smooth 8-bit pictures, (1, 3, side, side) float32 in [0, 1]."""
    coarse = torch.rand(count, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(seed))
    smooth = nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return [((p * 255).round() / 255)[None] for p in smooth]


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """dB, peak 1, without edgekit's own metric."""
    return float(-10 * torch.log10(((a - b) ** 2).mean()))


def through(runtime: str, network: nn.Module, x: torch.Tensor, folder: Path, clamped: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network's float32 file computes of `x` where it runs, and what the network does; each within [0, 1] where `clamped`."""
    made = backend(runtime)
    graph = rewrite.apply(network, (x,), [name for name in made.rewrites if clamped or name != "clamp"]).module
    with torch.no_grad():
        expected = network(x)
        file = made.lower(graph, (x,), None, [], folder / f"network{made.suffix}").file
    found = Host().run(file, [(x,)]).outputs[0][0]
    assert found.shape == expected.shape
    return found, expected.clamp(0, 1) if clamped else expected
