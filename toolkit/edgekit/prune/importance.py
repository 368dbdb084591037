"""How much each channel matters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.prune.network import CONVOLUTIONS, Pair
from edgekit.recipe import Prune


def measure(module: nn.Module, settings: Prune, tiles: Sequence[Pair]) -> dict[str, dict[str, Tensor]]:
    """Per convolution, what the importance needs: {"out": (O,), "in": (I,)}."""
    layers = {name: m for name, m in module.named_modules() if isinstance(m, CONVOLUTIONS)}

    def by_side(layer: nn.Module, value: Tensor) -> dict[str, Tensor]:
        transposed = isinstance(layer, nn.ConvTranspose2d)
        first, second = value.sum((1, 2, 3)), value.sum((0, 2, 3))
        return {"out": second if transposed else first, "in": first if transposed else second}

    if settings.importance == "l1":
        return {name: by_side(m, m.weight.detach().abs()) for name, m in layers.items()}
    if settings.importance == "taylor":
        for p in module.parameters():
            p.requires_grad_(True)
        module.zero_grad()
        for inputs, clean in tiles:
            F.l1_loss(module(*inputs), clean).backward()
        found = {name: by_side(m, (m.weight.detach() * (m.weight.grad if m.weight.grad is not None else 0)).abs()) for name, m in layers.items()}
        module.zero_grad()
        return found
    sums: dict[str, Tensor] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_: nn.Module, given: tuple[Any, ...]) -> None:
            energy = given[0].detach().square().mean((0, 2, 3)).sqrt()
            sums[name] = sums.get(name, torch.zeros_like(energy)) + energy / len(tiles)

        return hook

    hooks = [m.register_forward_pre_hook(note(name)) for name, m in layers.items()]
    with torch.no_grad():
        for inputs, _ in tiles:
            module(*inputs)
    for hook in hooks:
        hook.remove()
    found = {}
    for name, m in layers.items():
        reading = by_side(m, m.weight.detach().square())["in"].sqrt() * sums[name]
        found[name] = {"in": reading, "out": torch.zeros_like(by_side(m, m.weight.detach())["out"])}
    return found


def score(group: Any, graph: Any, names: dict[nn.Module, str], measured: dict[str, dict[str, Tensor]], channels: int) -> Tensor:
    """Importance of each channel of the root, summed over everything that writes or reads it."""
    scores = torch.zeros(channels)
    for item in group:
        dep, indices = item
        layer = dep.target.module
        if not isinstance(layer, CONVOLUTIONS):
            continue
        side = "out" if graph.is_out_channel_pruning_fn(dep.handler) else "in"
        roots = torch.tensor(item.root_idxs if item.root_idxs is not None else indices)
        scores.index_add_(0, roots, measured[names[layer]][side][torch.tensor(indices)].float())
    return scores
