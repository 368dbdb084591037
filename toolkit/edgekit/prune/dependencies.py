"""torch-pruning's dependency graph says which channels must go together. It takes PixelShuffle for an element-wise operator; `_teach_pixel_shuffle` tells it
that one channel behind the shuffle is factor**2 channels before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from edgekit.errors import MissingToolchain


def dependencies(module: nn.Module, example: tuple[Tensor, ...]) -> Any:
    """torch-pruning's graph of `module`, traced on at most 32x32 px; all parameters ask for gradients then. Raises MissingToolchain."""
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
