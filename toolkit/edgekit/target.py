"""Where it runs: one TOML file per deployment target. The files and their loader live in `edgekit_targets`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgekit.backend import Backend


@dataclass(frozen=True)
class ArtifactPlan:
    """One model file to make: a backend with its options, and the recipe it follows."""

    backend: Backend
    recipe: str


@dataclass(frozen=True)
class Budget:
    """What an artifact of one task may lose. None: not checked. PSNR against the reference; delta against ground truth (reference minus artifact).

    `smooth_*`: for pictures on which the reference itself reaches `smooth_above_db` against ground truth, where a dB of loss means little.
    """

    psnr_db: float | None = None
    worst_psnr_db: float | None = None
    delta_psnr_db: float | None = None
    worst_delta_psnr_db: float | None = None
    smooth_psnr_db: float | None = None
    banding: float | None = None
    colour_shift: float | None = None


@dataclass(frozen=True)
class Target:
    """`tile` is (height, width) of the network's input. `io` is what the model file takes and gives."""

    name: str
    artifacts: tuple[ArtifactPlan, ...]
    tile: tuple[int, int] = (128, 128)
    io: Literal["float32", "uint8"] = "float32"
    description: str = ""
    budgets: dict[str, Budget] = field(default_factory=dict)
