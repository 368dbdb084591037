"""Every network that edgekit builds, with its trained weights, through four backends in every precision that each offers: toolkit/docs/reach.md. Resumable:
what reach.json holds of a cell is not made again, unless --again.

make reach                                     all missing cells, then the page
make reach ARGS="--only span,cyclegan"         of some networks
make reach ARGS="--backend onnx"               through one backend
make reach ARGS=--page                         only the page
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cells
from cells import Cell

CELLS = Path(__file__).parent / "reach.json"
PAGE = Path(__file__).parent / "reach.md"
WEIGHTS = Path(__file__).parents[2] / "tests" / "networks" / "weights"
SHIPPED = ("edsr", "edsr-mobile", "denoise", "lowlight")

PRECISIONS = {
    "executorch": ("fp32", "int8", "int8-dynamic"),
    "tflite": ("fp32", "fp16", "int8", "int8-dynamic", "int8-weights"),
    "onnx": ("fp32", "int8", "int8-dynamic"),
    "coreml": ("fp32", "fp16", "int8-weights", "int8", "palettized-6", "palettized-4"),
}
SIDES = {"inpainting": 128, **dict.fromkeys(SHIPPED, 128)}
"""Tiles other than 64 px, where the halo asks for more."""

LEAST_DB = {"fp32": 90.0, "fp16": 50.0, "palettized-6": 30.0, "palettized-4": 20.0}
"""PSNR against float32 (peak 1) from which a cell is green; the int8 forms need LEAST_INT8_DB."""
LEAST_INT8_DB = 40.0

STYLES = ("cyclegan", "style-transfer")
LEAST_SSIM, MOST_SHIFT = 0.97, 1 / 255
"""Of the int8 forms of STYLES, which restore nothing: their similarity to float32, and the largest mean shift of a colour."""


def names() -> list[str]:
    return [*SHIPPED, *sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))]


def measure(name: str, runtime: str, precision: str) -> Cell:
    """In this process."""
    from edgekit import models, pipeline, recipe
    from edgekit.cli.sets import calibration_set, test_set
    from edgekit.preparation import PictureSet
    from edgekit.target import Target
    from edgekit_targets import backend
    from edgekit_targets.devices.host import Host

    def few(source: PictureSet, count: int) -> PictureSet:
        every = list(source.pictures)
        chosen = every[:: max(1, len(every) // count)][:count]
        return PictureSet(source.name, source.sha256, [(n, p[..., 64:192, 64:192].contiguous()) for n, p in chosen])

    start = time.monotonic()
    enhancer = models.load(name if name in SHIPPED else str(WEIGHTS / f"{name}.safetensors"))
    side = SIDES.get(name, 64)
    with tempfile.TemporaryDirectory() as folder:
        bundle = pipeline.export(
            enhancer,
            Target("reach", ()),
            [pipeline.Job(backend(runtime), recipe.load(precision))],
            few(calibration_set("photos"), 32),
            few(test_set(), 2),
            Host(),
            Path(folder) / "bundle",
            tile=(side, side),
        )
        artifact = bundle.manifest.artifacts[0]
    parity, delegation = artifact.parity, artifact.delegation
    if parity is None:
        raise ValueError(artifact.why_not["parity"])
    if not parity.finite or parity.psnr_db is None:
        raise ValueError("the output is not finite")
    reason = shortfall(name, precision, parity.psnr_db, parity.ssim, parity.colour_shift)
    where = f"{delegation.delegated}/{delegation.total} in {delegation.partitions}" if delegation else ""
    return Cell(
        "low" if reason else "green",
        reason,
        psnr_db=parity.psnr_db,
        ssim=parity.ssim,
        colour_shift=parity.colour_shift,
        delegated=where,
        bytes=artifact.bytes,
        seconds=time.monotonic() - start,
    )


def shortfall(name: str, precision: str, psnr_db: float, ssim: float | None, shift: float | None) -> str:
    """What a file lacks; empty if nothing."""
    if name in STYLES and precision.startswith("int8"):
        lacks = [f"SSIM {ssim:.3f}, below {LEAST_SSIM:g}"] if ssim is not None and ssim < LEAST_SSIM else []
        return "; ".join(lacks + ([f"a colour is {shift * 255:.1f}/255 off"] if shift is not None and shift > MOST_SHIFT else []))
    least = LEAST_DB.get(precision, LEAST_INT8_DB)
    return f"{psnr_db:.1f} dB, below {least:g}" if psnr_db < least else ""


def page(made: dict[str, dict[str, Any]]) -> None:
    counts = {status: sum(cell["status"] == status for cell in made.values()) for status in ("green", "low", "failed")}
    lines = [
        "# Every network, every precision",
        "",
        f"Written by `make reach` on {datetime.now(UTC).date().isoformat()}: {len(made)} files, {counts['green']} green, {counts['low']} low, "
        f"{counts['failed']} failed, {len(names()) * sum(map(len, PRECISIONS.values())) - len(made)} not run. The networks that edgekit",
        "builds, those in tests/networks small and trained for a minute, one file per cell at 64x64 or 128x128 px, executed on this machine (Core ML by",
        "edgekit's evaluator) and compared with PyTorch in float32 on test pictures. Numbers are PSNR in decibels, at most 100; for those that restore",
        f"nothing ({', '.join(STYLES)}) int8 is judged by SSIM of at least {LEAST_SSIM:g} and a colour shift of at most 1/255. Green is at least "
        f"{LEAST_DB['fp32']:g} dB in fp32, {LEAST_DB['fp16']:g} in fp16,",
        f"{LEAST_INT8_DB:g} in the int8 forms, {LEAST_DB['palettized-6']:g} and {LEAST_DB['palettized-4']:g} in palettes of 6 and 4 bits. The plain recipes, no "
        "layer kept in float; `--recipe auto` looks for better ones. Behind it, the operators",
        "that the delegate takes, and in how many pieces, where that is not all in one.",
    ]
    reasons = []
    for runtime, precisions in PRECISIONS.items():
        lines += ["", f"## {runtime}", "", f"| network | {' | '.join(precisions)} |", "|---" * (len(precisions) + 1) + "|"]
        for name in names():
            row = []
            for precision in precisions:
                cell = made.get(f"{name}/{runtime}/{precision}")
                if cell is None:
                    row.append("not run")
                    continue
                shown = [f"{cell['psnr_db']:.0f}"] if cell["psnr_db"] is not None else []
                shown += [f"SSIM {cell['ssim']:.3f}"] if name in STYLES and precision.startswith("int8") and cell["ssim"] is not None else []
                shown += [cell["status"]] if cell["status"] != "green" else []
                delegated, _, rest = cell["delegated"].partition("/")
                total, _, pieces = rest.partition(" in ")
                shown += [f"({cell['delegated']})"] if rest and (delegated != total or pieces != "1") else []
                row.append(" ".join(shown))
                if cell["reason"]:
                    reasons.append(f"- {name}, {runtime} {precision}: {cell['status']}: {cell['reason']}")
            lines.append(f"| {name} | " + " | ".join(row) + " |")
    PAGE.write_text("\n".join([*lines, "", "## Why not green", "", *(reasons or ["Everything is."])]) + "\n", "utf-8")


def main() -> None:
    options = cells.options(__doc__)
    keys = ((name, runtime, precision) for name in names() for runtime, precisions in PRECISIONS.items() for precision in precisions)
    page(cells.fill(CELLS, keys, measure, options))


if __name__ == "__main__":
    main()
