"""What was measured, judged, for people and for the file beside the manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from edgekit import json_schema, metrics
from edgekit.bundle import Bundle, read_note
from edgekit.errors import InvalidFile
from edgekit.layers.values import LayerLoss, Reader
from edgekit.manifest import Artifact
from edgekit.measured import FOLDER, LARGEST, put

TOLERANCE_DB = {"fp32": 80.0, "fp16": 45.0}
"""Precision of a float file -> the local SQNR below which its numbers and the network's have parted. Sums in another order leave float32 above 100 dB, fp16 files
that are sound have 63 and more at every layer. What accumulates says nothing: EDSR's fp16 package goes down to 37 dB and is right."""

LOSSLESS_DB = 80.0
"""Own SQNR from which on a layer is not worth exempting."""


@dataclass(frozen=True)
class Measured:
    """`layers` that the file shows, in the network's order; `not_shown` are those that it does not. `outputs` are the watched run's, one per tile, as float32 in
    [0, 1]; `psnr_db` is of the worst against the network's."""

    layers: tuple[LayerLoss, ...]
    not_shown: tuple[str, ...]
    outputs: tuple[Tensor, ...]
    psnr_db: float


@dataclass(frozen=True)
class Report:
    """Of one artifact, layers worst first. `not_shown` are layers of the network that the file does not show one to one (merged, split, renamed).

    `output_psnr_db` compares the watched run's output with the network's, `agrees_db` with the file's as it normally runs (None: not run).
    `parts_at` is the first layer of a float file, in the network's order, whose local SQNR is below `tolerance_db`; None: nowhere. Then `parts_inside`
    says whether it lies in the layer itself (None: not known), or between it and the layers before it.
    Nothing was measured where `why_not` is not None.
    """

    artifact: str
    sha256: str
    precision: str
    source: str
    tiles: tuple[str, ...] = ()
    layers: tuple[LayerLoss, ...] = ()
    not_shown: tuple[str, ...] = ()
    output_psnr_db: float | None = None
    agrees_db: float | None = None
    tolerance_db: float | None = None
    parts_at: str | None = None
    parts_inside: bool | None = None
    why_not: str | None = None

    def verdict(self) -> str:
        """One line: where the numbers part, or what to exempt first."""
        if self.why_not is not None:
            return f"NOT MEASURED: {self.why_not}"
        if self.tolerance_db is not None:
            if self.parts_at is None:
                lowest, whole = min(self.layers, key=_local), min(loss.accumulated_db for loss in self.layers)
                return (
                    f"the numbers part nowhere: SQNR is at least {_local(lowest):.1f} dB layer by layer (at '{lowest.layer}'), {whole:.1f} dB accumulated; "
                    f"tolerance {self.tolerance_db:g} dB layer by layer"
                )
            loss = next(loss for loss in self.layers if loss.layer == self.parts_at)
            where = {True: "inside it", False: "between it and the layer before", None: "in it or just before it"}[self.parts_inside]
            return f"the numbers part at '{loss.layer}' ({loss.kind}), {where}: SQNR {_local(loss):.1f} dB; tolerance {self.tolerance_db:g} dB"
        first = next((loss for loss in self.layers if loss.recipe is not None), None)
        if first is None:
            return "no layer left to exempt"
        alone = (
            ""
            if first.alone_psnr_db is None
            else f" (alone it limits the output to {first.alone_psnr_db:.1f} dB, all together {_db(self.output_psnr_db)})"
        )
        worse = "" if first is self.layers[0] else f"; '{self.layers[0].layer}' costs more, but no line exempts it (further)"
        return f"keep the worst in float with {first.recipe}{alone}{worse}"

    def to_json(self) -> str:
        """The text of `measured/layers-<artifact>.json`. Raises ValueError for a report that breaks its own schema."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        from_json(text, "this report")
        return text


def _db(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f} dB"


def report(artifact: Artifact, read: Reader, measured: Measured, tiles: Sequence[str], agrees_db: float | None) -> Report:
    """What was measured, judged: where a float file's numbers part, or what to exempt from an integer file's recipe. `tiles` are their names."""
    tolerance = TOLERANCE_DB.get(artifact.precision)
    made = Report(
        artifact.name,
        artifact.sha256,
        artifact.precision,
        read.source,
        tuple(tiles),
        not_shown=measured.not_shown,
        output_psnr_db=round(measured.psnr_db, 2),
        agrees_db=None if agrees_db is None else round(agrees_db, 2),
    )
    if tolerance is None:
        lines = (replace(loss, recipe=_line(loss, artifact, read)) for loss in measured.layers)
        return replace(made, layers=tuple(sorted(lines, key=_loss)))
    first = next((loss for loss in measured.layers if _local(loss) < tolerance), None)
    inside = None if first is None or first.own_db is None else first.own_db < tolerance
    ranked = tuple(sorted(measured.layers, key=_local))
    return replace(made, layers=ranked, tolerance_db=tolerance, parts_at=first and first.layer, parts_inside=inside)


def not_measured(artifact: Artifact, reason: object) -> Report:
    return Report(artifact.name, artifact.sha256, artifact.precision, "nothing", why_not=str(reason))


def _line(loss: LayerLoss, artifact: Artifact, read: Reader) -> str | None:
    """What to write into the recipe's [quantize] to keep the layer in float, beside what stands there already."""
    had = artifact.quantize
    lost = loss.accumulated_db if loss.own_db is None else loss.own_db
    name, integers = _layer(loss.layer), artifact.precision.split("-")[-1] == "int8"
    if lost >= LOSSLESS_DB:
        return None
    if name in artifact.quantized or (integers and loss.kind in read.by_name):
        return f"float_layers = {json.dumps([*(had.float_layers if had else ()), name], ensure_ascii=False)}"
    if integers and loss.kind in read.by_type:
        return f"float_types = {json.dumps([*(had.float_types if had else ()), loss.kind])}"
    return None


def _local(loss: LayerLoss) -> float:
    return loss.accumulated_db if loss.local_db is None else loss.local_db


def _loss(loss: LayerLoss) -> tuple[float, float]:
    return (metrics.CAP_DB if loss.alone_psnr_db is None else loss.alone_psnr_db), (loss.accumulated_db if loss.own_db is None else loss.own_db)


def _layer(name: str) -> str:
    """The layer of `name`, which ends in #2 where a layer is used for the second time."""
    return name.partition("#")[0]


_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "array", "items": _TEXT}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_NUMBER, _NUMBER_OR_NULL = {"type": "number"}, {"type": ["number", "null"]}
_LAYER = {
    "type": "object",
    "additionalProperties": False,
    "required": [field.name for field in fields(LayerLoss)],
    "properties": {
        **dict.fromkeys(("layer", "kind"), _TEXT),
        "position": {"type": "integer", "minimum": 0},
        **dict.fromkeys(("accumulated_db", "accumulated_mean_db"), _NUMBER),
        **dict.fromkeys(("own_db", "own_mean_db", "alone_psnr_db", "alone_mean_psnr_db", "local_db"), _NUMBER_OR_NULL),
        "recipe": _TEXT_OR_NULL,
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": [field.name for field in fields(Report)],
    "properties": {
        **dict.fromkeys(("artifact", "sha256", "precision", "source"), _TEXT),
        **dict.fromkeys(("tiles", "not_shown"), _TEXTS),
        "layers": {"type": "array", "items": _LAYER},
        **dict.fromkeys(("output_psnr_db", "agrees_db", "tolerance_db"), _NUMBER_OR_NULL),
        **dict.fromkeys(("parts_at", "why_not"), _TEXT_OR_NULL),
        "parts_inside": {"type": ["boolean", "null"]},
    },
}
"""In the words of `edgekit.json_schema.check`."""


def file_name(artifact: str) -> str:
    """Where an artifact's report lies in its bundle."""
    return f"{FOLDER}/layers-{artifact}.json"


def write(folder: Path, report: Report) -> Path:
    """Puts the report into the bundle in `folder`, beside the manifest, whole or not at all. Raises InvalidFile if the place is a link or cannot be written."""
    place = folder / file_name(report.artifact)
    put(place, report.to_json())
    return place


def read(bundle: Bundle, artifact: str) -> Report | None:
    """The artifact's report, None if it was never measured or belongs to another file than the bundle's. Raises InvalidFile."""
    where = file_name(artifact)
    data = read_note(bundle, where, LARGEST)
    if data is None:
        return None
    found = from_json(data, str(bundle.path / where))
    known = {a.name: a.sha256 for a in bundle.manifest.artifacts}
    return found if found.artifact == artifact and known.get(artifact) == found.sha256 else None


def from_json(data: str | bytes, where: str) -> Report:
    """Reads and validates. `where` opens each message. Raises InvalidFile."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFile(f"{where}: is not UTF-8 text (byte {error.start}); expected what --layers wrote: delete it and measure again") from error
    table = json_schema.parse_json(text, where)
    json_schema.check(table, SCHEMA, where)
    found: Report = json_schema.decode(Report, table)
    return found
