"""Charts of the page as SVG inside it, so that they take its colours. They hold numbers only; texts stand in the HTML around them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from edgekit.evidence import STEPS

WIDTH, HEIGHT = 440, 210
LEFT, RIGHT, TOP, BOTTOM = 54, 8, 10, 34
LEAST_SHARE = 1e-7
SHARES = ((1.0, "100 %"), (1e-2, "1 %"), (1e-4, "0.01 %"), (1e-6, "1 ppm"))
MOST_POINTS = 1500


def histogram(steps: Sequence[int], title: str) -> Markup:
    """Shares of all values by their difference in 8-bit steps, on a logarithmic scale: rare large errors stay visible. `steps` as in the evidence."""
    total = sum(steps)
    reach = max(4, max((abs(i - STEPS) for i, n in enumerate(steps) if n), default=0))
    wide = (WIDTH - LEFT - RIGHT) / (2 * reach + 1)
    parts = []
    for share, name in SHARES:
        y = _log_y(share)
        parts += [f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>', _label(LEFT - 6, y + 4, name, "end")]
    for step in range(-reach, reach + 1):
        share = steps[step + STEPS] / total
        x = LEFT + (step + reach) * wide
        if share > 0:
            y = _log_y(share)
            parts.append(
                f'<rect class="{"bar same" if step == 0 else "bar"}" x="{x + wide * 0.1:.1f}" y="{y:.1f}" width="{wide * 0.8:.1f}" '
                f'height="{_log_y(LEAST_SHARE) - y:.1f}"/>'
            )
        if step % max(1, reach // 4) == 0:
            beyond = "≤" if step == -STEPS else "≥" if step == STEPS else ""
            parts.append(_label(x + wide / 2, HEIGHT - BOTTOM + 16, f"{beyond}{step:+d}".replace("-", "−") if step else "0", "middle"))
    return _svg(title, parts)


def tile_chart(psnr_db: Sequence[float], budget: float | None, title: str) -> Markup:
    """Every tile's PSNR, worst first, with the budget for the worst one as a line."""
    values = sorted(psnr_db)
    low, high = min(values[0], budget if budget is not None else values[0]), max(values[-1], budget if budget is not None else values[-1])
    tick = next(size for size in (1, 2, 5, 10, 20, 50) if (high - low) / size <= 5)
    low, high = math.floor(low / tick) * tick, math.ceil(high / tick) * tick
    high += tick * (high == low)

    def at(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for step in range(round((high - low) / tick) + 1):
        y = at(low + step * tick)
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
            _label(LEFT - 6, y + 4, f"{low + step * tick:g}", "end"),
        ]
    if budget is not None:
        parts.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at(budget):.1f}" y2="{at(budget):.1f}"/>')
    last = len(values) - 1
    shown = range(len(values)) if len(values) <= MOST_POINTS else sorted({round(i * last / (MOST_POINTS - 1)) for i in range(MOST_POINTS)})
    for i in shown:
        x = LEFT + 6 + i / max(1, last) * (WIDTH - LEFT - RIGHT - 12)
        over = budget is not None and values[i] < budget
        parts.append(f'<circle class="{"dot over" if over else "dot"}" cx="{x:.1f}" cy="{at(values[i]):.1f}" r="2.4"/>')
    parts += [_label(LEFT, HEIGHT - BOTTOM + 16, "worst tile", "start"), _label(WIDTH - RIGHT, HEIGHT - BOTTOM + 16, "best", "end")]
    return _svg(title, parts)


def _log_y(share: float) -> float:
    down = math.log10(max(share, LEAST_SHARE)) / math.log10(LEAST_SHARE)
    return TOP + down * (HEIGHT - TOP - BOTTOM)


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return str(Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text))


def _svg(title: str, parts: list[str]) -> Markup:
    opening = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, title)
    return opening + Markup("".join(parts)) + Markup("</svg>")
