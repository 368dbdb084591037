"""Operators that stand for a few simpler ones become those, as PyTorch itself defines them.

Why: converters know the simple ones. coremltools (9.0) has no `lerp`, `addcmul`, `diff`, `rot90`, channel shuffle, cosine similarity, RMS normalization
or recurrent layers as torch.export writes them; ExecuTorch and litert-torch (0.10) have no `exp2`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.fx import GraphModule

from edgekit.rewrite.graph import aten
from edgekit.rewrite.inline import inline, places

FUNCTIONS = (
    *(
        "addcdiv",
        "addcmul",
        "channel_shuffle",
        "cosine_similarity",
        "diff",
        "exp2",
        "lerp",
        "logaddexp",
        "nan_to_num",
        "rms_norm",
        "rot90",
        "sinc",
    ),
    *("__and__", "__or__", "__xor__"),
)
RECURRENT = ("gru", "lstm", "rnn_relu", "rnn_tanh")


def recurrent_layers(graph: GraphModule) -> int:
    """The same for recurrent layers, one step after the other. Only Core ML needs it: a GRU of eight steps is 17 operators in ONNX, and 337 written out."""
    return shorthands(graph, RECURRENT)


def shorthands(graph: GraphModule, names: Sequence[str] = FUNCTIONS) -> int:
    """Returns the number of operators replaced."""
    found = places(graph, *names)
    for node in found:
        inline(graph, node, node.target, {aten.exp2.default: lambda x: torch.exp(x * math.log(2))})  # type: ignore[arg-type]
    return len(found)
