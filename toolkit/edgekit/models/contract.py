"""The image contract of a network: what its structure or its author tells of an Enhancer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgekit.enhancer import Adjustment, ImageSpec, Sampler, Task, Tiling
from edgekit.models.degrade import Degrade, luma_of


@dataclass(frozen=True)
class Contract:
    """The fields of an `Enhancer` that are not a name or an origin. `inputs` and `outputs` are in the network's own values, mean, range and channel order.

    `smallest` is the least side in pixels; `only` the one size (height, width) that the network takes, if it is but one. `probed` says in words what was
    measured or assumed where nobody had stated it.
    """

    scale: int
    degrade: Degrade
    task: Task = "restore"
    inputs: tuple[ImageSpec, ...] = (ImageSpec("image"),)
    outputs: tuple[ImageSpec, ...] = (ImageSpec("enhanced"),)
    multiple_of: int = 1
    tiling: Tiling = "exact"
    smallest: int = 1
    only: tuple[int, int] | None = None
    probed: tuple[str, ...] = ()
    sampler: Sampler | None = None
    apply: Adjustment | None = None


def of_luma(contract: Contract) -> Contract:
    """That of the same network for one channel, which sees the luma alone: what shows the picture keeps the colours."""
    return replace(contract, degrade=luma_of(contract.degrade), inputs=(ImageSpec("image", 1, "luma"),), outputs=(ImageSpec("enhanced", 1, "luma"),))
