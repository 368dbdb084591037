"""What XNNPACK and the GPU delegate need before conversion: their missing operators written with ones they have. Exact on every input."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.passes.shape_prop import ShapeProp

aten = torch.ops.aten


AFTER_CLAMP = (
    aten.pixel_shuffle.default,
    aten.permute.default,
    aten.mul.Tensor,
    aten.mul.Scalar,
    aten.add.Tensor,
    aten.add.Scalar,
    aten.to.dtype,
    aten._to_copy.default,
)
"""What may stand between the last clamp and the output: layout and the conversion to 8-bit pixels, value by value."""


def prepare(graph: GraphModule, example: tuple[Tensor, ...], saturates: Callable[[str], bool]) -> tuple[str, ...]:
    """Changes `graph` in place. `example` gives its inputs' shapes and dtypes.

    Padding with a value becomes zero padding and an addition, because XNNPACK pads with zero only. A clamp to [0, 1] becomes 1 - relu(1 - relu(x)), because the
    converter would turn every shorter form into RELU_0_TO_1, which neither delegate has. Where the output is such a clamp of a convolution for which
    `saturates(layer name)` holds, it disappears: 8-bit levels that span exactly [0, 1] clamp by themselves. Returns those layers' names.

    constant - x becomes constant + x * -1: litert-torch 0.10 converts it to x - constant, silently, once it has moved the graph to channels-last.
    """
    ShapeProp(graph).propagate(*example)
    for number, node in enumerate(list(graph.graph.nodes)):
        if node.target is aten.constant_pad_nd.default:
            _pad_with_zero(graph, node, f"_padding_{number}")
    unclamped = []
    for node in list(graph.graph.nodes):
        if _clamp_bounds(node) != (0.0, 1.0):
            continue
        source = node.args[0]
        layer = layer_name(source)
        if layer is not None and saturates(layer) and list(source.users) == [node] and _is_last(node):
            unclamped.append(layer)
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
        else:
            _clamp_by_relu(graph, node)
    for node in list(graph.graph.nodes):
        _add_instead_of_subtract(graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return tuple(unclamped)


def layer_name(node: object) -> str | None:
    """`body.0.body.0` for the convolution that reads `body.0.body.0.weight`."""
    if not isinstance(node, Node) or node.target is not aten.conv2d.default:
        return None
    weight = node.args[1]
    if isinstance(weight, Node) and weight.op == "get_attr":
        return str(weight.target).removesuffix(".weight")
    return None


def _clamp_bounds(node: Node) -> tuple[float, float] | None:
    if node.target not in (aten.clamp.default, aten.hardtanh.default):
        return None
    defaults = (None, None) if node.target is aten.clamp.default else (-1.0, 1.0)
    low, high = (*node.args[1:3], *defaults[len(node.args) - 1 :])
    return None if low is None or high is None else (float(low), float(high))  # type: ignore[arg-type]


def _is_last(node: Node) -> bool:
    """Whether only `AFTER_CLAMP` operators with constants stand between the node and the output."""
    while len(node.users) == 1:
        (user,) = node.users
        if user.op == "output":
            return True
        if user.target not in AFTER_CLAMP or any(n is not node and n.op != "get_attr" for n in user.all_input_nodes):
            return False
        node = user
    return False


def _pad_with_zero(graph: GraphModule, node: Node, name: str) -> None:
    source, pads, value = (*node.args, 0.0)[:3]
    # (W, W, H, H, C, C): only a padding of the channels alone has a constant that does not grow with the picture.
    if not value or len(pads) != 6 or any(pads[:4]) or min(pads) < 0:  # type: ignore[arg-type]
        return
    channels = node.meta["tensor_meta"].shape[1]
    offset = torch.full((1, channels, 1, 1), float(value))  # type: ignore[arg-type]
    offset[:, pads[4] : channels - pads[5]] = 0  # type: ignore[index,operator]
    graph.register_buffer(name, offset)
    node.args = (source, pads, 0.0)
    with graph.graph.inserting_after(node):
        constant = graph.graph.get_attr(name)
    with graph.graph.inserting_after(constant):
        total = graph.graph.call_function(aten.add.Tensor, (node, constant))
    node.replace_all_uses_with(total, delete_user_cb=lambda user: user is not total)


def _clamp_by_relu(graph: GraphModule, node: Node) -> None:
    with graph.graph.inserting_before(node):
        value = graph.graph.call_function(aten.relu.default, (node.args[0],))
        value = graph.graph.call_function(aten.relu.default, (graph.graph.call_function(aten.rsub.Scalar, (value, 1.0)),))
        value = graph.graph.call_function(aten.rsub.Scalar, (value, 1.0))
    node.replace_all_uses_with(value)
    graph.graph.erase_node(node)


def _add_instead_of_subtract(graph: GraphModule, node: Node) -> None:
    if node.kwargs.get("alpha", 1) != 1 or len(node.args) != 2:
        return
    if node.target is aten.rsub.Scalar:
        value, constant = node.args
    elif node.target is aten.sub.Tensor and isinstance(node.args[0], Node) and node.args[0].op == "get_attr":
        constant, value = node.args
    else:
        return
    with graph.graph.inserting_before(node):
        negative = graph.graph.call_function(aten.mul.Scalar, (value, -1.0))
        total = graph.graph.call_function(aten.add.Tensor if isinstance(constant, Node) else aten.add.Scalar, (negative, constant))
    node.replace_all_uses_with(total)
    graph.graph.erase_node(node)
