"""Activations."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from edgekit_targets.coreml.operators.values import Operator, along, named, unary


def gelu(x, mode="EXACT"):
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="none" if mode == "EXACT" else "tanh")


def prelu(x, alpha):
    return F.prelu(x, alpha)


OPERATORS: dict[str, Operator] = {
    **named(gelu, prelu),
    "relu": unary(torch.relu),
    "relu6": unary(F.relu6),
    "leaky_relu": lambda x, alpha: torch.where(x >= 0, x, x * float(alpha)),
    "elu": lambda x, alpha: F.elu(x, float(alpha)),
    "clamped_relu": lambda x, alpha, beta: torch.where(x >= 0, x, x * float(alpha)).clamp_max(float(beta)),
    "thresholded_relu": lambda x, alpha: torch.where(x >= float(alpha), x, torch.zeros_like(x)),
    "sigmoid": unary(torch.sigmoid),
    "sigmoid_hard": lambda x, alpha, beta: (float(alpha) * x + float(beta)).clamp(0, 1),
    "silu": unary(F.silu),
    "softplus": unary(F.softplus),
    "softplus_parametric": lambda x, alpha, beta: along(alpha, x, 1) * F.softplus(along(beta, x, 1) * x),
    "softsign": unary(F.softsign),
    "tanh": unary(torch.tanh),
    "linear_activation": lambda x, alpha, beta: float(alpha) * x + float(beta),
}
