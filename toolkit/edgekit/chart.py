"""Small charts as SVG text: they need no library, scale on a phone, and work in a page and alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

BAR, GAP, LABEL, WIDTH = 14, 4, 220, 520


def bars(title: str, rows: Sequence[tuple[str, float, bool]], unit: str) -> str:
    """Horizontal bars from zero, a row each: (label, value, marked). Marked ones are drawn in the warning colour."""
    most = max((value for _, value, _ in rows), default=1.0) or 1.0
    height = 40 + len(rows) * (BAR + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LABEL + WIDTH + 90} {height}" font-family="sans-serif" font-size="11" role="img">',
        f"<title>{escape(title)}</title>",
        f'<text x="0" y="18" font-size="14">{escape(title)}</text>',
    ]
    for index, (label, value, marked) in enumerate(rows):
        y = 30 + index * (BAR + GAP)
        width = max(0.0, value) / most * WIDTH
        parts += [
            f'<text x="{LABEL - 6}" y="{y + 11}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{"#c2410c" if marked else "#2563eb"}"/>',
            f'<text x="{LABEL + width + 4:.1f}" y="{y + 11}">{value:.1f} {escape(unit)}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def scatter(title: str, points: Sequence[tuple[str, float, float]], x_label: str, y_label: str) -> str:
    """Points (label, x, y) with their labels, axes from the data."""
    xs, ys = [p[1] for p in points], [p[2] for p in points]
    pad_x, pad_y = (max(xs) - min(xs)) * 0.08 or 1.0, (max(ys) - min(ys)) * 0.12 or 0.1
    left, right, low, high = min(xs) - pad_x, max(xs) + pad_x * 2.5, min(ys) - pad_y, max(ys) + pad_y

    def at(x: float, y: float) -> tuple[float, float]:
        return 70 + (x - left) / (right - left) * 600, 330 - (y - low) / (high - low) * 280

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 380" font-family="sans-serif" font-size="11" role="img">',
        f"<title>{escape(title)}</title>",
        f'<text x="70" y="20" font-size="14">{escape(title)}</text>',
        '<rect x="70" y="50" width="600" height="280" fill="none" stroke="#999"/>',
        f'<text x="370" y="370" text-anchor="middle">{escape(x_label)}</text>',
        f'<text x="16" y="190" text-anchor="middle" transform="rotate(-90 16 190)">{escape(y_label)}</text>',
    ]
    for step in range(5):
        x, y = left + (right - left) * step / 4, low + (high - low) * step / 4
        px, py = at(x, y)
        parts += [
            f'<text x="{px:.0f}" y="346" text-anchor="middle">{x:.3g}</text>',
            f'<text x="64" y="{py + 4:.0f}" text-anchor="end">{y:.2f}</text>',
        ]
    for number, (label, x, y) in enumerate(points):
        px, py = at(x, y)
        below, from_right = number % 2, px > 480  # neighbours are often the same network on two runtimes, a hair apart
        place = f'x="{px + (-7 if from_right else 7):.1f}" y="{py + (15 if below else -7):.1f}"' + ' text-anchor="end"' * from_right
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="{"#c2410c" if below else "#2563eb"}"/>', f"<text {place}>{escape(label)}</text>"]
    return "\n".join([*parts, "</svg>"]) + "\n"
