"""Where it runs: one TOML file per deployment target. The files and their loader live in `edgekit_targets`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from edgekit.backend import Backend
from edgekit.enhancer import Task
from edgekit.errors import InvalidFile


@dataclass(frozen=True)
class ArtifactPlan:
    """One model file to make: a backend with its options, and the recipe it follows."""

    backend: Backend
    recipe: str


@dataclass(frozen=True)
class Budget:
    """What an artifact of one task may lose. None: not checked. PSNR against the reference; delta against ground truth (reference minus artifact).

    `smooth_*`: for pictures on which the reference itself reaches `smooth_above_db` against ground truth, where a dB of loss means little. The names are
    those of `manifest.Parity`; `delegated_share` is operators in the delegate / all. PSNR, SSIM, Dice, IoU and that share are least values, all others largest.
    """

    psnr_db: float | None = None
    worst_psnr_db: float | None = None
    delta_psnr_db: float | None = None
    worst_delta_psnr_db: float | None = None
    smooth_psnr_db: float | None = None
    banding: float | None = None
    colour_shift: float | None = None
    tile_colour_shift: float | None = None
    ciede2000_mean: float | None = None
    ciede2000_p99: float | None = None
    ssim: float | None = None
    worst_ssim: float | None = None
    seam_steps: float | None = None
    max_abs: float | None = None
    lpips: float | None = None
    dice: float | None = None
    iou: float | None = None
    worst_iou: float | None = None
    delegated_share: float | None = None


REFUSED = {
    "fid": "it compares two distributions, over thousands of pictures and through an Inception network; expected gates per picture, such as lpips",
    "map": "it needs thousands of pictures with labelled boxes and a detector; expected gates per picture, such as dice and iou",
}
"""Measures that people ask for and that no bundle can carry -> why, and what to ask for instead."""


def check_budgets(budgets: Any, where: str) -> None:
    """Refuses budgets of unknown tasks, which would never be checked, and measures that cannot be measured here. Raises InvalidFile."""
    for task, limits in budgets.items() if isinstance(budgets, dict) else ():
        if task not in get_args(Task):
            raise InvalidFile(f"{where}: budgets of an unknown task '{task[:60]}'; expected {', '.join(get_args(Task))}")
        for name in limits if isinstance(limits, dict) else ():
            if (reason := REFUSED.get(name.lower())) is not None:
                raise InvalidFile(f"{where}: budgets.{task}: '{name}' cannot be measured: {reason}")


@dataclass(frozen=True)
class Target:
    """`tile` is (height, width) of the network's input. `io` is what the model file takes and gives."""

    name: str
    artifacts: tuple[ArtifactPlan, ...]
    tile: tuple[int, int] = (128, 128)
    io: Literal["float32", "uint8"] = "float32"
    description: str = ""
    budgets: dict[str, Budget] = field(default_factory=dict)
