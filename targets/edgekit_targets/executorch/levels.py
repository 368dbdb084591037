"""Levels coarse enough for XNNPACK: it refuses a file in which a layer's result has levels hundreds of times finer than one level of its input times one of
its weights, and then ends the process.

That happens behind a ReLU which lets nothing through: what comes out is zero, whatever its levels, or close to it and rounded far more coarsely already.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from edgekit.quantize import COARSEST
from edgekit_targets.executorch.quantizer import WEIGHTED, RangeObserver


def fit(graph: GraphModule) -> int:
    """Sets `least` of the observers of a prepared and calibrated graph; returns how many levels were too fine. In the order of execution, because coarser
    levels of one tensor may ask for coarser ones of the next."""
    coarsened = 0
    for node in graph.graph.nodes:
        result = _behind(graph, node) if node.target in WEIGHTED else None
        operands = [graph.get_submodule(str(n.target)) for n in node.all_input_nodes[:2] if n.op == "call_module"]
        if result is None or len(operands) != 2:
            continue
        least = _level(operands[0]) * _level(operands[1]) / COARSEST
        if _level(result) < least:
            result.least = least
            coarsened += 1
    return coarsened


def _level(observer: torch.nn.Module) -> float:
    """The coarsest, where each channel has its own."""
    return float(observer.calculate_qparams()[0].max())  # type: ignore[operator]


def _behind(graph: GraphModule, node: Node) -> RangeObserver | None:
    """What observes the result, or the activation that is fused with it."""
    while len(node.users) == 1:
        node = next(iter(node.users))
        if node.op == "call_module":
            found = graph.get_submodule(str(node.target))
            return found if isinstance(found, RangeObserver) else None
        if len(node.all_input_nodes) != 1:
            return None
    return None
