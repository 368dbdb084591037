"""Functions and comparisons of single values."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit_targets.coreml.operators.values import Operator, binary, unary


def _quotient(x: Tensor, y: Tensor) -> Tensor:
    if not (x.is_floating_point() or y.is_floating_point()):
        raise NotImplementedError("real_div of whole numbers")
    return x / y


OPERATORS: dict[str, Operator] = {
    "clip": lambda x, alpha, beta: x.clamp(float(alpha), float(beta)),
    "threshold": lambda x, alpha: x.clamp_min(float(alpha)),
    "inverse": lambda x, epsilon=1e-4: 1 / (x + float(epsilon)),
    "log": lambda x, epsilon=1e-45: torch.log(x + float(epsilon)),
    "rsqrt": lambda x, epsilon=1e-12: torch.rsqrt(x + float(epsilon)),
    **{
        name: unary(getattr(torch, name))
        for name in (
            *("abs", "ceil", "cos", "erf", "exp", "exp2", "floor", "round", "sign", "sin", "sqrt", "square"),
            *("acos", "asin", "atan", "atanh", "cosh", "sinh", "tan"),
        )
    },
    "add": binary(torch.add),
    "sub": binary(torch.sub),
    "mul": binary(torch.mul),
    "real_div": binary(_quotient),
    "floor_div": binary(torch.floor_divide),
    "mod": binary(torch.remainder),
    "pow": binary(torch.pow),
    "maximum": binary(torch.maximum),
    "minimum": binary(torch.minimum),
    "equal": binary(torch.eq),
    "not_equal": binary(torch.ne),
    "greater": binary(torch.gt),
    "greater_equal": binary(torch.ge),
    "less": binary(torch.lt),
    "less_equal": binary(torch.le),
    "logical_not": unary(torch.logical_not),
    "logical_and": binary(torch.logical_and),
    "logical_or": binary(torch.logical_or),
    "logical_xor": binary(torch.logical_xor),
}
