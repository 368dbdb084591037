"""Writes toolkit/docs/gates.md: what each gate catches and where its number comes from, and the planted faults as measured now: `make gates-page`.

The faults are those of the tests (tests/toolkit/faults.py), so the table cannot say more than the tests prove.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import faults  # tests/toolkit, which the Makefile puts on the path

import edgekit_targets
from edgekit.parity import ALWAYS, AT_MOST
from edgekit.target import Budget

GATES = {
    "finite": ("NaN or infinity anywhere, which 8-bit pictures hide as black", "none is acceptable"),
    "runs_equal": ("GPU kernels that give another picture each time", "two runs are equal to the bit"),
    "psnr_db": ("mean loss against the reference", "published best for EDSR int8 on XNNPACK: 47.4 dB"),
    "worst_psnr_db": ("one bad tile that a mean hides", "published worst tile for the same: 43.2 dB"),
    "delta_psnr_db": ("lost detail: PSNR against ground truth, reference minus file, mean", "Apple publishes 0.35 dB for EDSR W8A8; 0.06 measured"),
    "worst_delta_psnr_db": ("the same on the picture where it is largest", "0.13 measured for EDSR int8"),
    "smooth_psnr_db": ("noise where nothing hides it: pictures on which the reference is above 36 dB", "the mean's limit"),
    "banding": (
        "contours in smooth areas: 8x8 block means that moved apart by over 1.5 steps, a share of all smooth pairs",
        "0 for EDSR; one pair in 1000",
    ),
    "colour_shift": ("a cast: largest mean difference of a channel over a picture", "one 8-bit step is 0.0039"),
    "tile_colour_shift": ("a cast of one tile: the same over a tile's core", "one and a half 8-bit steps; 0.0026 measured"),
    "ciede2000_mean": (
        "colours, weighed as the eye does: mean CIEDE2000 of the picture where it is largest",
        "about 1 is just noticeable, as is one level of green on mid grey (0.97) or fine noise of one level; 0.72 measured, other models 0.2 to 0.8",
    ),
    "ciede2000_p99": (
        "wrong colours in a small part of a picture: what 99 of 100 pixels do not exceed",
        "1.9 measured, good files of other models up to 2.4",
    ),
    "ssim": ("lost or added structure, mean over pictures", "at 0.95 half of the observers see no difference (Flynn et al. 2013); 0.996 measured"),
    "worst_ssim": ("the same on the worst picture", "0.989 measured"),
    "seam_steps": (
        "lines along tile borders, also those of a halo that is too small: how much larger the error's step is there than any beside it, in 8-bit steps",
        "half a step, which rounding hides; 0.23 measured, 0.5 without a halo (edsr-mobile)",
    ),
    "max_abs": ("one overflowed pixel", "32 levels of 255, a speck; 0.02 measured, up to 0.1 on other good files"),
    "lpips": (
        "textures that look different though their pixels are near",
        "no built-in target limits it: its weights are not shipped, nothing is downloaded",
    ),
    "dice": (
        "masks that no longer overlap, mean over classes and pictures (segmenters)",
        "no segmenter ships yet; Dice 0.98 is an IoU of 0.96 on one mask",
    ),
    "iou": ("the same by union", "as Dice"),
    "worst_iou": ("the same on the worst picture", "not measured yet"),
    "delegated_share": (
        "operators left to slow portable kernels: time, not quality; not measured where the runtime decides at load time",
        "1.0 measured on every good Android file",
    ),
}


def limits(name: str) -> str:
    if name in ALWAYS:
        return "always"
    budgets = edgekit_targets.load("android").budgets
    by_task = {task: asdict(budget)[name] for task, budget in budgets.items() if asdict(budget)[name] is not None}
    sign = "at most" if name in AT_MOST else "at least"
    values = set(by_task.values())
    if len(values) == 1 and len(by_task) == len(budgets):
        return f"{sign} {values.pop():g}"
    return "; ".join(f"{task}: {sign} {value:g}" for task, value in by_task.items()) or "-"


def planted() -> list[str]:
    restore = edgekit_targets.load("android").budgets["restore"]
    lines = ["| planted | mean PSNR, dB | correlation | plain test | gates that are over |", "|---|---|---|---|---|"]
    for name, make in {"nothing": lambda: faults.prepared()[2], **faults.FAULTS}.items():
        fault = make()
        psnr, correlation = faults.plain(fault)
        good = psnr > faults.PLAIN_DB and correlation > faults.PLAIN_CORRELATION
        over = [line for line in faults.gates(fault, restore) if line.status == "over"]
        if any(line.name == "finite" for line in over):
            found = "finite (nothing else is measured, so nothing else is ok)"
        else:
            found = ", ".join(f"{line.name} {line.measured:.3g} ({line.budget:g})" for line in over)
        lines.append(f"| {name} | {psnr:.1f} | {correlation:.4f} | {'good' if good else 'bad'} | {found or 'none'} |")
    return lines


def main() -> None:
    assert GATES.keys() == {*ALWAYS, *(f.name for f in fields(Budget))}, "one line per gate"
    lines = [
        "# Gates",
        "",
        "Written by `make gates-page`. What a file is held to, beside the network it came from; limits are those of `android.toml`, of all tasks where no task is",
        "named. Every other target limits the same (the share delegated only where a delegate exists). A line that could not be measured is never called good.",
        '"Measured" is EDSR int8 on all test pictures, both Android files. Seams are taken against the untiled network on four pictures, against the tiled one',
        "on the others; CIEDE2000 is from sRGB under D65.",
        "",
        "| gate | what it catches | limit | where the number comes from |",
        "|---|---|---|---|",
        *(f"| `{name}` | {catches} | {limits(name)} | {source} |" for name, (catches, source) in GATES.items()),
        "",
        "FID and mAP are refused in a target's budgets: they need thousands of (labelled) pictures and a backbone.",
        "",
        "## Planted faults",
        "",
        f"On {len(faults.PICTURES)} test pictures: a stand-in artifact that is within every budget, with one fault each. The plain test is a mean PSNR above",
        f"{faults.PLAIN_DB:g} dB and a correlation above {faults.PLAIN_CORRELATION:g} over the saved pictures. `tests/toolkit/test_gates.py` holds each row.",
        "",
        *planted(),
    ]
    (Path(__file__).parent / "gates.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
