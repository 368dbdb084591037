"""Whole numbers: int8 levels and back, and casts."""

from __future__ import annotations

import torch

from edgekit_targets.coreml.operators.values import along, as_tensor, named

INTEGERS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535), "int32": (-(2**31), 2**31 - 1)}


def quantize(input, scale, output_dtype, zero_point=None, axis=None):
    low, high = INTEGERS[output_dtype]
    levels = torch.round(input / along(scale, input, axis)) + (0 if zero_point is None else along(zero_point, input, axis))
    return levels.clamp(low, high)


def dequantize(input, scale, zero_point=None, axis=None):
    value = input.float()
    return (value if zero_point is None else value - along(zero_point, value, axis)) * along(scale, value, axis)


def cast(x, dtype):
    """Fractions are cut off, as in numpy."""
    value = as_tensor(x)
    if dtype == "bool":
        return value.bool()
    if dtype in ("fp16", "fp32"):
        return value.float()
    if dtype not in INTEGERS:
        raise NotImplementedError(f"cast to {dtype}")
    low, high = INTEGERS[dtype]
    whole = value.double().trunc()
    if not bool(((whole >= low) & (whole <= high)).all()):
        raise NotImplementedError(f"cast of what {dtype} cannot hold")
    return whole.to(torch.int32)


OPERATORS = named(quantize, dequantize, cast)
