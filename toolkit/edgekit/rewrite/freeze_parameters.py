"""What depends on parameters only is computed now, once: merged re-parameterized weights, weight and spectral norm, position bias tables, attention masks.

Why: ExecuTorch leaves a convolution whose weight is computed in the graph outside XNNPACK, unquantized, and computes that weight for every tile: 108 ms instead of
0.3 for a small network (toolkit/docs/rewrites.md); so it does with the index and arange operators of bias tables. The other converters fold such weights
in float files, but lose the layer's name, by which recipes and reports speak of it.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from edgekit.rewrite.graph import aten, is_random, put, writes

MOST = 1 << 20
"""Elements that a frozen constant may have in any case; a larger one must not be more than twice as large as what it was made from."""

MOST_BROADCAST = 1 << 16
"""The same for what several constants give together: a mask plus a bias table per head would be stored once for each window, head and block."""

BROADCAST = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)

WEIGHTED = (aten.conv2d.default, aten.conv2d.padding, aten.conv_transpose2d.input, aten.linear.default)


def freeze_parameters(graph: GraphModule) -> int:
    """Returns the number of computed constants that became stored ones, and of stored ones that were there twice. A convolution's frozen weight is called
    `LAYER.weight`, LAYER being the module that owns its bias, else the innermost one that owns all that it was made from."""
    values = _values(graph)
    frontier = [node for node in values if node.op == "call_function" and isinstance(values[node], Tensor) and set(node.users) - set(values)]
    for node in frontier:
        _store(graph, node, values[node])
    for node in reversed(list(values)):
        if node.op == "call_function" and not node.users:
            graph.graph.erase_node(node)
    return len(frontier) + _share(graph)


def _values(graph: GraphModule) -> dict[Node, Any]:
    """Every node that depends on parameters only, with its value. Operators that change a tensor in place are repeated on copies in their order."""
    changed = _changed_by_pictures(graph)
    values: dict[Node, Any] = {}
    sizes: dict[Node, int] = {}
    for node in graph.graph.nodes:
        if node.op == "get_attr" and node not in changed:
            owner, _, name = str(node.target).rpartition(".")
            value = getattr(graph.get_submodule(owner), name)
            if isinstance(value, Tensor):
                values[node], sizes[node] = value.detach(), value.numel()
        elif node.op == "call_function" and node not in changed and not is_random(node) and all(n in values for n in node.all_input_nodes):
            arguments, options = (map_arg(part, lambda n: values[n]) for part in (node.args, node.kwargs))
            with torch.no_grad():
                value = node.target(*arguments, **options)  # type: ignore[operator]
            size = sum(sizes[n] for n in node.all_input_nodes)
            operands = [values[n].numel() for n in node.all_input_nodes if isinstance(values[n], Tensor)]
            most = max(MOST_BROADCAST, 2 * max(operands)) if len(operands) > 1 and node.target in BROADCAST else max(MOST, 2 * size)
            if not isinstance(value, Tensor) or value.numel() <= most:
                values[node], sizes[node] = value, size
    return values


def _changed_by_pictures(graph: GraphModule) -> set[Node]:
    """Tensors that an operator changes in place, if what it writes comes from a picture, or if it changes a stored parameter, or after another reader saw it."""
    position = {node: i for i, node in enumerate(graph.graph.nodes)}
    pictures: set[Node] = set()
    found: set[Node] = set()
    for node in graph.graph.nodes:
        if node.op == "placeholder" or any(n in pictures for n in node.all_input_nodes):
            pictures.add(node)
    for node in graph.graph.nodes:
        if node.op != "call_function" or not writes(node) or not node.all_input_nodes:
            continue
        root = node.args[0]
        seen = {root}
        while isinstance(root, Node) and root.op == "call_function" and root.args and isinstance(root.args[0], Node) and not _makes_a_copy(root):
            root = root.args[0]
            seen.add(root)
        readers = {user for alias in seen if isinstance(alias, Node) for user in alias.users if user in pictures}
        early = any(position[user] < position[node] for user in readers)
        if isinstance(root, Node) and (root.op == "get_attr" or node in pictures or early):
            found |= {root, *(alias for alias in seen if isinstance(alias, Node))}
    return found


def _makes_a_copy(node: Node) -> bool:
    """Whether the operator's result shares no memory with its operands."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and not any(r.alias_info for r in schema.returns)


def _store(graph: GraphModule, node: Node, value: Tensor) -> None:
    """Readers of `node` read a stored constant instead."""
    for user in list(node.users):
        role = {1: "weight", 2: "bias"}.get(_place(user, node)) if user.target in WEIGHTED else None
        if role:
            _read(graph, node, user, f"{_layer(user, node)}.{role}", value)
    if node.users:
        _read(graph, node, None, ".".join(part for part in (_owner(node), f"frozen_{node.name}") if part), value)


def _read(graph: GraphModule, node: Node, user: Node | None, wanted: str, value: Tensor) -> None:
    """`user` (None: every reader) reads a constant called `wanted`, with a number before the last part if another constant in use has that name."""
    taken = {str(n.target) for n in graph.graph.nodes if n.op == "get_attr" and n.users}
    owner, _, last = wanted.rpartition(".")
    path = next(p for p in (wanted, *(f"{owner}_{i}.{last}" for i in range(2, 1000))) if p not in taken)
    put(graph, path, value.detach().clone(memory_format=torch.contiguous_format))
    first = user or min(node.users, key=list(graph.graph.nodes).index)
    with graph.graph.inserting_before(first):
        stored = graph.graph.get_attr(path)
    stored.meta = {"val": node.meta.get("val")}
    if user is None:
        node.replace_all_uses_with(stored)
    else:
        user.replace_input_with(node, stored)


def _place(user: Node, node: Node) -> int:
    return list(user.args).index(node) if node in user.args else -1


def _layer(user: Node, node: Node) -> str:
    """The module path of a layer whose weight or bias is computed: that of its stored bias or weight, else of what it was computed from."""
    for other in user.args[1:3]:
        if isinstance(other, Node) and other.op == "get_attr" and "." in str(other.target):
            return str(other.target).rpartition(".")[0]
    return _owner(node) or user.name


def _owner(node: Node) -> str:
    """The innermost module that owns all parameters that `node` was made from."""
    waiting, seen, owners = [node], {node}, []
    while waiting:
        current = waiting.pop()
        if current.op == "get_attr" and not str(current.target).startswith("lifted_tensor"):
            parameterized, _, inner = str(current.target).partition(".parametrizations.")
            owners.append((parameterized if inner else parameterized.rpartition(".")[0]).split("."))
        new = [n for n in current.all_input_nodes if n not in seen]
        seen.update(new)
        waiting += new
    common = list(takewhile(lambda parts: len(set(parts)) == 1, zip(*owners, strict=False)))
    return ".".join(parts[0] for parts in common)


def _share(graph: GraphModule) -> int:
    """Equal constants (one attention mask per block, all alike) are stored once; weights keep their layers' names. Returns how many were left out."""
    first: dict[tuple[Any, ...], str] = {}
    changed = 0
    for node in graph.graph.nodes:
        if node.op != "get_attr" or not node.users or str(node.target).endswith((".weight", ".bias")):
            continue
        owner, _, name = str(node.target).rpartition(".")
        value = getattr(graph.get_submodule(owner), name)
        if not isinstance(value, Tensor) or any(user.target in WEIGHTED or writes(user) for user in node.users):
            continue
        digest = sha256(value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()).digest() if value.numel() else b""
        path = first.setdefault((value.dtype, tuple(value.shape), digest), str(node.target))
        if path != node.target:
            node.target = path
            changed += 1
    return changed
