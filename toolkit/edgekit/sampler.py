"""The loop around one step of a diffusion model: deterministic DDIM (Song, Meng, Ermon 2021, arXiv 2010.02502, eta 0), on whole pictures.

For a picture x in [0, 1], the state with a share s of noise n is sqrt(1 - s) (2 x - 1) + sqrt(s) n. A step takes the degraded picture, the state and s, and gives
an estimate of x. From it follow the noise that the state holds, and the state with the next, smaller share; after the last share the estimate is the result.
Every step runs over the whole picture, tile by tile, before the next one starts: so tiles never drift apart, and a halo for one step is enough.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from edgekit.enhancer import Sampler

Step = Callable[[Tensor, float], Tensor]
"""((3, H, W) state, share of noise) -> (3, H, W) estimate of the clean picture in [0, 1]."""


def sample(sampler: Sampler, step: Step, height: int, width: int) -> Tensor:
    """(3, height, width) float32 in [0, 1]. `step` closes over the degraded picture, which has this size."""
    state = first_state(sampler.seed, height, width)
    state = state if sampler.noise[0] == 1 else state * sampler.noise[0] ** 0.5
    estimate = torch.zeros_like(state)
    for share, following in zip(sampler.noise, (*sampler.noise[1:], 0.0), strict=True):
        estimate = step(state, share).clamp(0, 1)
        clean = 2 * estimate - 1
        noise = (state - (1 - share) ** 0.5 * clean) / share**0.5
        state = (1 - following) ** 0.5 * clean + following**0.5 * noise
    return estimate


def first_state(seed: int, height: int, width: int) -> Tensor:
    """(3, height, width) float32, standard normal. The value at channel c, row y, column x is number i = (c * height + y) * width + x of a sequence that any
    language can repeat: SplitMix64 (Steele, Lea, Flood 2014) of seed * 2**32 + 2 i and 2 i + 1, whose upper 53 bits are two even shares u and v in (0, 1], and
    sqrt(-2 ln u) cos(2 pi v) (Box, Muller 1958) in float64."""
    index = np.arange(3 * height * width, dtype=np.uint64)
    u, v = (_share(np.uint64(seed) << np.uint64(32), 2 * index + np.uint64(odd)) for odd in (0, 1))
    values = np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)
    return torch.from_numpy(values.astype(np.float32).reshape(3, height, width))


def _share(start: np.uint64, counter: np.ndarray) -> np.ndarray:
    """uint64 -> float64 in (0, 1]."""
    with np.errstate(over="ignore"):
        z = start + (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(11)).astype(np.float64) + 1) / 2.0**53
