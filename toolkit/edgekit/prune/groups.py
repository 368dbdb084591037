"""Channels that go together: which may go, in which order, and the network without them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from edgekit.errors import InvalidFile
from edgekit.prune.dependencies import dependencies
from edgekit.prune.importance import measure, score
from edgekit.prune.network import CONVOLUTIONS, Pair, Rebuild, is_same
from edgekit.quantize import matches
from edgekit.recipe import Prune


@dataclass
class Group:
    """Channels that go together: `name` of the first producer, and the importance of each unit of `unit` neighbouring channels of it (4 before a shuffle by 2,
    else 1)."""

    name: str
    producers: tuple[str, ...]
    unit: int
    scores: Tensor

    def weakest(self, count: int) -> list[int]:
        """The channels of the `count` units that matter least."""
        units = self.scores.argsort()[:count].sort().values.tolist()
        return [unit * self.unit + k for unit in units for k in range(self.unit)]


def find_groups(
    module: nn.Module, example: tuple[Tensor, ...], settings: Prune, tiles: Sequence[Pair], rebuild: Rebuild | None
) -> tuple[list[Group], dict[str, str]]:
    """The groups of channels that may go, and the convolutions that may not, with the reason."""
    graph = dependencies(module, example)
    names = {m: name for name, m in module.named_modules()}
    convolutions = [name for name, m in module.named_modules() if isinstance(m, CONVOLUTIONS)]
    for glob in settings.layers:
        if not any(matches(name, (glob,)) for name in convolutions):
            raise InvalidFile(f"prune: layers: '{glob}' fits no convolution; they are {', '.join(convolutions[:6])} ...")
    measured = measure(module, settings, tiles)
    outputs = {names[m] for m, node in graph.module2node.items() if isinstance(m, CONVOLUTIONS) and not _reaches_convolution(node)}
    found, kept = [], {}
    for group in graph.get_all_groups(root_module_types=CONVOLUTIONS):
        items = [(names.get(dep.target.module, ""), dep, idxs) for dep, idxs in group if isinstance(dep.target.module, CONVOLUTIONS)]
        producers = tuple(dict.fromkeys(n for n, dep, _ in items if graph.is_out_channel_pruning_fn(dep.handler)))
        root = producers[0]
        layer = module.get_submodule(root)
        channels = graph.get_out_channels(layer)
        unit = len(graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, [0])[0].idxs)
        if not all(matches(n, settings.layers) for n in producers):
            kept[root] = "not among the layers to prune"
        elif outputs & set(producers):
            kept[root] = "its channels are the picture's"
        elif len(producers) > 1 and not settings.shared:
            kept[root] = f"a sum ties it to {len(producers) - 1} others (shared = true prunes them together)"
        elif channels <= settings.multiple * unit:
            kept[root] = f"has {channels // unit} channels, not more than the multiple of {settings.multiple}"
        elif rebuild and not _rebuilds(module, example, root, settings.multiple * unit, rebuild):
            kept[root] = "the network's builder cannot read its width from a state dict"
        else:
            scores = score(group, graph, names, measured, channels)
            found.append(Group(root, producers, unit, scores.reshape(-1, unit).sum(1)))
    if not found and not settings.blocks:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(kept.items())[:3])
        raise InvalidFile(f"no channel of this network can be pruned ({reasons}); expected other layers or shared = true")
    return found, kept


def _reaches_convolution(node: Any) -> bool:
    """Whether a convolution reads what this one writes; otherwise its channels are the picture's."""
    waiting, seen = list(node.outputs), set()
    while waiting:
        nxt = waiting.pop()
        if id(nxt) in seen:
            continue
        seen.add(id(nxt))
        if isinstance(nxt.module, CONVOLUTIONS):
            return True
        waiting.extend(nxt.outputs)
    return False


def _rebuilds(module: nn.Module, example: tuple[Tensor, ...], root: str, count: int, rebuild: Rebuild) -> bool:
    trial = copy.deepcopy(module)
    graph = dependencies(trial, example)
    layer = trial.get_submodule(root)
    group = graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, list(range(count)))
    if not graph.check_pruning_group(group):
        return False
    group.prune()
    return is_same(trial, rebuild, example)


def removal_order(groups: Sequence[Group], multiple: int) -> list[tuple[int, int]]:
    """(group, how many chunks of it are gone then), least important first. A group's scores count relative to its own mean, so that layers of another scale
    compare; a later chunk of a group never goes before an earlier one."""
    chunks = []
    for index, group in enumerate(groups):
        relative = (group.scores / group.scores.mean().clamp_min(1e-12)).sort().values
        removable = (len(relative) - 1) // multiple
        worst = 0.0
        for number in range(removable):
            worst = max(worst, float(relative[number * multiple : (number + 1) * multiple].mean()))
            chunks.append((worst, index, number + 1))
    return [(index, number) for _, index, number in sorted(chunks)]


def without(module: nn.Module, example: tuple[Tensor, ...], groups: Sequence[Group], chunks: Sequence[tuple[int, int]], multiple: int) -> nn.Module:
    """A copy of `module` without the channels of `chunks`."""
    work = copy.deepcopy(module)
    if not chunks:
        return work
    graph = dependencies(work, example)
    most = {index: max(number for other, number in chunks if other == index) for index, _ in chunks}
    for index, number in most.items():
        group = groups[index]
        layer = work.get_submodule(group.name)
        channels = group.weakest(number * multiple)
        graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, channels).prune()
    return work.eval()
