"""Normalizations, and softmax."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit_targets.coreml.operators.values import ints, named


def softmax(x, axis=-1):
    return x.softmax(int(axis))


def batch_norm(x, mean, variance, gamma=None, beta=None, epsilon=1e-5):
    return F.batch_norm(x, mean, variance, gamma, beta, False, 0.0, float(epsilon))


def instance_norm(x, gamma=None, beta=None, epsilon=1e-5):
    return _normalized(x, list(range(2, x.dim())), [-1, *[1] * (x.dim() - 2)], gamma, beta, float(epsilon))


def layer_norm(x, axes=None, gamma=None, beta=None, epsilon=1e-5):
    dims = sorted(a % x.dim() for a in (ints(axes) if axes is not None else range(x.dim())))
    return _normalized(x, dims, [x.shape[i] if i in dims else 1 for i in range(x.dim())], gamma, beta, float(epsilon))


def _normalized(x: Tensor, dims: list[int], shape: list[int], gamma: Tensor | None, beta: Tensor | None, epsilon: float) -> Tensor:
    centred = x - x.mean(dims, keepdim=True)
    scaled = centred * torch.rsqrt(centred.square().mean(dims, keepdim=True) + epsilon)
    scaled = scaled if gamma is None else scaled * gamma.reshape(shape)
    return scaled if beta is None else scaled + beta.reshape(shape)


def l2_norm(x, epsilon=1e-6):
    return x / (x.square().sum((-3, -2, -1), keepdim=True) + float(epsilon)).sqrt()


OPERATORS = named(softmax, batch_norm, instance_norm, layer_norm, l2_norm)
