"""Structured pruning: whole channels and whole residual blocks leave a network, and what remains is an ordinary, smaller network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from edgekit.errors import InvalidFile
from edgekit.prune.blocks import remove_blocks
from edgekit.prune.groups import find_groups, removal_order, without
from edgekit.prune.network import Pair, Rebuild, changed_widths, is_same, macs, parameters
from edgekit.recipe import Prune


@dataclass(frozen=True)
class Pruned:
    """`widths` maps each convolution that lost output channels to (before, after); `blocks` names the removed residual blocks. Costs are before, after."""

    module: nn.Module
    widths: dict[str, tuple[int, int]]
    blocks: tuple[str, ...]
    parameters: tuple[int, int]
    macs: tuple[float, float]
    cost: tuple[float, float]
    kept: dict[str, str] = field(default_factory=dict)


def prune(
    module: nn.Module,
    example: tuple[Tensor, ...],
    settings: Prune,
    tiles: Sequence[Pair],
    *,
    rebuild: Rebuild | None = None,
    latency_ms: Callable[[nn.Module], float] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pruned:
    """A pruned copy of `module`, in eval mode; `module` itself is not changed.

    `example` has the shapes of one tile. `tiles` are needed for importance "taylor" and "activation", and for blocks. `rebuild`, if given, must be able to build
    what remains again: channels for which it cannot are kept, with the reason. `latency_ms` is needed for cost "latency".
    Raises InvalidFile if nothing can be pruned, or not that much; MissingToolchain without torch-pruning.
    """
    if settings.importance != "l1" and not tiles:
        raise InvalidFile(f"importance '{settings.importance}' needs calibration tiles, got none; pass a calibration set, or use importance 'l1'")
    if settings.cost == "latency" and latency_ms is None:
        raise InvalidFile("cost 'latency' needs a backend that can be timed here; use cost 'macs', or name a target")
    counted = {"macs": lambda m: macs(m, example), "parameters": parameters, "latency": latency_ms}[settings.cost]
    assert counted is not None
    original = copy.deepcopy(module).eval()
    work, gone = remove_blocks(original, settings.blocks, tiles) if settings.blocks else (original, ())
    before = counted(original)
    groups, kept = find_groups(work, example, settings, tiles, rebuild)
    order = removal_order(groups, settings.multiple)
    goal = before * (1 - settings.ratio)

    def at(count: int) -> nn.Module:
        return without(work, example, groups, order[:count], settings.multiple)

    low, high, best = 0, len(order), at(len(order)) if order else work
    if (least := counted(best)) > goal * 1.02:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(kept.items())[:3])
        raise InvalidFile(
            f"at most {1 - least / before:.0%} of the {settings.cost} can be removed, got ratio {settings.ratio:g}; expected less: choose a smaller ratio, "
            f"shared = true, blocks, or more layers{f' (kept: {reasons})' if reasons else ''}"
        )
    steps = max(1, len(order).bit_length())
    for step in range(steps + 1):
        if low >= high:
            break
        middle = (low + high) // 2
        candidate = at(middle)
        progress(step + 1, steps + 1)
        if counted(candidate) <= goal:
            high, best = middle, candidate
        else:
            low = middle + 1
    best = at(high).eval().requires_grad_(False)
    if rebuild and not is_same(best, rebuild, example):
        raise InvalidFile("the pruned network cannot be built again from its state dict; expected other layers, or cost and ratio that leave more")
    widths = changed_widths(work, best)
    if not widths and not gone:
        raise InvalidFile(
            f"nothing was pruned at ratio {settings.ratio:g} in steps of {settings.multiple} channels; expected a larger ratio or a smaller multiple"
        )
    return Pruned(
        best,
        widths,
        gone,
        (parameters(original), parameters(best)),
        (macs(original, example), macs(best, example)),
        (before, counted(best)),
        kept,
    )
