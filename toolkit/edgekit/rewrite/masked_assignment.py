"""`x[mask] = y[mask]`, `x[mask] = 4 + y[mask]` and `x[mask] = number` become a choice per pixel, `where`.

Why: how many values a mask takes is not known before the picture is, and no runtime here computes with shapes that it does not know (HVI-CIDNet turns RGB into hue
and back that way). torch.export traces it, but neither its shapes can be noted nor can a converter follow.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, calls, replace, shape_of

CHECKS = ("sym_size", "_assert_scalar", "sym_constrain_range", "_assert_tensor_metadata")


WITH_NUMBERS = (
    aten.add.Tensor, aten.sub.Tensor, aten.rsub.Scalar, aten.mul.Tensor, aten.div.Tensor, aten.neg.default, aten.remainder.Scalar
)  # fmt: skip
"""The same for each value, if the other operand is a number."""


RANDOM = (aten.rand.default, aten.randn.default, aten.empty.memory_format)
"""Operators that give something else each time."""


def masked_assignment(graph: GraphModule) -> int:
    """Returns the number of assignments replaced."""
    changed = 0
    for node in calls(graph, aten.index_put.default):
        steps = _assigned(node)
        if steps is None:
            continue
        source, (mask,) = node.args[0], node.args[1]  # type: ignore[misc]
        first, *rest = reversed(steps)
        value = first.args[0] if first.target is aten.index.Tensor else first
        with graph.graph.inserting_before(node):
            for step in rest:
                value = graph.graph.call_function(step.target, tuple(value if isinstance(a, Node) else a for a in step.args), step.kwargs)  # type: ignore[arg-type]
            new = graph.graph.call_function(aten.where.self, (mask, value, source))
        replace(graph, node, new)
        if first.target is aten.index.Tensor:
            _forget(graph, first)
        changed += 1
    return changed


def _assigned(node: Node) -> list[Node] | None:
    """The assigned values, the steps before them and last what they are made from: a tensor's values in the places of the mask, or a number. None if this is
    another kind of assignment."""
    source, indices, taken, *accumulate = node.args
    if any(accumulate) or node.kwargs or not isinstance(indices, list | tuple) or len(indices) != 1 or not isinstance(taken, Node):
        return None
    mask = indices[0]
    if not _is_mask(mask) or shape_of(mask) != shape_of(source):
        return None
    if shape_of(taken) == ():
        return [taken]
    steps, reader = [taken], node
    while all(user is reader or _is_check(user) for user in steps[-1].users):
        last = steps[-1]
        if last.target is aten.index.Tensor:
            return steps if _equal(last.args[1], [mask]) and shape_of(last.args[0]) == shape_of(mask) else None
        if last.target not in WITH_NUMBERS or len(last.all_input_nodes) != 1:
            return None
        steps, reader = [*steps, last.all_input_nodes[0]], last
    return None


def _equal(one: Any, other: Any) -> bool:
    """Whether two arguments are the same, or computed in the same way from the same: a mask is often written out twice."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if one is other or not (isinstance(one, Node) and isinstance(other, Node)):
        return one is other or (not isinstance(one, Node) and not isinstance(other, Node) and one == other)
    return (
        one.op == other.op == "call_function"
        and one.target is other.target
        and one.target not in RANDOM
        and not one.kwargs
        and not other.kwargs
        and _equal(one.args, other.args)
    )


def _is_mask(node: Any) -> bool:
    value = node.meta.get("val") if isinstance(node, Node) else None
    return isinstance(value, Tensor) and value.dtype == torch.bool


def _is_check(node: Node) -> bool:
    """Whether a node only looks at how many values there are."""
    named = any(name in str(node.target) for name in CHECKS) or getattr(node.target, "__module__", "") == "_operator"
    return node.op == "call_function" and named and all(map(_is_check, node.users))


def _forget(graph: GraphModule, taken: Node) -> None:
    for user in list(taken.users):
        _forget(graph, user)
    graph.graph.erase_node(taken)
