"""Reading and changing an ATen graph: constants, convolutions, single users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

aten = torch.ops.aten


@dataclass(frozen=True)
class Conv:
    """One conv2d node: weight (O, I/groups, kh, kw) and bias (O,) in float64, ready to be folded into."""

    node: Node
    weight: Tensor
    bias: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @property
    def is_plain_same(self) -> bool:
        """Stride 1, dilation 1, one group, odd square kernel, zero padding that keeps the size."""
        k = self.weight.shape[2]
        return (
            self.stride == (1, 1)
            and self.dilation == (1, 1)
            and self.groups == 1
            and tuple(self.weight.shape[2:]) == (k, k)
            and k % 2 == 1
            and self.padding == (k // 2, k // 2)
        )


def conv_of(graph: GraphModule, node: Any) -> Conv | None:
    """The convolution that `node` is, or None. Only convolutions whose weight and bias are constants count."""
    if not isinstance(node, Node) or node.target is not aten.conv2d.default:
        return None
    arguments = [*node.args, *[None] * (7 - len(node.args))]
    weight, bias = constant(graph, arguments[1]), constant(graph, arguments[2])
    if weight is None or (arguments[2] is not None and bias is None):
        return None
    weight = weight.double()

    def pair(value: Any, default: int) -> tuple[int, int]:
        values = [default, default] if value is None else [value] * 2 if isinstance(value, int) else list(value)
        return (values[0], values[-1])

    return Conv(
        node,
        weight,
        torch.zeros(weight.shape[0], dtype=torch.float64) if bias is None else bias.double(),
        pair(arguments[3], 1),
        pair(arguments[4], 0),
        pair(arguments[5], 1),
        1 if arguments[6] is None else arguments[6],
    )


def constant(graph: GraphModule, value: Any) -> Tensor | None:
    """The tensor behind a get_attr node or a Python number; None for anything computed."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return torch.tensor(float(value), dtype=torch.float64)
    if isinstance(value, Node) and value.op == "get_attr":
        owner, _, name = str(value.target).rpartition(".")
        found = getattr(graph.get_submodule(owner), name)
        return found.detach() if isinstance(found, Tensor) else None
    return None


def per_channel(value: Tensor | None, channels: int) -> Tensor | None:
    """A scalar, (1, C, 1, 1) or (C, 1, 1) constant as (channels,) float64; None if it varies over pixels."""
    if value is None:
        return None
    if value.numel() == 1:
        return value.double().reshape(1).expand(channels).clone()
    shape = (1,) * (4 - value.dim()) + tuple(value.shape)
    return value.double().reshape(channels) if shape == (1, channels, 1, 1) else None


def repeat(graph: GraphModule, fold_one: Callable[[GraphModule], bool]) -> int:
    """Folds one place after another until none is left; returns how many. A fold changes the graph, so each search starts anew."""
    changed = 0
    while fold_one(graph):
        changed += 1
    return changed


def shuffle_factor(node: Any) -> int | None:
    """The factor of a PixelShuffle node; None for any other node."""
    return node.args[1] if isinstance(node, Node) and node.target is aten.pixel_shuffle.default and isinstance(node.args[1], int) else None


def outputs(graph: GraphModule) -> tuple[Node, list[Node]]:
    """The output node and the nodes it returns."""
    output = graph.graph.output_node()
    results = output.args[0]
    nodes = [results] if isinstance(results, Node) else [n for n in results if isinstance(n, Node)] if isinstance(results, tuple | list) else []
    return output, nodes


def only_user(node: Node) -> Node | None:
    """The one node that reads `node`, or None if there are several or none."""
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def replace_conv(graph: GraphModule, conv: Conv, weight: Tensor, bias: Tensor, *, name: str | None = None, source: Node | None = None) -> Node:
    """Puts a size-keeping convolution with new constants in `conv`'s place; returns the new node. `name` is the layer's new name (default: the old one)."""
    name = name or layer_name(conv.node)
    if name is None:
        raise AssertionError("a constant convolution has a named weight")
    put(graph, f"{name}.weight", weight.float())
    put(graph, f"{name}.bias", bias.float())
    padding = conv.padding if weight.shape[2:] == conv.weight.shape[2:] else (weight.shape[2] // 2, weight.shape[3] // 2)
    with graph.graph.inserting_before(conv.node):
        nodes = [graph.graph.get_attr(f"{name}.{part}") for part in ("weight", "bias")]
        new = graph.graph.call_function(
            aten.conv2d.default,
            (source or conv.node.args[0], *nodes, list(conv.stride), list(padding), list(conv.dilation), conv.groups),
        )
    conv.node.replace_all_uses_with(new)
    graph.graph.erase_node(conv.node)
    return new


def layer_name(node: Node) -> str | None:
    """`body.0.body.0` for the convolution that reads `body.0.body.0.weight`."""
    weight = node.args[1] if len(node.args) > 1 else None
    if isinstance(weight, Node) and weight.op == "get_attr":
        return str(weight.target).removesuffix(".weight")
    return None


def put(graph: GraphModule, path: str, value: Tensor) -> None:
    """Stores a frozen parameter under a dotted path, making the modules on the way."""
    owner: nn.Module = graph
    *parts, last = path.split(".")
    for part in parts:
        child = owner._modules.get(part)
        if child is None:
            child = nn.Module()
            owner.add_module(part, child)
        owner = child
    owner._buffers.pop(last, None)
    owner.register_parameter(last, nn.Parameter(value.contiguous(), requires_grad=False))
