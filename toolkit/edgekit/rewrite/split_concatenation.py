"""A 1x1 convolution of concatenated features becomes the sum of one convolution for each of them.

Why: in int8 a concatenation has one scale for all that it joins, so that features a hundred times smaller than their neighbours keep two bits. SPAN joins such:
with a scale for each, a small one went from 27.4 to 34.7 dB under TFLite. The products are as many as before; the copy goes, additions come.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, calls, conv_of, dtype_of, layer_name, only_user, put, replace, shape_of


def split_concatenation(graph: GraphModule) -> int:
    """Returns the number of convolutions split: those of one group and 1x1 kernels that alone read a concatenation of channels. The parts of `body.fuse` are the
    layers `body.fuse.part0`, `body.fuse.part1` ..."""
    changed = 0
    for joined in calls(graph, aten.cat.default):
        parts, dim = list(joined.args[0]), joined.args[1] if len(joined.args) > 1 else 0  # type: ignore[arg-type]
        conv = conv_of(graph, only_user(joined))
        widths = [shape[1] for part in parts if (shape := shape_of(part)) is not None and len(shape) == 4]
        if conv is None or dim not in (1, -3) or len(widths) != len(parts) or conv.groups != 1 or conv.weight.shape[2:] != (1, 1):
            continue
        name, total = _own_name(graph, layer_name(conv.node) or joined.name), None
        for number, (part, weight) in enumerate(zip(parts, conv.weight.split(widths, 1), strict=True)):
            dtype = dtype_of(conv.node)
            put(graph, f"{name}.part{number}.weight", weight.to(dtype))
            put(graph, f"{name}.part{number}.bias", (conv.bias if number == 0 else 0 * conv.bias).to(dtype))
            with graph.graph.inserting_before(conv.node):
                read = [graph.graph.get_attr(f"{name}.part{number}.{kind}") for kind in ("weight", "bias")]
                settings = (list(conv.stride), list(conv.padding), list(conv.dilation), 1)
                one: Node = graph.graph.call_function(aten.conv2d.default, (part, *read, *settings))
                one.meta["val"] = conv.node.meta.get("val")
                total = one if total is None else graph.graph.call_function(aten.add.Tensor, (total, one))
        assert total is not None
        replace(graph, conv.node, total)
        graph.graph.erase_node(joined)
        changed += 1
    return changed


def _own_name(graph: GraphModule, name: str) -> str:
    """`name`, with a number where a convolution of the same weight was split before, or where the weight is a bare parameter, which cannot also be a module."""
    taken = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    return next(n for n in (name, *(f"{name}_{number}" for number in range(2, 1000))) if not {n, f"{n}.part0.weight"} & taken)
