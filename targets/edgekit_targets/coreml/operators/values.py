"""What operators are given and give, and how their tables are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Value = Any
"""A tensor, a Python scalar, a string, or (several results) a tuple of tensors."""

Operator = Callable[..., Value]


def ints(value: Value) -> list[int]:
    return [int(v) for v in value.flatten().tolist()] if isinstance(value, Tensor) else [int(value)]


def as_tensor(value: Value) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value)


def along(value: Value, x: Tensor, axis: Value) -> Tensor:
    """A scalar, or a vector along `axis`, ready to broadcast with `x`."""
    tensor = as_tensor(value).float()
    return tensor if tensor.numel() == 1 else tensor.reshape([-1 if i == int(axis) % x.dim() else 1 for i in range(x.dim())])


def named(*functions: Operator) -> dict[str, Operator]:
    """Functions that are called as their operators are."""
    return {function.__name__: function for function in functions}


def unary(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda x: function(as_tensor(x))


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda x, y: function(as_tensor(x), as_tensor(y))
