"""What each layer loses: as `edgekit validate --layers` measured it on the files, or `--recipe auto` before it decided."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit import bundle, toml
from edgekit.bundle import Bundle
from edgekit.errors import InvalidFile
from edgekit.json_schema import parse_json

SHOWN = 24
MOST_NOTES = 8
LARGEST = 16 * 2**20


@dataclass(frozen=True)
class LayerRow:
    """`width` is the bar's, in per cent of the longest; `marked`: this layer is one to keep in float."""

    layer: str
    kind: str
    value: str
    width: float
    marked: bool


@dataclass(frozen=True)
class LayerChart:
    """Of one artifact, or one backend. `said` is its verdict, `what` the bars' number; `rows` are the worst, `more` those left out."""

    name: str
    said: str
    what: str
    source: str
    rows: tuple[LayerRow, ...]
    more: tuple[LayerRow, ...]


def layers(opened: Bundle) -> list[LayerChart]:
    """The charts of the files that were looked into. What was measured on another file than the bundle's is left out. Raises InvalidFile."""
    found = []
    for artifact in opened.manifest.artifacts:
        name = f"measured/layers-{artifact.name}.json"
        if "/" in artifact.name or (data := bundle.read_note(opened, name, LARGEST)) is None:
            continue
        from edgekit.layers import from_json  # here, because it imports torch, which a page without such charts does not need

        report = from_json(data, str(opened.path / name))
        if report.sha256 != artifact.sha256:
            continue
        alone = [loss.alone_psnr_db for loss in report.layers]
        if all(value is not None for value in alone):
            what, values = "PSNR of the output with this layer alone rounded, dB: short bars cost most", [value or 0.0 for value in alone]
        else:
            what, values = "SQNR of the layer's output in the file, dB: short bars have lost most", [loss.accumulated_db for loss in report.layers]
        bars = [
            (loss.layer, loss.kind, value, loss.recipe is not None and index == 0)
            for index, (loss, value) in enumerate(zip(report.layers, values, strict=True))
        ]
        rows = _rows(bars)
        found.append(LayerChart(artifact.name, report.verdict(), what, f"Executed: {report.source}", rows[:SHOWN], rows[SHOWN:]))
    return found


@dataclass(frozen=True)
class Sensitivity:
    """The worst tile's PSNR with this layer alone quantized; `spared`: the recipe that was found keeps it in float, or gives it more bits."""

    layer: str
    worst_psnr_db: float
    spared: bool


@dataclass(frozen=True)
class SensitivityNote:
    """sensitivity-<backend>.json."""

    precision: str
    layers: tuple[Sensitivity, ...]


def sensitivities(opened: Bundle) -> dict[str, LayerChart]:
    """Backend -> what `--recipe auto` found, for the notes of the bundle that tell it. Raises InvalidFile for a damaged one."""
    found = {}
    for path in sorted(opened.path.glob("sensitivity-*.json"))[:MOST_NOTES]:
        where = str(opened.path / path.name)
        data = bundle.read_note(opened, path.name, LARGEST) or b""
        try:
            note = toml.build(SensitivityNote, parse_json(data.decode("utf-8"), where), where)
        except UnicodeDecodeError as error:
            raise InvalidFile(f"{where}: is not UTF-8 text (byte {error.start}); expected a chart's numbers: export the bundle again") from error
        spared = [one.layer for one in note.layers if one.spared]
        rows = _rows([(one.layer, "spared" if one.spared else "", one.worst_psnr_db, one.spared) for one in note.layers])
        backend = re.sub(r"^sensitivity-|\.json$", "", path.name)
        found[backend] = LayerChart(
            f"Sensitivity, {backend}",
            f"Spared by the recipe: {', '.join(spared)}" if spared else "No layer had to be spared",
            f"PSNR of the worst calibration tile with this layer alone in {note.precision}, dB: short bars are sensitive",
            "Measured by --recipe auto before it decided",
            rows[:SHOWN],
            rows[SHOWN:],
        )
    return found


def _rows(bars: Sequence[tuple[str, str, float, bool]]) -> tuple[LayerRow, ...]:
    longest = max((*(value for _, _, value, _ in bars), 1.0))
    return tuple(LayerRow(layer, kind, f"{value:.1f}", round(100 * max(0.0, value) / longest, 2), marked) for layer, kind, value, marked in bars)
