"""See `second_runtime`: the part that imports TensorFlow."""
# ruff: noqa: TID253

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import tensorflow as tf
import torch
from torch import Tensor

from edgekit.errors import InvalidFile, first_line
from edgekit_targets.tflite.host import from_file, to_file


def max_difference(file: Path, inputs: Sequence[tuple[Tensor, ...]], outputs: Sequence[tuple[Tensor, ...]]) -> float:
    """See `second_runtime.max_difference`."""
    interpreter = _load(file)
    worst = 0.0
    for tile, expected in zip(inputs, outputs, strict=True):
        for detail, tensor in zip(interpreter.get_input_details(), tile, strict=True):
            interpreter.set_tensor(detail["index"], to_file(tensor))
        interpreter.invoke()
        for detail, tensor in zip(interpreter.get_output_details(), expected, strict=True):
            step = 1 / 255 if tensor.dtype == torch.uint8 else 1.0
            worst = max(worst, float((from_file(interpreter.get_tensor(detail["index"])).float() - tensor.float()).abs().max()) * step)
    return worst


def _load(file: Path) -> Any:
    kernels = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = tf.lite.Interpreter(str(file), experimental_op_resolver_type=kernels, num_threads=os.cpu_count())
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InvalidFile(f"{file.name}: TensorFlow cannot load it ({first_line(error)}); export it again") from error
    return interpreter
