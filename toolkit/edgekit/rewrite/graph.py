"""Reading and changing an ATen graph: constants, convolutions, single users, new nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import getitem
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

aten = torch.ops.aten


@dataclass(frozen=True)
class Conv:
    """One conv2d node: weight (O, I/groups, kh, kw) and bias (O,) in float64, ready to be folded into. Transposed ones: weight (I, O/groups, kh, kw)."""

    node: Node
    weight: Tensor
    bias: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    transposed: bool = False
    output_padding: tuple[int, int] = (0, 0)

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

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.bias.shape[0]

    def scaled(self, scale: Tensor) -> Tensor:
        """The weight with each output channel multiplied by its entry of `scale` (O,)."""
        if not self.transposed:
            return self.weight * scale.view(-1, 1, 1, 1)
        inputs, outputs = self.weight.shape[:2]
        grouped = self.weight.view(self.groups, inputs // self.groups, outputs, *self.weight.shape[2:])
        return (grouped * scale.view(self.groups, 1, outputs, 1, 1)).view(self.weight.shape)


def conv_of(graph: GraphModule, node: Any) -> Conv | None:
    """The convolution that `node` is, or None. Only convolutions whose weight and bias are constants count."""
    if not isinstance(node, Node) or node.target is not aten.conv2d.default:
        return None
    _, weight, bias, stride, padding, dilation, groups = arguments(node)
    weight, offset = constant(graph, weight), constant(graph, bias)
    if weight is None or (bias is not None and offset is None):
        return None
    weight, offset = weight.double(), torch.zeros(weight.shape[0], dtype=torch.float64) if offset is None else offset.double()
    return Conv(node, weight, offset, pair(stride), pair(padding), pair(dilation), groups)


def transposed_conv_of(graph: GraphModule, node: Any) -> Conv | None:
    """The same for a transposed convolution."""
    if not isinstance(node, Node) or node.target is not aten.conv_transpose2d.input:
        return None
    _, weight, bias, stride, padding, output_padding, groups, dilation = arguments(node)
    weight, offset = constant(graph, weight), constant(graph, bias)
    if weight is None or (bias is not None and offset is None):
        return None
    weight, outputs = weight.double(), weight.shape[1] * groups
    offset = torch.zeros(outputs, dtype=torch.float64) if offset is None else offset.double()
    return Conv(node, weight, offset, pair(stride), pair(padding), pair(dilation), groups, True, pair(output_padding))


def pair(value: Any) -> tuple[int, int]:
    """3, (3,) or (3, 3) as (3, 3)."""
    values = [value] * 2 if isinstance(value, int) else list(value)
    return (values[0], values[-1])


def arguments(node: Node) -> list[Any]:
    """An operator's arguments in its schema's order, with the defaults filled in."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = [*node.args, *[None] * (len(schema) - len(node.args))]
    return [
        node.kwargs[a.name] if a.name in node.kwargs else value if i < len(node.args) else a.default_value
        for i, (a, value) in enumerate(zip(schema, given, strict=True))
    ]


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


def calls(graph: GraphModule, *targets: Any) -> Iterator[Node]:
    """The nodes that call one of `targets`, as they were at the start: they may be erased on the way."""
    return iter([node for node in graph.graph.nodes if node.op == "call_function" and node.target in targets])


def shape_of(node: Any) -> tuple[int, ...] | None:
    """A node's shape where it was traced or noted by `replace`; None otherwise, or where it depends on the picture."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return tuple(value.shape) if isinstance(value, Tensor) and all(isinstance(side, int) for side in value.shape) else None


def replace(graph: GraphModule, old: Node, new: Node) -> None:
    """`new`, of the same shape, takes the place of `old`, which is erased."""
    if "val" in old.meta:
        new.meta.setdefault("val", old.meta["val"])
    old.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)
    graph.graph.erase_node(old)


def writes(node: Node) -> bool:
    """Whether the operator changes one of its operands in place; `detach_` changes no value."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable and node.target is not aten.detach_.default


def is_view(node: Node) -> bool:
    """Whether the operator's result (or each of several) may share the memory of its first operand."""
    schema = getattr(node.target, "_schema", None)
    shares = schema is not None and not schema.is_mutable and any(result.alias_info is not None for result in schema.returns)
    return shares or node.target is getitem


def written(node: Node) -> bool:
    """Whether an operator changes the node's result in place, or a view of it: what takes its place must not share memory that is read elsewhere."""
    return any(writes(user) or (is_view(user) and written(user)) for user in node.users)


def is_random(node: Node) -> bool:
    """Whether the operator draws random numbers with these arguments: one that can drop out does not where nothing is dropped or nobody trains."""
    if node.op != "call_function" or torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
        return False
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    given = dict(zip(names, arguments(node), strict=True))
    return not any(name in given and not given[name] for name in ("dropout", "dropout_p", "train", "training"))


def dtype_of(node: Any) -> torch.dtype:
    """The dtype of a node's traced value; float32 where it was not noted."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return value.dtype if isinstance(value, Tensor) else torch.float32


def replace_conv(
    graph: GraphModule,
    conv: Conv,
    weight: Tensor,
    bias: Tensor,
    *,
    name: str | None = None,
    source: Node | None = None,
    padding: tuple[int, int] | None = None,
    output_padding: tuple[int, int] | None = None,
) -> Node:
    """Puts a convolution with new constants in `conv`'s place, in their old dtype; returns the new node. What is not given stays; a kernel of another size
    is padded so that the picture's size stays. `name` is the layer's new name (default: the old one; where another node reads the old weight too, the old one
    with a number)."""
    dtype = _dtype(graph, conv)
    name = name or own_name(conv.node)
    put(graph, f"{name}.weight", weight.to(dtype))
    put(graph, f"{name}.bias", bias.to(dtype))
    if padding is None:
        padding = conv.padding if weight.shape[2:] == conv.weight.shape[2:] else (weight.shape[2] // 2, weight.shape[3] // 2)
    with graph.graph.inserting_before(conv.node):
        read = [graph.graph.get_attr(f"{name}.{part}") for part in ("weight", "bias")]
        operands = (source or conv.node.args[0], *read, list(conv.stride), list(padding))
        if conv.transposed:
            rest: tuple[Any, ...] = (list(output_padding or conv.output_padding), conv.groups, list(conv.dilation))
            new = graph.graph.call_function(aten.conv_transpose2d.input, (*operands, *rest))
        else:
            new = graph.graph.call_function(aten.conv2d.default, (*operands, list(conv.dilation), conv.groups))
    replace(graph, conv.node, new)
    return new


def new_conv(graph: GraphModule, source: Node, name: str, weight: Tensor, bias: Tensor, *, groups: int = 1) -> Node:
    """A convolution called `name`, of stride 1 and without padding, where the graph inserts now."""
    put(graph, f"{name}.weight", weight)
    put(graph, f"{name}.bias", bias)
    read = [graph.graph.get_attr(f"{name}.{part}") for part in ("weight", "bias")]
    return graph.graph.call_function(aten.conv2d.default, (source, *read, [1, 1], [0, 0], [1, 1], groups))


def _dtype(graph: GraphModule, conv: Conv) -> torch.dtype:
    stored = constant(graph, conv.node.args[1])
    assert stored is not None
    return stored.dtype


def own_name(node: Node) -> str:
    """The layer's name, which no other node shares afterwards: a module that is called twice keeps its weight for the other call."""
    name = layer_name(node)
    weight = node.args[1]
    if name is None or not isinstance(weight, Node):
        raise AssertionError("a constant convolution has a named weight")
    taken = {str(n.target) for n in node.graph.nodes if n.op == "get_attr" and set(n.users) - {node}}
    if str(weight.target) == name:  # a bare parameter cannot also be a module
        taken.add(f"{name}.weight")
    names = (name, *(f"{name}_{number}" for number in range(2, 1000)))
    return next(n for n in names if f"{n}.weight" not in taken and f"{n}.bias" not in taken)


def layer_name(node: Node) -> str | None:
    """`body.0.body.0` for the convolution that reads `body.0.body.0.weight`."""
    weight = node.args[1] if len(node.args) > 1 else None
    if isinstance(weight, Node) and weight.op == "get_attr":
        return str(weight.target).removesuffix(".weight")
    return None


MOST_CONSTANT = 8.0
"""How much larger than the picture's weights those of a constant channel may be."""


def with_constant_channel(graph: GraphModule, source: Node, weight: Tensor, constants: Tensor) -> tuple[Node, Tensor]:
    """(`source` with one more channel, which is the same everywhere, where the graph inserts now; `weight` (O, I, k, k) with its weights `constants`
    (O, 1, k, k), which are those of a channel of ones).

    The channel is one, or where a picture of 0 to 255 would leave its own weights no level beside such constants in int8, a power of two.
    """
    largest, beside = (part.abs().amax((1, 2, 3)) for part in (constants, weight))
    ratio = float((largest / beside.clamp_min(1e-30))[beside > 0].max()) if bool((beside > 0).any()) else 1.0
    level = 2.0 ** math.floor(math.log2(ratio)) if ratio > MOST_CONSTANT else 1.0
    widened = graph.graph.call_function(aten.constant_pad_nd.default, (source, [0, 0, 0, 0, 0, 1], level))
    return widened, torch.cat([weight, constants / level], 1)


def constant_node(graph: GraphModule, before: Node, stem: str, value: Tensor) -> Node:
    """A get_attr node in front of `before` for a new constant whose path starts with `stem`."""
    taken = {str(n.target) for n in graph.graph.nodes if n.op == "get_attr"}
    path = next(path for number in range(1, 100_000) if (path := f"{stem}_{number}") not in taken)
    put(graph, path, value)
    with graph.graph.inserting_before(before):
        return graph.graph.get_attr(path)


def put(graph: GraphModule, path: str, value: Tensor) -> None:
    """Stores a frozen parameter (a buffer, if it has no fractions) under a dotted path, making the modules on the way."""
    owner: nn.Module = graph
    *parts, last = path.split(".")
    for part in parts:
        child = owner._modules.get(part)
        if child is None:
            child = nn.Module()
            owner.add_module(part, child)
        owner = child
    owner._buffers.pop(last, None)
    owner._parameters.pop(last, None)
    owner.__dict__.pop(last, None)
    if value.is_floating_point():
        owner.register_parameter(last, nn.Parameter(value.contiguous(), requires_grad=False))
    else:
        owner.register_buffer(last, value.contiguous())
