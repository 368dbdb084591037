"""Layers of spandrel's architectures that torch.export or the runtimes cannot follow, and what takes their place: the same result, computed with the same
operators for every picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class MaskedExperts(nn.Module):
    """SeemoRe's mixture of experts (Zamfir et al. 2024, "See More Details"): (N, C, H, W) features and keys -> (N, C, H, W).

    All experts work, and those that the router did not choose count nothing: which ones it chooses depends on the picture. Of equal ones it takes the first.
    """

    earlier: Tensor

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.experts: nn.ModuleList = layer.experts
        self.gate: nn.Module = layer.gate
        self.chosen: int = layer.num_expert
        count = len(self.experts)
        self.register_buffer("earlier", torch.ones(count, count).tril(-1), persistent=False)

    def forward(self, features: Tensor, keys: Tensor) -> Tensor:
        weights = torch.softmax(self.gate(features), 1)
        own, other = weights.unsqueeze(2), weights.unsqueeze(1)
        ahead = (other > own).to(weights.dtype) + (other == own).to(weights.dtype) * self.earlier
        weights = weights * (ahead.sum(2) < self.chosen).to(weights.dtype)
        result = features
        for number, expert in enumerate(self.experts):
            result = result + expert(features, keys) * weights[:, number : number + 1, None, None]
        return result


class CategoryAttention(nn.Module):
    """ATD's attention within categories (Zhang et al. 2024, "Transcending the Limit of Local Window"): (N, places, 3C) queries, keys and values and (N, places,
    categories) similarities -> (N, places, C). Each place attends to others of its category, in groups of `category_size`.

    Places of one category stay in the picture's order, where the original leaves their order to torch's sort, which differs from machine to machine.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.proj: nn.Module = layer.proj
        self.logit_scale: nn.Parameter = layer.logit_scale
        self.heads: int = layer.num_heads
        self.category_size: int = layer.category_size

    def forward(self, qkv: Tensor, similarities: Tensor, size: tuple[int, int]) -> Tensor:
        batch, places, channels = *qkv.shape[:2], qkv.shape[2] // 3
        order = in_order(similarities.argmax(-1), similarities.shape[2])
        rows = _taken(qkv, order)
        group = min(places, self.category_size)
        missing = -places % group
        if missing:
            rows = torch.cat([rows, rows[:, places - missing :].flip(1)], 1)
        stacked = (part.reshape(-1, group, self.heads, channels // self.heads).transpose(1, 2) for part in rows.chunk(3, -1))
        queries, keys, values = stacked
        scale = self.logit_scale.clamp(max=math.log(100)).exp()
        attended = torch.softmax(queries @ keys.transpose(2, 3) * scale, -1) @ values
        result = attended.transpose(1, 2).reshape(batch, places + missing, channels)[:, :places]
        return self.proj(_taken(result, inverse(order)))


def in_order(numbers: Tensor, count: int) -> Tensor:
    """(N, places) whole numbers below `count` -> the places in rising order of their numbers, equal ones in theirs. As a choice of the largest of distinct keys:
    runtimes have no sort, or none that is stable. The keys are int32: `count` times the places must stay below 2^31."""
    places = numbers.shape[1]
    falling = torch.arange(places - 1, -1, -1, dtype=torch.int32, device=numbers.device)
    return torch.topk((count - 1 - numbers.to(torch.int32)) * places + falling, places).indices


def inverse(order: Tensor) -> Tensor:
    """(N, places) permutations -> those that undo them, in the same way."""
    places = order.shape[1]
    return torch.topk(places - 1 - order.to(torch.int32), places).indices


def _taken(rows: Tensor, places: Tensor) -> Tensor:
    """(N, places, C) rows at (N, places)."""
    return rows.gather(1, places.unsqueeze(-1).expand(rows.shape))


REPLACED: dict[str, Callable[[Any], nn.Module]] = {
    "spandrel.architectures.SeemoRe.__arch.seemore_arch.MoELayer": MaskedExperts,
    "spandrel.architectures.ATD.__arch.atd_arch.AC_MSA": CategoryAttention,
}
"""Class of a layer -> what makes its replacement of it. Parameters keep their paths."""


def centred(network: nn.Module, picture: Tensor) -> Tensor:
    """RestoreFormer's call: [-1, 1] inside, the first of its results. torchvision's normalization asks whether a deviation is zero, which nobody can trace."""
    return (network((picture - 0.5) / 0.5)[0] + 1) / 2


CALLS: dict[str, Callable[..., Tensor]] = {"RestoreFormer": centred}
"""spandrel's name of an architecture -> how its network is called, instead of spandrel's own way."""


def make_traceable(network: nn.Module) -> int:
    """Replaces such layers of `network`, in place. Returns how many there were."""
    changed = 0
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            replacement = REPLACED.get(f"{type(child).__module__}.{type(child).__qualname__}")
            if replacement:
                setattr(parent, name, replacement(child))
                changed += 1
    return changed
