"""Lines that tiling draws: steps of a stitched picture's error across the borders of its tiles, beyond those beside the borders."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.tiles import TilePlan

RUN = 8
"""Pixels along a border whose steps are averaged before their size is taken: fine noise is no line, a line is."""
REACH = 12
"""The error's step at a border is compared with the largest of those up to so many pixels beside it: where the picture has edges, the error has steps."""
APART = 2
"""... but no nearer than this: what a border spoils reaches over it."""
SHORTEST = 32
"""Output pixels. A shorter piece of a border (the last row's or column's tiles are cut off) holds too few runs to tell a line from noise."""


def seam_steps(want: Tensor, got: Tensor, plan: TilePlan, scale: int) -> float | None:
    """How much larger the error's step is across a border than any beside it, in 8-bit steps: the worst border piece between two tiles.

    `want` is what the untiled network gives (or tiles with a sufficient halo), `got` the stitched picture, both (1, C, H, W) in [0, 1]. The error
    `got - want` of a good file goes on across a border as if there were none. None if the picture has no border that is long enough.
    """
    error = (got.clamp(0, 1) - want.clamp(0, 1)) * 255
    height, width = (side * scale for side in plan.core)
    excesses = [*_excesses(error, height, width), *_excesses(error.transpose(-1, -2), width, height)]
    return max(0.0, *excesses) if excesses else None


def _excesses(error: Tensor, along: int, across: int) -> list[float]:
    """Of the upright borders every `across` pixels, in pieces of `along` pixels."""
    found = []
    borders = range(across, error.shape[-1], across)
    for top in range(0, error.shape[-2], along):
        piece = error[..., top : top + along, :]
        runs = piece.shape[-2] // RUN
        if runs * RUN < SHORTEST:
            continue
        steps = piece[..., : runs * RUN, :].diff(dim=-1).unflatten(-2, (runs, RUN)).mean(-2).abs().flatten(0, -2).mean(0)
        inside = torch.ones_like(steps, dtype=torch.bool)
        for border in borders:
            inside[max(0, border - APART) : border + APART - 1] = False
        for border in borders:
            at = border - 1
            near = slice(max(0, at - REACH), at + REACH + 1)
            beside = steps[near][inside[near]]
            if beside.numel():
                found.append(float(steps[at] - beside.max()))
    return found
