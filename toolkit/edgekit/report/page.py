"""One bundle's page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgekit import evidence
from edgekit.bundle import Bundle
from edgekit.evidence import STEPS, Evidence
from edgekit.manifest import Artifact, Manifest
from edgekit.report import charts, facts, table
from edgekit.report.around import around
from edgekit.report.beside import beside
from edgekit.report.elsewhere import EXECUTED_BY, devices
from edgekit.report.labels import count, megabytes, metric, moment
from edgekit.report.layers import layers, sensitivities
from edgekit.report.pictures import TilePictures, worst_tiles
from edgekit.report.pictures import charts as layer_charts
from edgekit.verdict import judge, routed

GENERATOR = "edgekit report"
OTHER_VARIANT = "NOT RECORDED: tiles are kept of the heaviest variant only, whose reference they are shown beside."
NO_EVIDENCE = "NOT RECORDED: this bundle holds no evidence of its tiles (it was made before edgekit kept any). Export it again."
NO_PICTURES = "NOT APPLICABLE: this file gives numbers, so there is no tile to show."
NO_TILES = "NOT MEASURED: this file was not run, so there is no tile to show."
NO_ROOM = "NOT RECORDED: the pictures of the other files filled the room that a bundle has for them."
WORST_LISTED = 10


@dataclass(frozen=True)
class Figure:
    """A number of the shipped file, in large."""

    value: str
    unit: str
    label: str


@dataclass(frozen=True)
class Headline:
    """`state`: ship, over or unmeasured."""

    state: str
    ship: str | None
    why: str
    figures: tuple[Figure, ...]
    over: tuple[str, ...]
    unmeasured: tuple[str, ...]


@dataclass(frozen=True)
class Errors:
    """The charts of one file and what they say in words."""

    histogram: Markup
    tiles: Markup
    said_histogram: str
    said_tiles: str
    worst: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Section:
    """One file's evidence. `absent` says why there are no tiles (or no errors) to show."""

    name: str
    tiles: tuple[TilePictures, ...]
    errors: Errors | None
    absent: str


@dataclass(frozen=True)
class Calibrated:
    """How one file got its ranges."""

    name: str
    lines: tuple[tuple[str, str], ...]
    ranges: tuple[tuple[str, str, str], ...]


def build(opened: Bundle) -> str:
    """The page of an open bundle as HTML text. Raises InvalidFile if what goes along with the bundle (evidence, charts) is damaged."""
    described = opened.manifest
    found, found_by_auto = evidence.read(opened), sensitivities(opened)
    return render(
        "report.html.j2",
        title=f"{described.model.name} on {described.target or 'no target'}",
        manifest=described,
        headline=headline(described),
        machines=machines(described),
        summary=table.summary(described),
        groups=table.groups(described),
        around=around(described),
        beside=beside(found),
        reasons=reasons(described, grave=True),
        smaller_reasons=reasons(described, grave=False),
        silent=[metric(key).label for key in table.silent(described.artifacts)],
        sections=[section(opened, found, artifact) for artifact in described.artifacts],
        no_evidence=NO_EVIDENCE if found is None and described.apply is None and any(artifact.parity for artifact in described.artifacts) else "",
        layers=[*layers(opened), *found_by_auto.values()],
        layer_charts=[chart for chart in layer_charts(opened) if chart[0].removeprefix("sensitivity-") not in found_by_auto],
        devices=devices(opened),
        calibrated=[one for artifact in described.artifacts if (one := calibrated(artifact))],
        environment=environment(described),
        routed=routed(described),
        facts=[(artifact.name, list(told(artifact))) for artifact in described.artifacts],
    )


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("edgekit.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )


def render(template: str, **values: Any) -> str:
    """The page's own script is the only one that its policy lets run: it is named by its digest."""
    script = (files("edgekit.report") / "templates" / "script.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return _templates().get_template(template).render(generator=GENERATOR, script=Markup(script), script_digest=digest, **values)


def headline(described: Manifest) -> Headline:
    verdict = judge(described)
    best = next((artifact for artifact in described.artifacts if artifact.name == verdict.ship), None)
    state = "ship" if best else "over" if verdict.over else "unmeasured"
    return Headline(state, verdict.ship, verdict.why, tuple(figures(best)) if best else (), verdict.over, tuple(open_limits(described)))


def open_limits(described: Manifest) -> list[str]:
    """A line per artifact with the limits that nothing was measured against."""
    found = []
    for artifact in described.artifacts:
        names = [metric(line.name).label for line in artifact.budget if line.status == "not measured"]
        if names:
            found.append(f"{artifact.name}, {len(names)} of its {len(artifact.budget)} limits: {'; '.join(names)}")
    return found


def figures(artifact: Artifact) -> list[Figure]:
    found = [Figure(megabytes(artifact.bytes), "MB", "size")]
    values = table.numbers(artifact)
    for key, label in (("worst_psnr_db", "worst tile"), ("delta_psnr_db", "mean drop against ground truth"), ("median_ms", "a tile, median")):
        value, how = values.get(key), metric(key)
        found.append(Figure(how.text(value), how.unit.split()[0], label) if value is not None else Figure(table.NOT_MEASURED, "", label))
    return found


def machines(described: Manifest) -> list[str]:
    """Who ran and timed what, and what it was compared with: a sentence per group of files of which the same is true."""
    run: dict[str, list[str]] = {}
    for artifact in described.artifacts:
        if parity := artifact.parity:
            by = EXECUTED_BY.get(parity.executed_by, parity.executed_by)
            text = f"run by {by} on {parity.pictures} test pictures ({parity.tiles} tiles), compared with {parity.reference.device}, {parity.reference.dtype}"
            run.setdefault(text, []).append(artifact.name)
        if latency := artifact.latency:
            text = f"timed on {latency.device} ({latency.runs} runs, {latency.threads} thread{'s' * (latency.threads != 1)})" + "; not on a phone" * (
                artifact.parity is None or artifact.parity.executed_by != "adb"
            )
            run.setdefault(text, []).append(artifact.name)
    return [f"{whose(names, described)} {text}." for text, names in run.items()]


def whose(names: Sequence[str], described: Manifest) -> str:
    if len(names) == len(described.artifacts) > 1:
        return "Every file was"
    return f"{', '.join(names)} {'was' if len(names) == 1 else 'were'}"


GRAVE = ("parity", "latency")


def reasons(described: Manifest, *, grave: bool) -> list[tuple[str, str]]:
    """(what was not measured, why) for every gap: those in parity and latency as a whole, or the others."""
    found: dict[str, list[str]] = {}
    for artifact in described.artifacts:
        told = dict(artifact.why_not)
        for what in GRAVE:
            if getattr(artifact, what) is None:
                told.setdefault(what, "no reason was recorded")
        for what, reason in told.items():
            if (what in GRAVE) == grave:
                found.setdefault(reason, []).append(f"{artifact.name} {what if what in GRAVE else metric(what).label}")
    return [(", ".join(names), reason) for reason, names in found.items()]


def section(opened: Bundle, found: Evidence | None, artifact: Artifact) -> Section:
    own = found.of(artifact.name) if found else None
    if opened.manifest.apply:
        return Section(artifact.name, (), None, NO_PICTURES)
    if found is None or own is None:
        rule = opened.manifest.routing
        lighter = rule is not None and artifact.variant != rule.heaviest.name
        return Section(artifact.name, (), None, NO_TILES if artifact.parity is None else OTHER_VARIANT if lighter else NO_EVIDENCE)
    return Section(artifact.name, tuple(worst_tiles(opened, found, artifact.name)), errors(found, own, artifact), "" if own.worst else NO_ROOM)


def errors(found: Evidence, own: evidence.ArtifactEvidence, artifact: Artifact) -> Errors:
    total = sum(own.steps)
    equal, near = own.steps[STEPS] / total, sum(own.steps[STEPS - 1 : STEPS + 2]) / total
    reach = max((abs(i - STEPS) for i, n in enumerate(own.steps) if n), default=0)
    largest = f"{STEPS} steps or more" if reach == STEPS else f"{reach} step{'s' * (reach != 1)}" if reach else "none"
    limit = next((line.budget for line in artifact.budget if line.name == "worst_psnr_db"), None)
    ranked = sorted(zip(own.psnr_db, found.tiles, strict=True))
    below = sum(limit is not None and value < limit for value in own.psnr_db)
    bounded = f"; {below} below the budget of {limit:g} dB for the worst" if limit is not None else ""
    return Errors(
        charts.histogram(own.steps, f"{artifact.name}: share of values by their difference from the reference, in 8-bit steps"),
        charts.tile_chart(own.psnr_db, limit, f"{artifact.name}: PSNR of every tile, in dB, worst first"),
        f"{share(equal)} of the values equal the reference's in 8 bits, {share(near)} lie within one step; the largest difference is {largest}.",
        f"{len(ranked)} tiles from {ranked[0][0]:.2f} to {ranked[-1][0]:.2f} dB{bounded}.",
        tuple((name, f"{value:.2f}") for value, name in ranked[:WORST_LISTED]),
    )


def share(value: float) -> str:
    """Never rounded up to all, nor down to none."""
    text = f"{100 * value:.2f}"
    if value < 1 and text == "100.00":
        return "more than 99.99 %"
    return "less than 0.01 %" if value > 0 and text == "0.00" else f"{text} %"


def calibrated(artifact: Artifact) -> Calibrated | None:
    """None for a file without rounded activations or weights."""
    if artifact.quantize is None:
        return None
    quantize, told = artifact.quantize, artifact.facts
    lines = [("precision", artifact.precision)]
    if "calibration_tiles" in told:
        lines += [
            ("estimator", facts.text(told.get("estimator", quantize.estimator or "the backend's own"))),
            ("tiles used", facts.text(told["calibration_tiles"])),
        ]
    if "corrected_biases" in told:
        lines.append(("biases corrected", f"of {facts.text(told['corrected_biases'])} layers"))
    lines += [(key, facts.text(told[key])) for key in ("activations", "weights") if key in told]
    lines += [
        (name, ", ".join(kept)) for name, kept in (("float layers asked", quantize.float_layers), ("float types asked", quantize.float_types)) if kept
    ]
    ranges = [(name, f"{low:.4g}", f"{high:.4g}") for name, low, high in facts.ranges(told)]
    if not ranges and "calibration_tiles" in told:
        lines.append(("range of each activation", "NOT RECORDED: this backend does not write them into the manifest"))
    return Calibrated(artifact.name, tuple(lines), tuple(ranges))


def told(artifact: Artifact) -> list[tuple[str, str]]:
    """What stands in no table: layers, what the delegate left, the backend's own facts."""
    lines = [("file", artifact.file), ("bytes", str(artifact.bytes)), ("sha256", artifact.sha256)]
    for name, specs in (("input", artifact.inputs), ("output", artifact.outputs)):
        lines += [(name, f"{spec.name}: {' x '.join(map(str, spec.shape))} {spec.layout} {spec.dtype}") for spec in specs]
    if artifact.delegation and artifact.delegation.leftovers:
        lines += [(f"not delegated: {operator}", reason) for operator, reason in artifact.delegation.leftovers.items()]
    if artifact.quantized or artifact.kept_float:
        lines += [("quantized layers", ", ".join(artifact.quantized) or "none"), ("layers in float", ", ".join(artifact.kept_float) or "none")]
    return lines + list(facts.lines({key: value for key, value in artifact.facts.items() if key != "ranges"}))


def environment(described: Manifest) -> list[tuple[str, list[tuple[str, str]]]]:
    model, image, reference = described.model, described.image, described.reference
    field = "unbounded" if model.receptive_field is None else f"{model.receptive_field} x {model.receptive_field} px"
    calibration = described.calibration
    groups: list[tuple[str, list[tuple[str, str]]]] = [
        (
            "Model",
            [
                ("name", model.name),
                ("source", model.source),
                ("licence", model.licence),
                ("weights sha256", model.sha256),
                ("scale", f"{model.scale} x"),
                ("parameters", count(model.parameters)),
                ("multiplications a pixel", count(model.macs_per_pixel)),
                ("receptive field", field),
            ],
        ),
        (
            "Tiles",
            [
                ("tile", f"{image.tile[0]} x {image.tile[1]} px, height by width of the input"),
                ("halo", f"{image.halo} px a side, by {image.edge_rule}"),
                ("tiling", image.tiling),
                ("computed for each delivered pixel", "not recorded" if image.overhead is None else f"{image.overhead:.4g} pixels"),
            ],
        ),
        (
            "Reference",
            [("device", reference.device), ("arithmetic", reference.dtype), ("captured", moment(reference.captured)), *facts.lines(reference.flags)],
        ),
        ("Toolchain", [("edgekit", described.edgekit), *described.toolchain.items()]),
        ("Bundle", [("target", described.target or "none"), ("created", moment(described.created))]),
    ]
    if calibration:
        groups.append(("Calibration set", [("name", calibration.name), ("tiles", str(calibration.tiles)), ("sha256", calibration.sha256)]))
    return groups
