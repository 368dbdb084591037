"""A trained network and its image contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

Colour = Literal["rgb", "bgr", "grey", "luma", "mask", "scalar", "state"]
"""What the channels are. "scalar": numbers without height and width, (1, channels). "state": three planes that a sampler hands from step to step."""
Task = Literal["restore", "generate", "segment"]
Tiling = Literal["exact", "whole"]
StepName = Literal["equalize", "clahe", "bilateral"]


@dataclass(frozen=True)
class ImageSpec:
    """One input or output tensor, (1, channels, H, W).

    Scalars are (1, channels). A pixel value v in [0, 1] becomes (v - mean) / std for the network, and the result lies in `range`; outputs are read back the
    same way and clamped
    to `range`, never stretched.
    """

    name: str
    channels: int = 3
    colour: Colour = "rgb"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    range: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Sampler:
    """The loop around one step of a diffusion model, run by whoever runs the file (`edgekit.sampler`). `noise`: the share of noise in the state before each
    step, falling, at most 1 and above 0. `seed` gives the first state, the same in every language."""

    kind: Literal["ddim"]
    noise: tuple[float, ...]
    seed: int = 0


@dataclass(frozen=True)
class Adjustment:
    """What whoever runs the file does with the numbers that it gives (`edgekit.adjustment`). `output` names the scalar output, (1, 3): positions in [0, 1]
    within `ranges`, (lowest, highest) gain, gamma and saturation. Gain and gamma span the logarithm of theirs, saturation its own evenly."""

    kind: Literal["gain-gamma-saturation"]
    output: str
    ranges: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ClassicalStep:
    """One of CLASSICAL before or after the network, run by whoever runs the file (`edgekit.classical`), with its parameters."""

    name: StepName
    parameters: dict[str, float]


CLASSICAL: dict[StepName, dict[str, float]] = {
    "equalize": {},
    "clahe": {"regions": 8, "limit": 2.0},
    "bilateral": {"sigma_space": 2.0, "sigma_colour": 0.1},
}
"""Name -> its parameters as they are unless stated: regions a side, the limit of a level's count in mean counts; pixels, and a distance of colours in [0, 1]."""


@dataclass(frozen=True)
class Enhancer:
    """`module` maps float32 NCHW tensors as `inputs` say to tensors as `outputs` say.

    `scale`: output side / input side. `multiple_of`: input sides must be multiples of it. `tiling`: "exact" (a finite receptive field: tiles with a halo)
    or "whole" (global statistics: never tiled silently). `degrade` makes this network's inputs from a clean photograph, (N, 3, H, W) float32 in [0, 1].
    `sampler`: the network is one step of a diffusion model, and this is the loop around it.
    `apply`: the network gives numbers instead of a picture, and this is what they do to the picture at full size.
    `smallest` is the least input side; `only` the one input size (height, width), if there is but one. `sha256` is of the weights; `source` and `licence` say
    where they come from; `probed` says in words what of all this was measured or assumed because nobody had stated it.
    """

    name: str
    module: nn.Module
    degrade: Callable[[Tensor], tuple[Tensor, ...]]
    scale: int
    task: Task = "restore"
    inputs: tuple[ImageSpec, ...] = (ImageSpec("image"),)
    outputs: tuple[ImageSpec, ...] = (ImageSpec("enhanced"),)
    multiple_of: int = 1
    tiling: Tiling = "exact"
    sampler: Sampler | None = None
    apply: Adjustment | None = None
    source: str = ""
    licence: str = ""
    sha256: str = ""
    smallest: int = 1
    only: tuple[int, int] | None = None
    probed: tuple[str, ...] = ()
