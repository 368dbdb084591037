"""A layer that is called several times becomes several layers, each with parameters of its own: `body.conv`, `body.conv_2` ...

Why: under ExecuTorch a bias is stored once, with the int8 levels of one call's input, so that files of a network that calls a layer again (SeemoRe) do not load.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, calls, constant, layer_name, own_name, put

LAYERS = (aten.conv2d.default, aten.conv_transpose2d.input, aten.linear.default)


def separate_calls(graph: GraphModule) -> int:
    """Returns the number of calls separated: those that read a parameter which a call before them has read."""
    changed = 0
    read: set[str] = set()
    for node in calls(graph, *LAYERS):
        if layer_name(node) is None:
            continue
        parameters = [(place, part, node.args[place]) for place, part in ((1, "weight"), (2, "bias")) if len(node.args) > place]
        known = [(place, part, p) for place, part, p in parameters if isinstance(p, Node) and p.op == "get_attr"]
        again = [(place, part, p) for place, part, p in known if str(p.target) in read]
        read |= {str(p.target) for _, _, p in known}
        name = own_name(node) if again else ""
        for place, part, parameter in again:
            value = constant(graph, parameter)
            assert value is not None
            put(graph, f"{name}.{part}", value.clone())
            with graph.graph.inserting_before(node):
                copy = graph.graph.get_attr(f"{name}.{part}")
            copy.meta["val"] = parameter.meta.get("val")
            node.update_arg(place, copy)
        changed += bool(again)
    return changed
