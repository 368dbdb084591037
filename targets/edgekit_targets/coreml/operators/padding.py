"""The operator `pad`, and the borders that convolutions and pools ask for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit_targets.coreml.operators.values import Value, ints, named


def borders(x: Tensor, kernel: Sequence[int], strides: list[int], dilations: list[int], pad_type: str, pad: Value) -> list[int]:
    """Begin and end of each spatial dimension, outermost first. "same" is TensorFlow's (its converter hands the word on), so an odd row goes to the end."""
    if pad_type == "valid" or (pad_type == "custom" and pad is None):
        return [0] * (2 * len(kernel))
    if pad_type == "custom":
        return ints(pad)
    if pad_type not in ("same", "same_lower"):
        raise NotImplementedError(f"pad_type {pad_type}")
    found = []
    for side, k, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max(0, (-(-side // stride) - 1) * stride + (k - 1) * dilation + 1 - side)
        small, large = total // 2, total - total // 2
        found += [small, large] if pad_type == "same" else [large, small]
    return found


def padded(x: Tensor, begin_end: Sequence[int], value: float = 0.0) -> Tensor:
    """torch counts paddings from the last dimension."""
    if not any(begin_end):
        return x
    return F.pad(x, [n for i in range(len(begin_end) - 2, -1, -2) for n in begin_end[i : i + 2]], "constant", value)


def pad(x, pad, mode="constant", constant_val=0.0):
    edges = ints(pad)
    if mode == "constant":
        return padded(x, edges, float(constant_val))
    if mode not in ("reflect", "replicate"):
        raise NotImplementedError(f"pad with mode {mode}")
    for i in range(len(edges) // 2):
        axis = x.dim() - len(edges) // 2 + i
        side = x.shape[axis]
        places = torch.arange(-edges[2 * i], side + edges[2 * i + 1])
        if mode == "reflect":  # at most side - 1, so one mirror at each end is enough
            places = (side - 1) - ((side - 1) - places.abs()).abs()
        x = x.index_select(axis, places.clamp(0, side - 1) if mode == "replicate" else places)
    return x


OPERATORS = named(pad)
