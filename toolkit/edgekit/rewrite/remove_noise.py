"""Dropout that is switched off, slopes that are random in training only, x + 0, x * 1 and random numbers that change nothing leave the graph; random numbers
that do change something are an error.

Why: torch.export keeps dropout in evaluation mode as an operator, across which neither the other rewrites nor quantizers' patterns look; litert-torch and
coremltools convert no random numbers, and a file that draws its own cannot be compared with its reference: noise must be an input.
"""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from edgekit.errors import LoweringError
from edgekit.rewrite.graph import arguments, aten, calls, constant, dtype_of, is_random, replace, shape_of, written

DROPOUT = (
    aten.dropout.default,
    aten.dropout_.default,
    aten.feature_dropout.default,
    aten.feature_dropout_.default,
    aten.alpha_dropout.default,
    aten.alpha_dropout_.default,
    aten.feature_alpha_dropout.default,
    aten.feature_alpha_dropout_.default,
)

NEUTRAL: dict[Any, int] = {aten.add.Tensor: 0, aten.sub.Tensor: 0, aten.mul.Tensor: 1, aten.div.Tensor: 1}
"""Python's `sum` starts from 0, and a strength of 1 is a common default."""


def remove_noise(graph: GraphModule) -> int:
    """Returns the number of operators removed that change nothing. Raises LoweringError naming the module that draws random numbers into the output."""
    changed = 0
    for node in calls(graph, *DROPOUT):
        source, p, train = arguments(node)[:3]
        if train and p:
            raise LoweringError(f"{_where(node)} drops values at random (p = {p:g}) in evaluation too; pass training=self.training, or leave it out")
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
        changed += 1
    for node in calls(graph, aten.rrelu.default, aten.rrelu_.default):
        source, lower, upper, training = arguments(node)[:4]
        if not training:
            with graph.graph.inserting_before(node):
                replace(graph, node, graph.graph.call_function(aten.leaky_relu.default, (source, (lower + upper) / 2)))
            changed += 1
    for node in calls(graph, *NEUTRAL):
        source, number = node.args[:2]
        same = isinstance(source, Node) and shape_of(source) == shape_of(node) and dtype_of(source) == dtype_of(node)
        if same and not isinstance(number, Node) and number == NEUTRAL[node.target] and not written(node):
            node.replace_all_uses_with(source)  # type: ignore[arg-type]
            graph.graph.erase_node(node)
            changed += 1
    graph.graph.eliminate_dead_code()
    for node in [n for n in graph.graph.nodes if is_random(n)]:
        for user in list(node.users):
            _drop_zeros(graph, node, user)
        if node.users:
            raise LoweringError(
                f"{_where(node)} draws random numbers ({node.target.__name__.partition('.')[0]}); "  # type: ignore[union-attr]
                "a file must give the same picture twice: return the mean, or make the noise an input"
            )
        graph.graph.erase_node(node)
        changed += 1
    return changed


def _drop_zeros(graph: GraphModule, random: Node, product: Node) -> None:
    """x + 0 * random, in any order, becomes x."""
    if product.target not in (aten.mul.Tensor, aten.mul.Scalar):
        return
    factor = next((constant(graph, a) for a in product.args[:2] if a is not random), None)
    if factor is None or bool((factor != 0).any()):
        return
    for total in list(product.users):
        other = next((a for a in total.args[:2] if a is not product), None)
        adds = total.target is aten.add.Tensor or (total.target is aten.sub.Tensor and total.args[1] is product)
        if adds and isinstance(other, Node) and shape_of(other) is not None and shape_of(other) == shape_of(total):
            if written(total):
                with graph.graph.inserting_before(total):
                    other = graph.graph.call_function(aten.clone.default, (other,))
            replace(graph, total, other)
    if not product.users:
        graph.graph.erase_node(product)


def _where(node: Node) -> str:
    """The module that the operator was traced in."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path, kind = stack[-1] if stack else ("", "the network")
    name = str(kind).rpartition(".")[2]
    return f"'{path}' ({name})" if path else name
