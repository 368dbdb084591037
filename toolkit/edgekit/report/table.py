"""The table of a bundle's files: a column per file, a row per number, what the budget allows beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, Literal

from edgekit.manifest import Artifact, BudgetLine, Manifest, Parity
from edgekit.report.labels import limit, megabytes, metric

State = Literal["", "ok", "over", "unmeasured"]
NOT_MEASURED = "NOT MEASURED"
TOLD_ELSEWHERE = ("executed_by", "reference", "pictures", "tiles")
"""Fields of Parity that say how it was measured; the page's text has them."""


@dataclass(frozen=True)
class Cell:
    text: str
    state: State = ""


@dataclass(frozen=True)
class Row:
    label: str
    unit: str
    limit: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    title: str
    rows: tuple[Row, ...]


_STATES: dict[str, State] = {"ok": "ok", "over": "over", "not measured": "unmeasured"}
UNMEASURED = Cell(NOT_MEASURED, "unmeasured")


def summary(manifest: Manifest) -> list[Row]:
    """What a file is chosen by."""
    artifacts = manifest.artifacts
    return [
        _row(artifacts, "Budget", standing),
        _row(artifacts, "Size", lambda a: megabytes(a.bytes), "MB"),
        _row(artifacts, "Precision", lambda a: a.precision),
        *(_measured(key, artifacts) for key in ("psnr_db", "worst_psnr_db", "delta_psnr_db")),
        _timed("median_ms", artifacts),
        _row(artifacts, "Beside the reference", faster, "times as fast"),
        _row(artifacts, "Operators delegated", lambda a: f"{a.delegation.delegated} of {a.delegation.total}" if a.delegation else None),
    ]


def groups(manifest: Manifest) -> list[Group]:
    """Every number, with its limit."""
    artifacts = manifest.artifacts
    found = [
        Group("Parity with the reference", tuple(_measured(key, artifacts) for key in parity_keys(artifacts))),
        Group("Other limits", tuple(_measured(key, artifacts) for key in other_limits(artifacts))),
        Group(
            "Speed",
            (
                *(_timed(key, artifacts) for key in ("median_ms", "p90_ms", "peak_memory_mb")),
                _row(artifacts, "Runs and threads", lambda a: f"{a.latency.runs} and {a.latency.threads}" if a.latency else None),
                _row(artifacts, "Measured on", lambda a: a.latency.device if a.latency else None),
            ),
        ),
        Group(
            "File",
            (
                _row(artifacts, "Layers", layers),
                _row(artifacts, "Delegate", lambda a: a.delegate or "the runtime's choice"),
                _row(artifacts, "Delegated pieces", lambda a: str(a.delegation.partitions) if a.delegation else None),
            ),
        ),
    ]
    return [group for group in found if group.rows]


def _row(artifacts: Sequence[Artifact], label: str, give: Callable[[Artifact], Cell | str | None], unit: str = "") -> Row:
    return Row(label, unit, "", tuple(_cell(give(artifact)) for artifact in artifacts))


def _timed(key: str, artifacts: Sequence[Artifact]) -> Row:
    return _row(artifacts, metric(key).label, lambda a: _latency(a, key), metric(key).unit)


def standing(artifact: Artifact) -> Cell:
    """Over budget beats not measured, and that beats within budget."""
    over = sum(line.status == "over" for line in artifact.budget)
    blind = sum(line.status == "not measured" for line in artifact.budget)
    if over:
        return Cell(f"OVER in {over} of {len(artifact.budget)}", "over")
    if blind or artifact.parity is None:
        return Cell(NOT_MEASURED if artifact.parity is None else f"{NOT_MEASURED} in {blind} of {len(artifact.budget)}", "unmeasured")
    return Cell("within", "ok") if artifact.budget else Cell("none set")


def layers(artifact: Artifact) -> str:
    if not artifact.quantized:
        return f"all {artifact.precision}" if artifact.precision in ("fp32", "fp16") else "not reported"
    return f"{len(artifact.quantized)} quantized, {len(artifact.kept_float)} float"


def faster(artifact: Artifact) -> str | None:
    ratio = artifact.latency.ratio_to_reference if artifact.latency else None
    return f"{1 / ratio:.2f}" if ratio else None


def parity_keys(artifacts: Sequence[Artifact]) -> list[str]:
    """The fields of Parity to show, those that have a budget first. One that is not `silent`."""
    hidden = {*TOLD_ELSEWHERE, *silent(artifacts)}
    shown = [f.name for f in fields(Parity) if f.name not in hidden]
    return sorted(shown, key=lambda key: not _limited(key, artifacts))


def silent(artifacts: Sequence[Artifact]) -> list[str]:
    """Optional fields of Parity that no file has a value, a budget or a reason for: mostly those that do not apply, such as a segmenter's."""
    optional = [f.name for f in fields(Parity) if f.default is not MISSING]
    return [
        key
        for key in optional
        if not _limited(key, artifacts) and not any(key in a.why_not or getattr(a.parity, key, None) is not None for a in artifacts)
    ]


def other_limits(artifacts: Sequence[Artifact]) -> list[str]:
    """Budget lines that are no field of Parity."""
    own = {f.name for f in fields(Parity)}
    return [key for key in dict.fromkeys(line.name for artifact in artifacts for line in artifact.budget) if key not in own]


def _limited(key: str, artifacts: Sequence[Artifact]) -> bool:
    return any(line.name == key for artifact in artifacts for line in artifact.budget)


def _measured(key: str, artifacts: Sequence[Artifact]) -> Row:
    lines = [next((line for line in artifact.budget if line.name == key), None) for artifact in artifacts]
    yes_or_no = any(isinstance(getattr(artifact.parity, key, None), bool) for artifact in artifacts)
    limits = {
        "must be yes" if yes_or_no or key in ("finite", "runs_equal") else limit(key, line.measured, line.budget, line.status)
        for line in lines
        if line is not None
    }
    cells = tuple(_parity_cell(key, artifact, line) for artifact, line in zip(artifacts, lines, strict=True))
    return Row(metric(key).label, metric(key).unit, " / ".join(sorted(limits)), cells)


def _parity_cell(key: str, artifact: Artifact, line: BudgetLine | None) -> Cell:
    value = getattr(artifact.parity, key, None)
    if value is None and line is not None:
        value = line.measured
    if value is None:
        return Cell(f"{NOT_MEASURED}: not finite", "over") if line is not None and line.status == "over" else UNMEASURED
    return Cell(plain(value, metric(key).text), _STATES[line.status] if line else "")


def plain(value: Any, number: Callable[[float], str]) -> str:
    """Whatever a field holds, as one line."""
    if isinstance(value, int | float):
        return number(value)
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(inner, number)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(inner, number) for inner in value)
    return str(value)


def _latency(artifact: Artifact, key: str) -> str | None:
    value = getattr(artifact.latency, key, None)
    return None if value is None else metric(key).text(value)


def _cell(given: Cell | str | None) -> Cell:
    return UNMEASURED if given is None else given if isinstance(given, Cell) else Cell(given)


def numbers(artifact: Artifact) -> dict[str, float | None]:
    """What two files can be compared by: size, parity's numbers, latency. None: not measured."""
    found: dict[str, float | None] = {"size_mb": artifact.bytes / 1e6}
    for key in (*parity_keys([artifact]), *other_limits([artifact])):
        value = getattr(artifact.parity, key, None)
        if value is None:
            value = next((line.measured for line in artifact.budget if line.name == key), None)
        if value is None or isinstance(value, int | float):
            found[key] = value
    for key in ("median_ms", "p90_ms", "peak_memory_mb"):
        found[key] = getattr(artifact.latency, key, None)
    return found
