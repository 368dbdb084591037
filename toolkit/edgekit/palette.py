"""Weights as a palette: at most 2^bits values per layer, chosen to lose least. What Core ML's palettized files store."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 40
DAMPING = 0.01
"""Share of the mean squared input that is added to the second moments, so that inputs which never vary keep their weights."""


def cluster(weight: Tensor, bits: int, importance: Tensor | None = None) -> Tensor:
    """2^bits centres of the weight's values, rising, float64: k-means in one dimension (Lloyd 1982), started at the quantiles, so deterministic.

    `importance` broadcasts to the weight and counts a value's squared error that many times; None: all alike. Equal values give equal centres.
    """
    values, order = weight.detach().double().flatten().sort()
    loud = torch.ones_like(values) if importance is None else importance.detach().double().expand_as(weight).flatten()[order]
    places = ((torch.arange(2**bits, dtype=torch.float64) + 0.5) / 2**bits * len(values)).long().clamp_max(len(values) - 1)
    centres = values[places]
    for _ in range(ROUNDS):
        nearest = _nearest(values, centres)
        mass = torch.zeros_like(centres).index_add_(0, nearest, loud)
        total = torch.zeros_like(centres).index_add_(0, nearest, values * loud)
        moved = torch.where(mass > 0, total / mass.clamp_min(1e-30), centres).sort().values
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def snap(weight: Tensor, centres: Tensor) -> Tensor:
    """Each value replaced by its nearest centre."""
    return centres[_nearest(weight.detach().double(), centres)].to(weight.dtype)


def fit(weight: Tensor, centres: Tensor, moments: Tensor) -> Tensor:
    """(O, N) weights on `centres` such that the layer's outputs, not its weights, change least.

    `moments` (N, N) are the second moments of the layer's inputs. Column by column, loudest input first, what rounding one column loses is made up for by the
    columns not yet rounded: optimal brain quantization in the fixed order of GPTQ (Frantar et al. 2022, arXiv 2210.17323, eqs. 2 and 4).
    """
    size = torch.diag(moments).double()
    order = size.argsort(descending=True, stable=True)
    damped = moments.double()[order][:, order] + DAMPING * size.mean().clamp_min(1e-12) * torch.eye(len(size), dtype=torch.float64)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    left = weight.detach().double()[:, order].contiguous()
    rounded = torch.empty_like(left)
    for j in range(left.shape[1]):
        column = left[:, j].contiguous()
        rounded[:, j] = centres[_nearest(column, centres)]
        error = (column - rounded[:, j]) / inverse[j, j]
        left[:, j + 1 :] -= error[:, None] * inverse[j, j + 1 :]
    return rounded[:, order.argsort()].to(weight.dtype)


def _nearest(values: Tensor, centres: Tensor) -> Tensor:
    return torch.searchsorted((centres[1:] + centres[:-1]) / 2, values.contiguous())
