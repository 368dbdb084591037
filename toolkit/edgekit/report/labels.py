"""How a measured number is called, scaled and rounded. A number that is not in the table is shown all the same, under its own key."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Better = Literal["more", "less"]


@dataclass(frozen=True)
class Metric:
    """A value v is shown as v * `times`, in `unit`, with `decimals` (None: four significant digits)."""

    label: str
    unit: str = ""
    times: float = 1.0
    decimals: int | None = None
    better: Better | None = None
    signed: bool = False

    def text(self, value: float) -> str:
        """Without the unit. True and false are yes and no."""
        if isinstance(value, bool):
            return "yes" if value else "no"
        shown = value * self.times
        if self.decimals is None:
            return _minus(f"{shown:.4g}")
        text = f"{shown:{'+' if self.signed else ''}.{self.decimals}f}"
        return text.replace("-", "+" if self.signed else "") if float(text) == 0 else _minus(text)

    def difference(self, a: float, b: float) -> str:
        """b - a, with its sign."""
        delta = (float(b) - float(a)) * self.times
        text = f"{delta:+.3g}" if self.decimals is None else f"{delta:+.{self.decimals}f}"
        return "0" if float(text) == 0 else _minus(text)


def _minus(text: str) -> str:
    """With a minus sign as wide as the plus sign, so that columns stand straight."""
    return text.replace("-", "−")


METRICS: dict[str, Metric] = {
    "size_mb": Metric("Size", "MB", decimals=2, better="less"),
    "psnr_db": Metric("PSNR, mean", "dB", decimals=2, better="more"),
    "worst_psnr_db": Metric("PSNR, worst tile", "dB", decimals=2, better="more"),
    "smooth_psnr_db": Metric("PSNR, worst smooth picture", "dB", decimals=2, better="more"),
    "psnr_gt_db": Metric("PSNR against ground truth", "dB", decimals=2, better="more"),
    "delta_psnr_db": Metric("Drop against ground truth, mean", "dB", decimals=3, better="less", signed=True),
    "worst_delta_psnr_db": Metric("Drop against ground truth, worst", "dB", decimals=3, better="less", signed=True),
    "ssim": Metric("SSIM", decimals=4, better="more"),
    "worst_ssim": Metric("SSIM, worst picture", decimals=4, better="more"),
    "lpips": Metric("LPIPS", decimals=4, better="less"),
    "dice": Metric("Dice", decimals=4, better="more"),
    "iou": Metric("IoU, mean", decimals=4, better="more"),
    "worst_iou": Metric("IoU, worst picture", decimals=4, better="more"),
    "worst_tile": Metric("Worst tile"),
    "max_abs": Metric("Largest difference", "8-bit steps", times=255, decimals=1, better="less"),
    "colour_shift": Metric("Colour shift", "8-bit steps", times=255, decimals=2, better="less"),
    "tile_colour_shift": Metric("Colour shift, worst tile", "8-bit steps", times=255, decimals=2, better="less"),
    "channel_shift": Metric("Shift per channel", "8-bit steps", times=255, decimals=2, signed=True),
    "ciede2000_mean": Metric("CIEDE2000, mean", "worst picture", decimals=2, better="less"),
    "ciede2000_p99": Metric("CIEDE2000, 99th percentile", "worst picture", decimals=2, better="less"),
    "seam_steps": Metric("Seams", "8-bit steps", decimals=2, better="less"),
    "banding": Metric("Banding", "% of smooth blocks", times=100, decimals=2, better="less"),
    "finite": Metric("All values finite"),
    "runs_equal": Metric("Two runs equal"),
    "fp16_headroom": Metric("Headroom in fp16", "x", decimals=1, better="more"),
    "delegated_share": Metric("Delegated", "% of operators", times=100, decimals=1, better="more"),
    "median_ms": Metric("Latency, median", "ms a tile", decimals=1, better="less"),
    "p90_ms": Metric("Latency, 90th percentile", "ms a tile", decimals=1, better="less"),
    "peak_memory_mb": Metric("Peak memory", "MB", decimals=0, better="less"),
}
UNITS = {"db": "dB", "ms": "ms", "mb": "MB", "px": "px"}


def metric(key: str) -> Metric:
    """`seam_psnr_db` -> "Seam psnr", in dB."""
    if key in METRICS:
        return METRICS[key]
    stem, _, tail = key.rpartition("_")
    unit = UNITS.get(tail, "") if stem else ""
    words = (stem if unit else key).replace("_", " ").strip() or key
    return Metric(words[:1].upper() + words[1:], unit)


def limit(key: str, measured: float | None, budget: float, status: str) -> str:
    """ "at least 45", "at most 0.1", or "45" where neither the table nor the outcome tells which: a number within budget lies on its good side."""
    how = metric(key)
    better = how.better
    if better is None and measured is not None and measured != budget:
        better = "more" if (measured > budget) == (status == "ok") else "less"
    shown = f"{budget * how.times:.4g}"
    return f"at least {shown}" if better == "more" else f"at most {shown}" if better == "less" else shown


def megabytes(size: int) -> str:
    return METRICS["size_mb"].text(size / 1e6)


def count(value: float) -> str:
    """1369859 -> "1.37 million"."""
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def moment(text: str) -> str:
    """ISO 8601 in UTC as people read it; anything else as it is."""
    day, separator, time = text.partition("T")
    return f"{day} {time.removesuffix('+00:00')} UTC" if separator and time.endswith("+00:00") else text
