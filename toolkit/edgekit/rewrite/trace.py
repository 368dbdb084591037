"""From a module to a graph of ATen operators."""

from __future__ import annotations

import copy
from collections.abc import Callable
from operator import getitem
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from torch.overrides import TorchFunctionMode

from edgekit.errors import LoweringError, first_line
from edgekit.rewrite.graph import is_view, writes

SAME = 1e-4
"""Largest difference, relative to the largest output, between a module that merges its weights while it runs and its trace: float32 rounding is far below."""


ASSIGNMENTS = (torch.ops.aten.copy_.default, torch.ops.aten.index_put_.default)
"""To a slice, and to the places of a mask."""


def _assigns(node: Node) -> bool:
    """Whether the operator writes into a part of a tensor that is read as a whole, too."""
    return node.target in ASSIGNMENTS or (writes(node) and _is_shared(node.args[0]))


def _is_shared(node: Any) -> bool:
    """Whether others read the tensor that `node` is a view of. Not one that is made of nothing, such as a mask of windows: `freeze_parameters` computes it."""
    others = False
    while isinstance(node, Node) and is_view(node):
        node = node.args[0]
        others = others or len([user for user in node.users if user.target is not getitem]) > 1
    return others and bool(node.op == "placeholder" or node.all_input_nodes)


def to_graph(module: nn.Module, example: tuple[Tensor, ...]) -> GraphModule:
    """The network as a graph of ATen operators at the example's fixed shapes. Parameters keep their module paths: a convolution's layer name is its
    weight's path without `.weight`. Raises LoweringError if torch.export cannot trace the network."""
    try:
        return _exported(module.eval(), example)
    except Exception as error:  # torch.export raises many types, user code any
        try:
            return _merged(module, example)
        except LoweringError:
            raise
        except Exception:
            why = first_line(error)
            raise LoweringError(f"torch.export could not trace the network: {why}") from error


def _exported(module: nn.Module, example: tuple[Tensor, ...]) -> GraphModule:
    with torch.no_grad():
        program = torch.export.export(module, example)
        if any(_assigns(node) for node in program.graph.nodes):
            # Assignments become operators with a result. Of the others it breaks up batch normalization only.
            program = program.run_decompositions({})
        graph = program.module(check_guards=False)
    assert isinstance(graph, GraphModule)
    _write_out_numbers(graph)
    return graph


def _write_out_numbers(graph: GraphModule) -> None:
    """`parameter.item()` is a number: without pictures nobody who notes shapes knows it."""
    for node in [n for n in graph.graph.nodes if n.target is torch.ops.aten.item.default and n.args[0].op == "get_attr"]:
        owner, _, name = str(node.args[0].target).rpartition(".")
        number = getattr(graph.get_submodule(owner), name).item()
        for user in list(node.users):
            user.args, user.kwargs = (
                map_arg(part, lambda n, node=node, number=number: number if n is node else n) for part in (user.args, user.kwargs)
            )
        graph.graph.erase_node(node)
    graph.recompile()


def note_shapes(graph: GraphModule) -> None:
    """Notes each node's shape and dtype in `meta["val"]`, as torch.export did for the nodes that it made."""
    inputs = (n.meta["val"] for n in graph.graph.nodes if n.op == "placeholder")
    with torch.no_grad():
        FakeTensorProp(graph, FakeTensorMode(allow_non_fake_inputs=True)).propagate(*(torch.empty(t.shape, dtype=t.dtype) for t in inputs))


def forget_unread(graph: GraphModule) -> None:
    """Parameters and buffers that no node reads any more leave the module: torch.export would hand them on to the file's converter."""
    read = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    for path, _ in [*graph.named_parameters(remove_duplicate=False), *graph.named_buffers(remove_duplicate=False)]:
        if path not in read:
            owner, _, name = path.rpartition(".")
            delattr(graph.get_submodule(owner), name)


class _WithoutAssignments(TorchFunctionMode):
    """`parameter.data = value` does nothing, and `parameter.data` is the parameter: torch.export follows neither."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if getattr(func, "__self__", None) is torch.Tensor.data:
            return args[0].detach() if func.__name__ == "__get__" else None
        return func(*args, **(kwargs or {}))


def _merged(module: nn.Module, example: tuple[Tensor, ...]) -> GraphModule:
    """For re-parameterized networks that write their merged weights into a convolution whenever they run (SPAN): one run writes them, and the trace
    finds them there. Compared on other pixels afterwards, because what was written might have depended on the picture."""
    settled = copy.deepcopy(module).eval()
    generator = torch.Generator().manual_seed(0)
    pixels = tuple(torch.rand(t.shape, generator=generator, dtype=t.dtype) if t.is_floating_point() else t for t in example)
    with torch.no_grad():
        settled(*example)
        with _WithoutAssignments():
            graph = _exported(settled, example)
        expected, got = (_tensors(network(*pixels)) for network in (copy.deepcopy(module).eval(), graph))
    worst = max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-12)) for a, b in zip(got, expected, strict=True))
    if not worst <= SAME:
        raise LoweringError(
            f"torch.export traced something else than the network computes (off by {worst:.2g} of the largest output): its forward writes weights that depend "
            "on the picture; compute them without changing parameters"
        )
    return graph


def _tensors(result: Any) -> tuple[Tensor, ...]:
    return tuple(result) if isinstance(result, tuple | list) else (result,)
