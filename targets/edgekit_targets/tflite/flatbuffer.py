"""Reading a .tflite file's graph."""
# ruff: noqa: TID253

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from edgekit.errors import InvalidFile

IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every TFLite flatbuffer (schema.fbs: file_identifier)."""

ITEM_BYTES = {"FLOAT32": 4, "FLOAT16": 2, "INT32": 4, "INT64": 8, "INT16": 2, "INT8": 1, "UINT8": 1, "BOOL": 1}
"""Bytes per value of the types whose constants are checked."""

LAYER_KINDS = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "TRANSPOSE_CONV": 1, "FULLY_CONNECTED": 1}
"""Operators with weights -> which of their inputs the weights are."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """`data` holds the constant's raw bytes as (n,) uint8, or None for anything computed. `dtype` is the schema's name, e.g. "FLOAT32"."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    data: np.ndarray | None

    @property
    def is_constant(self) -> bool:
        return self.data is not None


@dataclass(frozen=True)
class Op:
    """One operator of the main subgraph; absent optional inputs are None. `options` is the schema's options object or None."""

    index: int
    kind: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Any

    @property
    def weights(self) -> Tensor | None:
        """The constant or dequantized weights of a layer; None for other operators and for computed kernels' absent slots."""
        position = LAYER_KINDS.get(self.kind)
        return self.inputs[position] if position is not None and position < len(self.inputs) else None


@dataclass(frozen=True)
class Graph:
    """The main subgraph, operators in execution order."""

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def producer(self, tensor: Tensor) -> Op | None:
        return next((op for op in self.ops if tensor in op.outputs), None)


def read(content: bytes, where: str) -> Graph:
    """Raises InvalidFile (its message opens with `where`) if the bytes are no TFLite flatbuffer."""
    if content[4:8] != IDENTIFIER:
        raise InvalidFile(f"{where}: not a TFLite file (no '{IDENTIFIER.decode()}' identifier); export it again")
    try:
        return _graph(flatbuffer_utils.read_model_from_bytearray(content))  # also resolves constants stored behind the flatbuffer
    except Exception as error:  # the generated reader raises struct, numpy, index, type and memory errors on damaged bytes
        raise InvalidFile(f"{where}: TFLite file is damaged ({type(error).__name__}: {error}); export it again") from error


def _graph(model: Any) -> Graph:
    main = model.subgraphs[0]
    tensors = tuple(_tensor(i, t, model.buffers) for i, t in enumerate(main.tensors))
    ops = tuple(
        Op(
            i,
            _kind(model.operatorCodes[op.opcodeIndex]),
            tuple(None if t == -1 else tensors[t] for t in _integers(op.inputs)),
            tuple(tensors[t] for t in _integers(op.outputs)),
            op.builtinOptions,
        )
        for i, op in enumerate(main.operators)
    )
    graph = Graph(tensors, ops, tuple(tensors[t] for t in _integers(main.inputs)), tuple(tensors[t] for t in _integers(main.outputs)))
    _check_order(graph)
    return graph


def _check_order(graph: Graph) -> None:
    """Interpreters abort the process on files whose tensors are not computed exactly once and before their use, or whose constants have the wrong size."""
    known = {t.index for t in graph.tensors if t.is_constant} | {t.index for t in graph.inputs}
    for op in graph.ops:
        for tensor in op.inputs:
            if tensor is not None and tensor.index not in known:
                raise ValueError(f"operator {op.index} ({op.kind}) reads '{tensor.name}' before it is computed")
        for tensor in op.outputs:
            if tensor.index in known:
                raise ValueError(f"operator {op.index} ({op.kind}) writes '{tensor.name}' again")
            known.add(tensor.index)
    for tensor in graph.tensors:
        expected = math.prod(tensor.shape) * ITEM_BYTES.get(tensor.dtype, 0)
        if min(tensor.shape, default=1) < 1 or (tensor.data is not None and expected and len(tensor.data) != expected):
            raise ValueError(f"'{tensor.name}' of shape {list(tensor.shape)} holds {0 if tensor.data is None else len(tensor.data)} bytes")


def _tensor(index: int, tensor: Any, buffers: list[Any]) -> Tensor:
    data = buffers[tensor.buffer].data
    content = None if data is None or len(data) == 0 else np.frombuffer(bytes(data), dtype=np.uint8)
    return Tensor(index, tensor.name.decode() if tensor.name else "", tuple(_integers(tensor.shape)), _names(schema.TensorType)[tensor.type], content)


def _kind(code: Any) -> str:
    if code.customCode:
        return f"CUSTOM {code.customCode.decode()}"
    return _names(schema.BuiltinOperator)[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _integers(values: Any) -> list[int]:
    return [] if values is None else [int(v) for v in values]


@cache
def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
