# ruff: noqa: TID253
"""PyTorch network -> `.pte`: torch.export, PT2E quantization, XNNPACK partitioner, ExecuTorch program."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import EdgeProgramManager, to_edge_transform_and_lower
from executorch.exir.backend.utils import WhyNoPartition
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from edgekit.backend import Delegation, DType, Lowered, TensorSpec
from edgekit.errors import LoweringError, first_line
from edgekit.quantize import told
from edgekit.recipe import Estimator, Quantize
from edgekit_targets.executorch import levels
from edgekit_targets.executorch.host import Session, contiguous
from edgekit_targets.executorch.quantizer import WEIGHTED, DynamicQuantizer, StaticQuantizer, in_float, layers

if TYPE_CHECKING:
    from edgekit_targets.executorch import ExecuTorch

DEFAULT_ESTIMATOR: Estimator = "min-max"
"""On EDSR x2, 60 test tiles, mean / worst dB against fp32: min-max 50.9 / 49.4, mse 52.0 / 47.2, moving-average 48.2 / 29.8. The worst tile decides."""

PADS = (torch.ops.aten.pad.default, torch.ops.aten.constant_pad_nd.default)

TOOLCHAIN = ("executorch", "torchao", "torch")


def lower(
    options: ExecuTorch,
    module: nn.Module,
    example: tuple[Tensor, ...],
    quantize: Quantize | None,
    tiles: Sequence[tuple[Tensor, ...]],
    out: Path,
) -> Lowered:
    """See `edgekit.backend.Backend.lower`."""
    precision = quantize.precision if quantize else "fp32"
    refusal = options.refusal(precision)
    if refusal:
        raise LoweringError(refusal)
    example = tuple(contiguous(t) for t in example)
    try:
        with torch.no_grad():
            prepared = prepare(module, example, quantize, tiles)
            graph, quantized, kept = prepared.graph, prepared.quantized, prepared.kept_float
            result = graph(*example)
            outputs = result if isinstance(result, tuple | list) else (result,)
            edge, refused = _lower(options, torch.export.export(graph, example))
            delegation = _delegation(options, edge, refused)
            data = edge.to_executorch().buffer
    except LoweringError:
        raise
    except Exception as error:  # the toolchain raises many types, assertions included
        raise LoweringError(f"executorch could not lower the network to {precision}: {first_line(error, kind=True)}") from error
    out.write_bytes(data)
    # Some graphs lower and then fail to run.
    Session(out)(example)
    return Lowered(
        file=out,
        inputs=tuple(_spec("input", i, t, len(example)) for i, t in enumerate(example)),
        outputs=tuple(_spec("output", i, t, len(outputs)) for i, t in enumerate(outputs)),
        toolchain={name: version(name) for name in TOOLCHAIN},
        delegation=delegation,
        quantized=quantized,
        kept_float=kept if quantize is not None else (),
        facts={
            "estimator": quantize.estimator or DEFAULT_ESTIMATOR,
            "calibration_tiles": len(tiles[: quantize.tiles]),
            "ranges": told(_output_ranges(prepared)),
        }
        if quantize is not None and quantize.precision == "int8"
        else {},
    )


@dataclass(frozen=True)
class Prepared:
    """The graph that is lowered. `names`: node -> layer; `quantized` and `kept_float` are the layers with and without quantize and dequantize nodes."""

    graph: GraphModule
    names: dict[str, str]
    quantized: tuple[str, ...]
    kept_float: tuple[str, ...]


def prepare(module: nn.Module, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Sequence[tuple[Tensor, ...]]) -> Prepared:
    """Everything before lowering: export and PT2E quantization. Raises LoweringError, and what torch.export and torchao raise."""
    with torch.no_grad():
        graph = _graph(module, example)
        names = {node.name: name for name, node in layers(graph).items()}
        if quantize is None:
            return Prepared(graph, names, (), tuple(names.values()))
        graph, quantized, kept = _quantize(graph, quantize, tiles if quantize.precision == "int8" else [example])
        return Prepared(graph, names, quantized, kept)


def _graph(module: nn.Module, example: tuple[Tensor, ...]) -> GraphModule:
    # A graph that torch.export made is already in evaluation mode and refuses `eval`.
    graph = torch.export.export(module if isinstance(module, GraphModule) else module.eval(), example).module(check_guards=False)
    assert isinstance(graph, GraphModule)
    return graph


def _quantize(graph: GraphModule, quantize: Quantize, tiles: Sequence[tuple[Tensor, ...]]) -> tuple[GraphModule, tuple[str, ...], tuple[str, ...]]:
    """The graph with quantize and dequantize nodes, the layers that got them, and those that did not. Weights are observed while a tile passes, so that
    int8-dynamic needs one too, of whatever content."""
    chosen = tiles[: quantize.tiles]
    if not chosen:
        raise LoweringError("static int8 needs calibration tiles, got none; pass a calibration set, or use int8-dynamic")
    found = {node.name: name for name, node in layers(graph).items()}
    # A float addition between two int8 layers has int8 neighbours on all sides and looks quantized; it rounds nothing that they do not round.
    floats = {node.name for node in in_float(graph, quantize)}
    quantizer = StaticQuantizer(quantize, DEFAULT_ESTIMATOR) if quantize.precision == "int8" else DynamicQuantizer(quantize)
    prepared = prepare_pt2e(graph, quantizer)
    for tile in chosen:
        prepared(*(contiguous(t) for t in tile))
    levels.fit(prepared)
    converted = convert_pt2e(prepared)
    assert isinstance(converted, GraphModule)
    _one_grid_per_border(converted)
    _one_dequantize_per_user(converted)
    done = {found[n.name]: n for n in converted.graph.nodes if n.name in found and n.name not in floats and _is_quantized(n)}
    if not any(n.target in WEIGHTED for n in done.values()):
        raise LoweringError(
            f"{quantize.precision}: no convolution was quantized ({len(found)} candidates); check float_layers and float_types, or use fp32"
        )
    return converted, tuple(done), tuple(name for name in found.values() if name not in done)


def _output_ranges(prepared: Prepared) -> dict[str, tuple[float, float]]:
    """Layer -> what its output's int8 levels reach, where the output, or the activation behind it, is rounded."""
    found = {}
    for node in prepared.graph.graph.nodes:
        if node.target is torch.ops.quantized_decomposed.quantize_per_tensor.default:
            source, scale, zero, low, high = node.args[:5]
            while source.name not in prepared.names and len(source.all_input_nodes) == 1:
                source = source.all_input_nodes[0]
            if source.name in prepared.names:
                found[prepared.names[source.name]] = ((low - zero) * scale, (high - zero) * scale)
    return found


def _one_grid_per_border(graph: GraphModule) -> None:
    """XNNPACK pads float to float or int8 to int8: a file in which a border of zeros has int8 on one side only does not load. The other side gets the same
    levels, which changes no value: they hold a zero, and what is padded lies on them already, or is rounded to them right behind."""
    rounds, restores = torch.ops.quantized_decomposed.quantize_per_tensor.default, torch.ops.quantized_decomposed.dequantize_per_tensor.default
    for node in list(graph.graph.nodes):
        if node.target not in PADS or any(value not in (0, "constant", None) for value in node.args[2:]):
            continue
        source, users = node.args[0], list(node.users)
        before = source.target is restores
        behind = len(users) == 1 and users[0].target is rounds
        if before == behind:
            continue
        grid = (source if before else users[0]).args[1:]
        with graph.graph.inserting_after(node if before else source):
            first = graph.graph.call_function(rounds, (node if before else source, *grid))
        with graph.graph.inserting_after(first):
            second = graph.graph.call_function(restores, (first, *grid))
        for user in users if before else [node]:
            user.replace_input_with(node if before else source, second)
    graph.recompile()


def _one_dequantize_per_user(graph: GraphModule) -> None:
    """XNNPACK folds a dequantize node into the int8 operator that reads it; a float operator that reads the same node makes the
    partitioner cut the graph in two, or propose a cycle and fail."""
    for node in list(graph.graph.nodes):
        if node.target is torch.ops.quantized_decomposed.dequantize_per_tensor.default:
            for user in list(node.users)[1:]:
                with graph.graph.inserting_before(user):
                    user.replace_input_with(node, graph.graph.node_copy(node, lambda n: n))
    graph.recompile()


def _is_quantized(node: Node) -> bool:
    """Whether every operand but a bias comes out of a dequantize node."""
    operands = node.all_input_nodes[:2] if node.target in WEIGHTED else node.all_input_nodes
    return bool(operands) and all("dequantize" in str(n.target) for n in operands)


def _lower(options: ExecuTorch, program: torch.export.ExportedProgram) -> tuple[EdgeProgramManager, dict[str, str]]:
    """The lowered program, and operator -> reason for what the partitioner refused."""
    if options.delegate == "portable":
        return to_edge_transform_and_lower(program), {}
    with _refusals() as refused:
        return to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]), refused


class _Refusals(logging.Handler):
    """The partitioner gives its reasons only to its debug log."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.reasons: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, WhyNoPartition) and isinstance(record.msg.node, Node):
            self.reasons.setdefault(_operator(record.msg.node), record.msg.reason)


@contextmanager
def _refusals() -> Iterator[dict[str, str]]:
    logger = logging.getLogger("executorch.backends.xnnpack.partition.config")
    handler, level, propagate = _Refusals(), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield handler.reasons
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def _delegation(options: ExecuTorch, edge: EdgeProgramManager, refused: dict[str, str]) -> Delegation:
    graph = edge.exported_program().graph_module
    partitions = delegated = 0
    leftovers: dict[str, str] = {}
    outside = 0
    for node in graph.graph.nodes:
        if node.op == "get_attr" and node.name.startswith("lowered_module_"):
            partitions += 1
            inner = getattr(graph, node.name).original_module
            delegated += sum(n.op == "call_function" and not _is_plumbing(n) for n in inner.graph.nodes)
        elif node.op == "call_function" and not _is_plumbing(node):
            outside += 1
            name = _operator(node)
            leftovers[name] = refused.get(name, "not among XNNPACK's operators") if options.delegate == "xnnpack" else "no delegate was asked for"
    if options.delegate == "xnnpack" and not delegated:
        raise LoweringError(f"XNNPACK took none of {outside} operators ({', '.join(leftovers)}); use delegate 'portable', or another backend")
    return Delegation(options.delegate, delegated, delegated + outside, partitions, leftovers)


def _operator(node: Node) -> str:
    """`aten.convolution.default` for an edge-dialect node."""
    return getattr(node.target, "__name__", str(node.target))


def _is_plumbing(node: Node) -> bool:
    return "getitem" in str(node.target) or "executorch_call_delegate" in str(node.target)


def _spec(kind: str, index: int, tensor: Tensor, count: int) -> TensorSpec:
    dtypes: dict[torch.dtype, DType] = {torch.float32: "float32", torch.uint8: "uint8"}
    if tensor.dtype not in dtypes:
        raise LoweringError(f"{kind} {index} is {tensor.dtype}; expected float32 or uint8")
    name = kind if count == 1 else f"{kind}_{index}"
    return TensorSpec(name, tuple(tensor.shape), "NCHW", dtypes[tensor.dtype], (0.0, 255.0) if tensor.dtype == torch.uint8 else (0.0, 1.0))
