"""Exact graph rewrites before lowering, one per file. Each takes an ATen graph and says how many places it changed.

"Exact" means: the same function up to float rounding, inside the tile. `collapse_tail` differs in the outermost pixels of a tile, where the second
convolution's zero padding showed; they lie in the halo and are cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from edgekit.errors import LoweringError, UnknownName
from edgekit.rewrite.clamp import clamp
from edgekit.rewrite.collapse_tail import collapse_tail
from edgekit.rewrite.fold_mean_shift import fold_mean_shift
from edgekit.rewrite.fold_scales import fold_scales
from edgekit.rewrite.uint8_io import uint8_io

REWRITES: dict[str, Callable[[GraphModule], int]] = {
    "fold_scales": fold_scales,
    "fold_mean_shift": fold_mean_shift,
    "collapse_tail": collapse_tail,
    "clamp": clamp,
    "uint8_io": uint8_io,
}


@dataclass(frozen=True)
class Rewritten:
    """`changes` maps each rewrite to the number of places it changed."""

    module: GraphModule
    changes: dict[str, int]


def to_graph(module: nn.Module, example: tuple[Tensor, ...]) -> GraphModule:
    """The network as a graph of ATen operators at the example's fixed shapes. Parameters keep their module paths: a convolution's layer name is its
    weight's path without `.weight`. Raises LoweringError if torch.export cannot trace the network."""
    try:
        with torch.no_grad():
            graph = torch.export.export(module.eval(), example).module(check_guards=False)
    except Exception as error:  # torch.export raises many types, user code any
        raise LoweringError(
            f"torch.export could not trace the network: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
    assert isinstance(graph, GraphModule)
    return graph


def apply(module: nn.Module, example: tuple[Tensor, ...], names: Sequence[str]) -> Rewritten:
    """Traces a copy of `module` and applies `names` in order; `module` itself is not changed. Raises UnknownName, LoweringError."""
    for name in names:
        if name not in REWRITES:
            raise UnknownName("rewrite", name, REWRITES)
    graph = to_graph(module, example)
    changes: dict[str, int] = {}
    for name in names:
        changes[name] = REWRITES[name](graph)
        graph.graph.eliminate_dead_code()
        graph.recompile()
    return Rewritten(graph, changes)
