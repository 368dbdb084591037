"""Which operator of the file is which layer of the network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from torch import nn

from edgekit_targets.tflite.flatbuffer import LAYER_KINDS, Graph, Op

TYPES = {"CONV_2D": "conv2d", "DEPTHWISE_CONV_2D": "conv2d", "TRANSPOSE_CONV": "conv_transpose2d", "FULLY_CONNECTED": "linear"}
"""TFLite operator -> the word recipes use in `float_types`."""


@dataclass(frozen=True)
class Layer:
    name: str
    type: str
    op: Op


def find(graph: Graph, module: nn.Module) -> tuple[Layer, ...]:
    """The operators with stored weights, in execution order, named by the module path of the parameter they hold; products of two computed matrices, as in
    attention, are none.

    The converter keeps no names, but it keeps the values: it transposes and flips kernels, so equal sorted magnitudes are the same parameter. A kernel that it
    scaled (a normalization folded in) is named by its output tensor.
    """
    known = {_fingerprint(p.detach().cpu().float().numpy()): n.removesuffix(".weight") for n, p in module.named_parameters() if p.dim() >= 2}
    found = []
    for op in graph.ops:
        if op.kind not in LAYER_KINDS or op.weights is None or op.weights.data is None:
            continue
        name = known.get(_fingerprint(op.weights.data.view(np.float32))) if op.weights.dtype == "FLOAT32" else None
        found.append(Layer(name or op.outputs[0].name, TYPES[op.kind], op))
    return tuple(found)


def _fingerprint(values: np.ndarray) -> bytes:
    return hashlib.sha256(np.sort(np.abs(values.reshape(-1))).tobytes()).digest()
