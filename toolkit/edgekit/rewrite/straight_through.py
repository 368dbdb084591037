"""x + (y - x) becomes y: the straight-through estimator, which gives training a gradient past a rounding or a choice (Bengio et al. 2013).

Why: networks with a codebook (VQ-VAE, RestoreFormer) keep it in inference. It adds rounding errors of x, coarse ones in int8, to a y that was exact, and carries
x past the choice: ExecuTorch (1.4) could not lower such an int8 network to XNNPACK.
"""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, calls, dtype_of, replace, shape_of, written

SAME = (aten.detach.default, aten.alias.default, aten.lift_fresh_copy.default)


def straight_through(graph: GraphModule) -> int:
    """Returns the number of sums replaced."""
    changed = 0
    for node in calls(graph, aten.add.Tensor):
        for one, other in (node.args[:2], node.args[1::-1]):
            difference = _itself(other)
            if not isinstance(difference, Node) or difference.target is not aten.sub.Tensor or "alpha" in {**node.kwargs, **difference.kwargs}:
                continue
            result, taken = difference.args[:2]
            alike = (
                isinstance(result, Node) and (shape_of(result), dtype_of(result)) == (shape_of(node), dtype_of(node)) and shape_of(node) is not None
            )
            if alike and isinstance(taken, Node) and _itself(taken) is _itself(one) and not written(node) and not written(difference):
                replace(graph, node, result)  # type: ignore[arg-type]
                changed += 1
                break
    return changed


def _itself(node: Any) -> Any:
    while isinstance(node, Node) and node.target in SAME:
        node = node.args[0]
    return node
