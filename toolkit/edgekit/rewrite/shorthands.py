"""Operators that stand for a few simpler ones become those, as PyTorch itself defines them.

Why: converters know the simple ones. coremltools (9.0) has no `lerp`, `addcmul`, `diff`, `rot90`, channel shuffle, cosine similarity, RMS normalization
or recurrent layers as torch.export writes them; ExecuTorch and litert-torch (0.10) have no `exp2`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg

from edgekit.rewrite.graph import aten, calls, constant_node, written

FUNCTIONS = (
    *(
        "addcdiv",
        "addcmul",
        "channel_shuffle",
        "cosine_similarity",
        "diff",
        "exp2",
        "lerp",
        "logaddexp",
        "nan_to_num",
        "rms_norm",
        "rot90",
        "sinc",
    ),
    *("__and__", "__or__", "__xor__"),
)
RECURRENT = ("gru", "lstm", "rnn_relu", "rnn_tanh")


def recurrent_layers(graph: GraphModule) -> int:
    """The same for recurrent layers, one step after the other. Only Core ML needs it: a GRU of eight steps is 17 operators in ONNX, and 337 written out."""
    return shorthands(graph, RECURRENT)


def shorthands(graph: GraphModule, names: Sequence[str] = FUNCTIONS) -> int:
    """Returns the number of operators replaced."""
    changed = 0
    for node in calls(graph, *(getattr(getattr(aten, name), overload) for name in names for overload in getattr(aten, name).overloads())):
        if not written(node) and all(isinstance(n.meta.get("val"), Tensor) for n in node.all_input_nodes):
            _write_out(graph, node)
            changed += 1
    return changed


def _write_out(graph: GraphModule, node: Node) -> None:
    operands = list(node.all_input_nodes)

    def computed(*values: Tensor) -> Any:
        given = dict(zip(operands, values, strict=True))
        return node.target(*map_arg(node.args, given.__getitem__), **map_arg(node.kwargs, given.__getitem__))  # type: ignore[operator]

    table = {**core_aten_decompositions(), aten.exp2.default: lambda x: torch.exp(x * math.log(2))}
    examples = [torch.zeros(n.meta["val"].shape, dtype=n.meta["val"].dtype) for n in operands]
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
