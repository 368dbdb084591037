"""A layer that is called several times becomes several layers, each with parameters of its own: `body.conv`, `body.conv_2` ...

Why: under ExecuTorch a bias is stored once, with the int8 levels of one call's input, so that files of a network that calls a layer again (SeemoRe) do not load.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, calls, constant, layer_name, own_name, put

LAYERS = (aten.conv2d.default, aten.conv_transpose2d.input, aten.linear.default)


def separate_calls(graph: GraphModule) -> int:
    """Returns the number of calls separated: all but the first of each layer."""
    changed = 0
    for node in reversed(list(calls(graph, *LAYERS))):
        if layer_name(node) is None or (name := own_name(node)) == layer_name(node):
            continue
        for position, part in ((1, "weight"), (2, "bias")):
            parameter = node.args[position] if len(node.args) > position else None
            value = constant(graph, parameter)
            if not isinstance(parameter, Node) or value is None:
                continue
            put(graph, f"{name}.{part}", value.clone())
            with graph.graph.inserting_before(node):
                copy = graph.graph.get_attr(f"{name}.{part}")
            copy.meta["val"] = parameter.meta.get("val")
            node.update_arg(position, copy)
        changed += 1
    return changed
