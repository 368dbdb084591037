"""Sampling from a volume at places that the network computes becomes eight lookups of rows and their weighted sum.

Why: three-dimensional colour tables (a table of colours, read at each pixel's own colour) and bilateral grids (HDRNet: a small grid of coefficients, read at
each pixel's place and brightness) are `grid_sample` of five dimensions, which of these runtimes only ONNX Runtime has. Places and weights stay in float
in int8 files: 256 levels of a place are too few for a table of 33 colours a side.
"""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import GraphModule

from edgekit.rewrite.graph import shape_of
from edgekit.rewrite.inline import inline, places

NEAREST = 1
ZEROS, BORDER = 0, 1
"""As `aten.grid_sampler` numbers them; of the other modes a volume has bilinear, of the other paddings there is reflection."""


def volume_sampling(graph: GraphModule) -> int:
    """Returns the number of samplings written out: those from one volume."""
    found = [n for n in places(graph, "grid_sampler", "grid_sampler_3d") if (shape := shape_of(n.args[0])) and len(shape) == 5 and shape[0] == 1]
    for node in found:
        inline(graph, node, sampled)
    return len(found)


def sampled(volume: Tensor, grid: Tensor, mode: int, padding: int, aligned: bool) -> Tensor:
    """`volume` (1, C, D, H, W) at the places `grid` (1, d, h, w, 3), x first, in [-1, 1] -> (1, C, d, h, w)."""
    channels, sizes = volume.shape[1], volume.shape[2:]
    rows = volume.flatten(2)[0].t()
    # As tensors: PyTorch's quantizers make float tensors of numbers that stand in sums and products.
    steps = torch.tensor(sizes[1] * sizes[2]), torch.tensor(sizes[2])
    axes = [_neighbours(grid[..., 2 - i].flatten(), size, mode, padding, aligned) for i, size in enumerate(sizes)]
    result: Tensor | None = None
    for corner in product(*axes):
        (z, _), (y, _), (x, _) = corner
        index = z * steps[0] + y * steps[1] + x
        weights = [weight for _, weight in corner if weight is not None]
        entries = F.embedding(index, rows)
        share = entries * _product(weights)[:, None] if weights else entries
        result = share if result is None else result + share
    assert result is not None
    return result.t().reshape(1, channels, *grid.shape[1:4])


def _neighbours(at: Tensor, size: int, mode: int, padding: int, aligned: bool) -> list[tuple[Tensor, Tensor | None]]:
    """Along one axis: the entries (P,) whole numbers that the places `at` (P,) lie between, and the weight of each (None: one)."""
    at = (at + 1) * ((size - 1) / 2) if aligned else (at + 1) * (size / 2) - 0.5
    if padding == ZEROS:
        at = at.clamp(-2, size + 1)  # farther off nothing changes, and whole numbers end somewhere
    else:
        at = (at if padding == BORDER else _reflected(at, size, aligned)).clamp(0, size - 1)
    first = at.round() if mode == NEAREST else at.floor()
    found: list[tuple[Tensor, Tensor | None]] = []
    for entry, weight in [(first, None)] if mode == NEAREST else [(first, 1 - (at - first)), (first + 1, at - first)]:
        inside = entry.clamp(0, size - 1)
        if padding == ZEROS:
            there = (inside == entry).to(at.dtype)
            weight = there if weight is None else weight * there
        found.append((inside.to(torch.int64), weight))
    return found


def _reflected(at: Tensor, size: int, aligned: bool) -> Tensor:
    """Mirrored at the first and the last entry, or at their outer edges, as often as it takes."""
    low, span = (0.0, float(size - 1)) if aligned else (-0.5, float(size))
    if span == 0:
        return at * 0
    turns = (at - low) / (2 * span)
    return span - (turns - turns.floor() - 0.5).abs() * (2 * span) + low


def _product(factors: list[Tensor]) -> Tensor:
    result = factors[0]
    for factor in factors[1:]:
        result = result * factor
    return result
