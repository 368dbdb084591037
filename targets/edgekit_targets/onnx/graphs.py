"""Reading an ONNX graph: layers, constants, producers; and removing what the exporter noted about this machine."""

# ruff: noqa: TID253
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators with a weight as second input."""


def constants(model: ModelProto) -> dict[str, TensorProto]:
    """Initializers and Constant nodes by the tensor's name."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = node.attribute[0].t
    return found


def scalar(tensor: TensorProto | None) -> float | None:
    """The value of a one-element constant."""
    if tensor is None:
        return None
    value: np.ndarray = numpy_helper.to_array(tensor)
    return float(value.reshape(-1)[0]) if value.size == 1 else None


def producers(model: ModelProto) -> dict[str, NodeProto]:
    """Tensor name -> the node that computes it."""
    return {name: node for node in model.graph.node for name in node.output}


def layer(node: NodeProto, known: Mapping[str, TensorProto]) -> str:
    """`body.0.body.0` for the convolution whose weight is `body.0.body.0.weight`; `add_3` for the node `node_add_3` that has no weight."""
    if node.op_type in WEIGHTED and len(node.input) > 1 and node.input[1] in known and node.input[1].endswith(".weight"):
        return node.input[1].removesuffix(".weight")
    return node.name.removeprefix("node_")


def weight_bytes(model: ModelProto) -> int:
    """Size of all constants."""
    return sum(numpy_helper.to_array(tensor).nbytes for tensor in constants(model).values())


def strip(model: ModelProto) -> None:
    """Removes stack traces, source paths and notes: they name files of this machine and make equal networks give different bytes."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
