"""Whole residual blocks that matter least."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.errors import InvalidFile
from edgekit.prune.network import CONVOLUTIONS, Pair


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
