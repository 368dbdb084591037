"""Structured pruning: whole channels and whole residual blocks leave a network, and what remains is an ordinary, smaller network.

torch-pruning's dependency graph says which channels must go together. It takes PixelShuffle for an element-wise operator; `_teach_pixel_shuffle` tells it that
one channel behind the shuffle is factor**2 channels before it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgekit.errors import InvalidFile, MissingToolchain
from edgekit.quantize import matches
from edgekit.recipe import Prune

Pair = tuple[tuple[Tensor, ...], Tensor]
"""A calibration tile's inputs and its clean picture."""

Rebuild = Callable[[nn.Module], nn.Module]
"""Writes a network as a checkpoint and builds it again from that, without the file."""

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


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


@dataclass
class _Group:
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
    groups, kept = _groups(work, example, settings, tiles, rebuild)
    order = _order(groups, settings.multiple)
    goal = before * (1 - settings.ratio)

    def at(count: int) -> nn.Module:
        return _remove(work, example, groups, order[:count], settings.multiple)

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
    if rebuild and not _same(best, rebuild, example):
        raise InvalidFile("the pruned network cannot be built again from its state dict; expected other layers, or cost and ratio that leave more")
    widths = _widths(work, best)
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


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def macs(module: nn.Module, example: tuple[Tensor, ...]) -> float:
    """Multiplications of one run on `example`."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*example)
    return counter.get_total_flops() / 2


def remove_blocks(module: nn.Module, count: int, tiles: Sequence[Pair]) -> tuple[nn.Module, tuple[str, ...]]:
    """Removes `count` residual blocks, one after the other, each time the one whose absence changes the output least on `tiles`. Returns their first names.

    A residual block is a child of a Sequential of which at least two of its kind exist, that has convolutions and keeps its input's shape.
    """
    if not tiles:
        raise InvalidFile("removing blocks needs calibration tiles, got none; pass a calibration set")
    work = copy.deepcopy(module)
    inputs = [pair[0] for pair in tiles[:4]]
    with torch.no_grad():
        expected = [work(*x) for x in inputs]
    names = {id(child): name for name, child in work.named_modules()}
    gone: list[str] = []
    for _ in range(count):
        choices = _blocks(work, inputs[0])
        if len(choices) < 2:
            raise InvalidFile(f"{len(gone)} residual blocks can be removed, got blocks = {count}; expected at most that")
        errors = []
        for parent, index in choices:
            with _bypassed(parent, index), torch.no_grad():
                errors.append(sum(float((work(*x) - y).square().mean()) for x, y in zip(inputs, expected, strict=True)))
        parent, index = choices[min(range(len(choices)), key=errors.__getitem__)]
        gone.append(names[id(parent[index])])
        del parent[index]
    return work, tuple(gone)


def _blocks(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[tuple[nn.Sequential, int]]:
    shapes: dict[int, bool] = {}

    def note(child: nn.Module, given: tuple[Any, ...], result: Any) -> None:
        shapes[id(child)] = isinstance(result, Tensor) and isinstance(given[0], Tensor) and given[0].shape == result.shape

    hooks = [m.register_forward_hook(note) for m in module.modules()]
    with torch.no_grad():
        module(*inputs)
    for hook in hooks:
        hook.remove()
    found = []
    for parent in module.modules():
        if isinstance(parent, nn.Sequential):
            children = list(parent)
            for index, child in enumerate(children):
                alike = sum(type(other) is type(child) for other in children) > 1
                if (
                    alike
                    and any(True for _ in child.children())
                    and shapes.get(id(child))
                    and any(isinstance(m, CONVOLUTIONS) for m in child.modules())
                ):
                    found.append((parent, index))
    return found


@contextmanager
def _bypassed(parent: nn.Sequential, index: int) -> Iterator[None]:
    """Inside the block, the child hands on what it is given."""
    block = parent[index]
    parent[index] = nn.Identity()
    try:
        yield
    finally:
        parent[index] = block


def _graph(module: nn.Module, example: tuple[Tensor, ...]) -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise MissingToolchain("pruning", "torch-pruning", "prune") from error
    small: tuple[Tensor, ...] = tuple(e[..., : min(e.shape[-2], 32), : min(e.shape[-1], 32)] for e in example)
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    graph = torch_pruning.DependencyGraph().build_dependency(module, small, verbose=False)
    _teach_pixel_shuffle(graph)
    return graph


def _teach_pixel_shuffle(graph: Any) -> None:
    """Channel c behind PixelShuffle(f) is the channels c * f**2 .. (c + 1) * f**2 - 1 before it. The shuffle's own node counts channels behind it."""
    from torch_pruning._helpers import _HybridIndex

    def behind(area: int) -> Callable[[list[Any]], list[Any]]:
        return lambda indices: list({i.idx // area: _HybridIndex(i.idx // area, i.root_idx) for i in indices}.values())

    def before(area: int) -> Callable[[list[Any]], list[Any]]:
        return lambda indices: [_HybridIndex(i.idx * area + k, i.root_idx) for i in indices for k in range(area)]

    for node in list(graph.module2node.values()):
        function = getattr(node, "grad_fn", None)
        if "PixelShuffle" not in type(function).__name__:
            continue
        area = int(function._saved_upscale_factor) ** 2  # type: ignore[union-attr]
        for dependency in node.dependencies:
            if dependency.target in node.inputs:
                dependency.index_mapping[0] = before(area)
        for source in node.inputs:
            for dependency in source.dependencies:
                if dependency.target is node:
                    dependency.index_mapping[0] = behind(area)


def _groups(
    module: nn.Module, example: tuple[Tensor, ...], settings: Prune, tiles: Sequence[Pair], rebuild: Rebuild | None
) -> tuple[list[_Group], dict[str, str]]:
    """The groups of channels that may go, and the convolutions that may not, with the reason."""
    graph = _graph(module, example)
    names = {m: name for name, m in module.named_modules()}
    convolutions = [name for name, m in module.named_modules() if isinstance(m, CONVOLUTIONS)]
    for glob in settings.layers:
        if not any(matches(name, (glob,)) for name in convolutions):
            raise InvalidFile(f"prune: layers: '{glob}' fits no convolution; they are {', '.join(convolutions[:6])} ...")
    measured = _measure(module, settings, tiles)
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
            scores = _score(group, graph, names, measured, channels)
            found.append(_Group(root, producers, unit, scores.reshape(-1, unit).sum(1)))
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
    graph = _graph(trial, example)
    layer = trial.get_submodule(root)
    group = graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, list(range(count)))
    if not graph.check_pruning_group(group):
        return False
    group.prune()
    return _same(trial, rebuild, example)


def _same(module: nn.Module, rebuild: Rebuild, example: tuple[Tensor, ...]) -> bool:
    """Whether the network that `rebuild` makes of the state dict gives the same picture."""
    small = tuple(torch.rand_like(e[..., : min(e.shape[-2], 32), : min(e.shape[-1], 32)]) for e in example)
    try:
        with torch.no_grad():
            return torch.allclose(rebuild(module).eval()(*small), module.eval()(*small), atol=1e-5)
    except Exception:  # a builder may fail in any way on widths it does not expect
        return False


def _measure(module: nn.Module, settings: Prune, tiles: Sequence[Pair]) -> dict[str, dict[str, Tensor]]:
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


def _score(group: Any, graph: Any, names: dict[nn.Module, str], measured: dict[str, dict[str, Tensor]], channels: int) -> Tensor:
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


def _order(groups: Sequence[_Group], multiple: int) -> list[tuple[int, int]]:
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


def _remove(module: nn.Module, example: tuple[Tensor, ...], groups: Sequence[_Group], chunks: Sequence[tuple[int, int]], multiple: int) -> nn.Module:
    """A copy of `module` without the channels of `chunks`."""
    work = copy.deepcopy(module)
    if not chunks:
        return work
    graph = _graph(work, example)
    most = {index: max(number for other, number in chunks if other == index) for index, _ in chunks}
    for index, number in most.items():
        group = groups[index]
        layer = work.get_submodule(group.name)
        channels = group.weakest(number * multiple)
        graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, channels).prune()
    return work.eval()


def _widths(before: nn.Module, after: nn.Module) -> dict[str, tuple[int, int]]:
    def widths(module: nn.Module) -> dict[str, int]:
        return {name: m.out_channels for name, m in module.named_modules() if isinstance(m, CONVOLUTIONS)}

    old, new = widths(before), widths(after)
    return {name: (old[name], new[name]) for name in old if new.get(name, old[name]) != old[name]}
