"""What each layer of an ONNX file gives: the file itself with more outputs, in ONNX Runtime."""

# ruff: noqa: TID253
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, ValueInfoProto
from torch import Tensor
from torch.fx import GraphModule

from edgekit.errors import CannotRunHere, InvalidFile, first_line
from edgekit.recipe import Quantize
from edgekit_targets.layer_values import Calibration, LayerValue, Trace
from edgekit_targets.onnx import graphs
from edgekit_targets.onnx.host import BROKEN, session_options

INTEGER = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}
ACTIVATIONS = ("Relu", "Clip")


class Intermediates:
    """Rounded tensors are read as levels and scaled here: a float output behind DequantizeLinear would keep ONNX Runtime from its integer kernels."""

    source = "the file, with its layers' results as more outputs, in ONNX Runtime"
    is_file = True
    by_name: ClassVar[tuple[str, ...]] = ("add", "cat")
    by_type: ClassVar[tuple[str, ...]] = ()

    def __init__(self, file: Path, graph: GraphModule, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Calibration) -> None:
        """Only `file` matters here; other backends need the rest. Raises InvalidFile."""
        try:
            self._model = onnx.load_model_from_string(file.read_bytes())
        except OSError as error:
            raise InvalidFile(f"{file}: cannot be read ({error.strerror}); expected an ONNX file") from error
        except DecodeError as error:
            raise InvalidFile(f"{file}: is no ONNX file ({str(error)[:100]}); export it again") from error
        self._constants = graphs.constants(self._model)
        self._made = graphs.producers(self._model)
        self._readers: dict[str, list[NodeProto]] = {}
        for node in self._model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._outputs = [output.name for output in self._model.graph.output]
        found = [
            (node, self._name(node)) for node in self._model.graph.node if node.op_type not in ("Constant", "QuantizeLinear", "DequantizeLinear")
        ]
        self._layers = [(name, self._rounded(self._result(node)), node) for node, name in found if name is not None]
        shown = {tensor for _, tensor, _ in self._layers}
        self._inputs = [[self._before_rounding(source, shown) for source in self._operands(node)] for _, _, node in self._layers]
        wanted = shown | {tensor for group in self._inputs for tensor in group}
        self._wanted = sorted(wanted - {value.name for value in self._model.graph.input} - set(self._outputs))
        probe = ModelProto()
        probe.CopyFrom(self._model)
        probe.graph.output.extend(ValueInfoProto(name=name) for name in self._wanted)
        try:
            self._session: Any = onnxruntime.InferenceSession(
                probe.SerializeToString(), session_options(torch.get_num_threads()), providers=["CPUExecutionProvider"]
            )
        except BROKEN as error:
            raise CannotRunHere(f"{file.name}: ONNX Runtime does not open it with more outputs ({first_line(error)[:150]}); not measured") from error

    def __call__(self, tile: tuple[Tensor, ...]) -> Trace:
        """`tile`: NCHW in the file's dtype."""
        feed = {value.name: np.ascontiguousarray(t.numpy()) for value, t in zip(self._model.graph.input, tile, strict=True)}
        names = [*self._outputs, *self._wanted]
        values = feed | dict(zip(names, self._session.run(names, feed), strict=True))
        layers = tuple(
            LayerValue(name, self._reading(values, tensor), lambda shapes, sources=sources: [self._reading(values, s)() for s in sources])
            for (name, tensor, _), sources in zip(self._layers, self._inputs, strict=True)
        )
        return Trace(layers, tuple(torch.from_numpy(np.ascontiguousarray(values[name])) for name in self._outputs))

    def _reading(self, values: dict[str, np.ndarray], name: str) -> Callable[[], Tensor]:
        def read() -> Tensor:
            array = values[name].astype(np.float32)
            maker = self._made.get(name)
            if maker is not None and maker.op_type == "QuantizeLinear":
                zero = graphs.scalar(self._constants.get(maker.input[2])) if len(maker.input) > 2 else 0.0
                array = (array - np.float32(zero or 0.0)) * np.float32(graphs.scalar(self._constants.get(maker.input[1])) or 0.0)
            return torch.from_numpy(np.ascontiguousarray(array))

        return read

    def _name(self, node: NodeProto) -> str | None:
        """The layer's name, by its weight's or by the exporter's name of the node."""
        kind = INTEGER.get(node.op_type, node.op_type)
        if kind in graphs.WEIGHTED:
            weight = node.input[1]
            while (maker := self._made.get(weight)) is not None and maker.op_type in ("DequantizeLinear", "Cast"):
                weight = maker.input[0]
            stem = weight.removesuffix("_quantized")
            if weight in self._constants and stem.endswith(".weight"):
                return stem.removesuffix(".weight")
        return node.name.removeprefix("node_") if node.name.startswith("node_") and kind == node.op_type else None

    def _result(self, node: NodeProto) -> str:
        """The tensor that holds the layer's floats: for integer convolutions behind the scaling and the bias that follow."""
        tensor = node.output[0]
        if node.op_type not in INTEGER:
            return tensor
        for kind in ("Cast", "Mul", "Add"):
            (reader, *others) = self._readers.get(tensor, [None])
            if (
                reader is None
                or others
                or reader.op_type != kind
                or (kind == "Add" and not self._is_constant(next(i for i in reader.input if i != tensor)))
            ):
                break
            tensor = reader.output[0]
        return tensor

    def _is_constant(self, name: str) -> bool:
        maker = self._made.get(name)
        return name in self._constants or (maker is not None and all(self._is_constant(i) for i in maker.input))

    def _rounded(self, tensor: str) -> str:
        """The levels of the tensor, or of its activation, if all its readers get it rounded; else the tensor."""
        current = tensor
        while current not in self._outputs:
            readers = self._readers.get(current, [])
            if readers and all(reader.op_type == "QuantizeLinear" for reader in readers):
                return readers[0].output[0]
            if len(readers) != 1 or readers[0].op_type not in ACTIVATIONS:
                break
            current = readers[0].output[0]
        return tensor

    def _operands(self, node: NodeProto) -> list[str]:
        if INTEGER.get(node.op_type, node.op_type) in graphs.WEIGHTED:
            return [node.input[0]]
        return [name for name in node.input if name and not self._is_constant(name)]

    def _before_rounding(self, source: str, shown: set[str]) -> str:
        """What a layer reads, before the rounding that is done for it alone; what another layer's rounding gave it stays."""
        maker = self._made.get(source)
        if maker is not None and maker.op_type == "DynamicQuantizeLinear":
            return maker.input[0]
        if maker is None or maker.op_type != "DequantizeLinear":
            return source
        levels = maker.input[0]
        rounding = self._made.get(levels)
        return levels if levels in shown or rounding is None or rounding.op_type != "QuantizeLinear" else rounding.input[0]
