"""A function of tensors in an operator's place: it is traced on zeros of the operands' shapes, and its operators join the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg

from edgekit.rewrite.graph import aten, calls, constant_node, written


def places(graph: GraphModule, *names: str) -> list[Node]:
    """Calls of these operators, of every overload, that `inline` can replace: all operands are traced tensors, and none is written in place."""
    overloads = [getattr(getattr(aten, name), overload) for name in names for overload in getattr(aten, name).overloads()]
    return [n for n in calls(graph, *overloads) if not written(n) and all(isinstance(o.meta.get("val"), Tensor) for o in n.all_input_nodes)]


def inline(graph: GraphModule, node: Node, function: Callable[..., Any], decompositions: dict[Any, Callable[..., Any]] | None = None) -> None:
    """`function` takes the operator's arguments and gives what it gives, in PyTorch's core operators, but for what `decompositions` adds."""
    operands = list(node.all_input_nodes)

    def computed(*values: Tensor) -> Any:
        given = dict(zip(operands, values, strict=True))
        return function(*map_arg(node.args, given.__getitem__), **map_arg(node.kwargs, given.__getitem__))  # type: ignore[arg-type]

    examples = [torch.zeros(n.meta["val"].shape, dtype=n.meta["val"].dtype) for n in operands]
    table: dict[Any, Callable[..., Any]] = {**core_aten_decompositions(), **(decompositions or {})}
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):  # whose recurrent layers are operators of their own
        parts = make_fx(computed, decomposition_table=table)(*examples)
    copies: dict[Node, Node] = {}
    given = iter(operands)
    with graph.graph.inserting_before(node):
        for part in parts.graph.nodes:
            if part.op == "placeholder":
                copies[part] = next(given)
            elif part.op == "get_attr":
                copies[part] = constant_node(graph, node, f"{node.name}_constant", getattr(parts, str(part.target)))
            elif part.op == "call_function":
                copies[part] = graph.graph.call_function(
                    part.target, map_arg(part.args, copies.__getitem__), map_arg(part.kwargs, copies.__getitem__)
                )
                copies[part].meta["val"] = part.meta.get("val")
    made = parts.graph.output_node().args[0]
    if isinstance(made, Node):
        copies[made].meta["val"] = node.meta["val"]
        node.replace_all_uses_with(copies[made])
    else:
        for user in list(node.users):  # getitem
            result = list(made)[user.args[1]]  # type: ignore[arg-type,index]
            user.replace_all_uses_with(copies[result])
            graph.graph.erase_node(user)
    graph.graph.erase_node(node)
