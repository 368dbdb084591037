"""The image contract of a network: what its structure or its author tells of an Enhancer."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.enhancer import ImageSpec, Task, Tiling
from edgekit.models.degrade import Degrade


@dataclass(frozen=True)
class Contract:
    """The fields of an `Enhancer` that are not a name or an origin. `inputs` and `outputs` are in the network's own values, mean, range and channel order."""

    scale: int
    degrade: Degrade
    task: Task = "restore"
    inputs: tuple[ImageSpec, ...] = (ImageSpec("image"),)
    outputs: tuple[ImageSpec, ...] = (ImageSpec("enhanced"),)
    multiple_of: int = 1
    tiling: Tiling = "exact"
