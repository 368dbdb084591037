"""What each layer of a .tflite file gives: LiteRT's interpreter keeps every tensor."""
# ruff: noqa: TID253

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.errors import InvalidFile
from edgekit.recipe import Quantize
from edgekit_targets.layer_values import Calibration, LayerValue, Shapes, Trace
from edgekit_targets.tflite import flatbuffer
from edgekit_targets.tflite.flatbuffer import LAYER_KINDS, Graph, Op
from edgekit_targets.tflite.host import from_file, to_file

NUMBERS = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT8": np.int8, "UINT8": np.uint8}

ALIKE = 0.5
"""Cosine between a kernel of the file and a parameter from which on they are the same: rounding leaves above 0.99, other layers' kernels stay near 0."""

STRAIGHT = ("PAD", "PADV2", "QUANTIZE", "DEQUANTIZE", "RESHAPE")
"""What may stand between a layer's operator and what the network's layer reads."""


class Intermediates:
    """Kept tensors are not to be had from XNNPACK: LiteRT's own kernels execute the file, with the same integer arithmetic."""

    source = "the file, on LiteRT's own kernels (XNNPACK keeps no tensors)"
    is_file = True
    by_name: ClassVar[tuple[str, ...]] = ()
    by_type: ClassVar[tuple[str, ...]] = ("add",)

    def __init__(self, file: Path, graph: GraphModule, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Calibration) -> None:
        """`graph` is the rewritten network, which gives the layers their names; the file keeps none. Raises InvalidFile."""
        try:
            content = file.read_bytes()
        except OSError as error:
            raise InvalidFile(f"{file}: cannot be read ({error.strerror}); expected a .tflite file") from error
        self._graph = flatbuffer.read(content, file.name)
        self._interpreter: Any = Interpreter(model_content=content, num_threads=os.cpu_count(), experimental_preserve_all_tensors=True)
        self._interpreter.allocate_tensors()
        self._details = {d["index"]: d["quantization_parameters"] for d in self._interpreter.get_tensor_details()}
        sums = self._sums(graph, example)
        found = [(sums.get(op.index) or self._name(op, graph), op) for op in self._graph.ops if op.kind in LAYER_KINDS or op.index in sums]
        self._layers = [(name, op) for name, op in found if name is not None]

    def __call__(self, tile: tuple[Tensor, ...]) -> Trace:
        """`tile`: NCHW in the file's dtype. The values are those of this call until the next."""
        for detail, tensor in zip(self._interpreter.get_input_details(), tile, strict=True):
            self._interpreter.set_tensor(detail["index"], to_file(tensor))
        self._interpreter.invoke()
        outputs = tuple(from_file(self._interpreter.get_tensor(d["index"])) for d in self._interpreter.get_output_details())
        return Trace(tuple(LayerValue(name, self._reading(op.outputs[0]), self._inputs(op)) for name, op in self._layers), outputs)

    def _reading(self, tensor: flatbuffer.Tensor) -> Callable[[], Tensor]:
        return lambda: from_file(_scaled(self._interpreter.get_tensor(tensor.index), self._details[tensor.index]))

    def _inputs(self, op: Op) -> Callable[[Shapes], Sequence[Tensor] | None]:
        def read(shapes: Shapes) -> Sequence[Tensor] | None:
            sources = op.inputs if op.kind == "ADD" else op.inputs[2:3] if op.kind == "TRANSPOSE_CONV" else op.inputs[:1]
            if len(sources) != len(shapes):
                return None
            found = [self._source(tensor, shape) for tensor, shape in zip(sources, shapes, strict=True)]
            values = [value for value in found if value is not None]
            return values if len(values) == len(found) else None

        return read

    def _source(self, tensor: flatbuffer.Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
        """What the network's layer reads: the tensor, or the one before the padding and the rounding that the converter put between; None if none fits."""
        while tensor is not None:
            maker = self._graph.producer(tensor)
            straight = maker if maker is not None and maker.kind in STRAIGHT else None
            value = self._reading(tensor)()
            # A rounding done for this layer alone is its own error.
            if tuple(value.shape) == shape and (straight is None or straight.kind != "QUANTIZE"):
                return value
            tensor = straight.inputs[0] if straight is not None else None
        return None

    def _sums(self, graph: GraphModule, example: tuple[Tensor, ...]) -> dict[int, str]:
        """Operator -> the graph's name of the same addition of two computed tensors. Nothing if their numbers differ: then the converter moved some."""
        ops = [op for op in self._graph.ops if op.kind == "ADD" and not any(t is None or t.is_constant for t in op.inputs)]
        with torch.no_grad():
            traced = torch.export.export(graph, example).run_decompositions({}).graph
        constants = {n for n in traced.nodes if n.op == "placeholder"} - set(traced.find_nodes(op="placeholder")[-len(example) :])
        nodes = [
            n for n in traced.nodes if n.target is torch.ops.aten.add.Tensor and all(isinstance(a, Node) and a not in constants for a in n.args[:2])
        ]
        return {op.index: node.name for op, node in zip(ops, nodes, strict=True)} if len(ops) == len(nodes) else {}

    def _name(self, op: Op, graph: GraphModule) -> str | None:
        """By the parameter whose values the kernel holds, rounded or not, whatever the converter did to its axes."""
        kernel = _kernel(self._graph, op, self._details)
        if kernel is None:
            return None
        best, found = ALIKE, None
        for name, parameter in graph.named_parameters():
            if name.endswith(".weight") and parameter.numel() == kernel.size:
                for other in _arrangements(parameter.detach().float().numpy()):
                    alike = _cosine(kernel, other) if other.shape == kernel.shape or kernel.ndim == 2 else 0.0
                    if alike > best:
                        best, found = alike, name.removesuffix(".weight")
        return found


def _kernel(graph: Graph, op: Op, details: dict[int, Any]) -> np.ndarray | None:
    """A layer's weights as float32, in the file's order of axes."""
    weights = op.weights
    if weights is not None and not weights.is_constant:
        maker = graph.producer(weights)
        weights = maker.inputs[0] if maker is not None and maker.kind == "DEQUANTIZE" else None
    if weights is None or weights.data is None or weights.dtype not in NUMBERS:
        return None
    return _scaled(weights.data.view(NUMBERS[weights.dtype]).reshape(weights.shape), details[weights.index])


def _scaled(levels: np.ndarray, parameters: dict[str, Any]) -> np.ndarray:
    """Levels as the numbers they stand for, float32; floats as they are."""
    scales, zeros = np.asarray(parameters["scales"], np.float32), np.asarray(parameters["zero_points"], np.float32)
    values = levels.astype(np.float32)
    if levels.dtype.kind == "f" or not scales.size:
        return values
    shape = [-1 if scales.size > 1 and axis == parameters["quantized_dimension"] else 1 for axis in range(values.ndim)]
    return (values - zeros.reshape(shape)) * scales.reshape(shape)


def _arrangements(weight: np.ndarray) -> list[np.ndarray]:
    """PyTorch's (O, I, H, W) in the orders that TFLite kernels have: (O, H, W, I); depthwise (1, H, W, O); transposed convolutions' (I, O, H, W), also turned
    round where the converter makes plain convolutions of them."""
    if weight.ndim != 4:
        return [weight]
    turned = weight[:, :, ::-1, ::-1]
    return [w.transpose(axes) for w in (weight, turned) for axes in ((0, 2, 3, 1), (1, 2, 3, 0))]


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    x, y = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / length if length else 0.0
