"""Two bundles side by side in one page."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit import evidence
from edgekit.bundle import Bundle
from edgekit.evidence import Evidence
from edgekit.manifest import Artifact, Manifest
from edgekit.report import page, table
from edgekit.report.labels import METRICS, metric, moment
from edgekit.report.pictures import TilePictures, worst_tiles

TIMED = ("median_ms", "p90_ms", "peak_memory_mb")


@dataclass(frozen=True)
class Line:
    """`how`: better, worse or nothing, from A to B."""

    label: str
    unit: str
    a: table.Cell
    b: table.Cell
    difference: str
    how: str


@dataclass(frozen=True)
class Pair:
    """Two files of the same backend and recipe. `same_tile` says whether both pictures show one tile; `note` why a difference of times is missing."""

    name: str
    a: str
    b: str
    lines: tuple[Line, ...]
    note: str
    tile_a: TilePictures | None
    tile_b: TilePictures | None
    same_tile: bool
    absent: str


def _match(one: Artifact, other: Artifact) -> bool:
    """A file of a variant is compared with that variant's, or with a bundle's without variants: the heaviest comes first."""
    same = (one.backend, one.recipe) == (other.backend, other.recipe)
    return same and (None in (one.variant, other.variant) or one.variant == other.variant)


def compare(a: Bundle, b: Bundle) -> str:
    """The page as HTML text. Files are matched by backend and recipe. Raises InvalidFile if a bundle's evidence is damaged."""
    found = evidence.read(a), evidence.read(b)
    left = list(a.manifest.artifacts)
    pairs, right = [], list(b.manifest.artifacts)
    for artifact in a.manifest.artifacts:
        other = next((one for one in right if _match(artifact, one)), None)
        if other is not None:
            left.remove(artifact)
            right.remove(other)
            pairs.append(pair(a, b, found, artifact, other))
    return page.render(
        "compare.html.j2",
        title=f"{named(a)} beside {named(b)}",
        bundles=[
            (letter, named(one), one.manifest, moment(one.manifest.created), page.headline(one.manifest), page.machines(one.manifest))
            for letter, one in (("A", a), ("B", b))
        ],
        differences=differences(a.manifest, b.manifest),
        pairs=pairs,
        alone=[("A", [one.name for one in left]), ("B", [one.name for one in right])],
    )


def named(opened: Bundle) -> str:
    return opened.path.resolve().name or opened.manifest.model.name


def differences(a: Manifest, b: Manifest) -> list[str]:
    """What makes numbers of the two bundles hard to compare."""
    pictures = [sorted({(one.parity.pictures, one.parity.tiles) for one in m.artifacts if one.parity}) for m in (a, b)]
    checks = (
        ("The models differ", a.model.name, b.model.name),
        ("The weights differ", a.model.sha256[:12], b.model.sha256[:12]),
        ("The references differ", f"{a.reference.device}, {a.reference.dtype}", f"{b.reference.device}, {b.reference.dtype}"),
        (
            "The tiles differ",
            f"{a.image.tile[0]} x {a.image.tile[1]}, halo {a.image.halo}",
            f"{b.image.tile[0]} x {b.image.tile[1]}, halo {b.image.halo}",
        ),
        *((("The test pictures differ", said(pictures[0]), said(pictures[1])),) if all(pictures) else ()),
    )
    return [f"{what}: {one} in A, {other} in B." for what, one, other in checks if one != other]


def said(pictures: list[tuple[int, int]]) -> str:
    return ", ".join(f"{count} pictures ({tiles} tiles)" for count, tiles in pictures)


def pair(a: Bundle, b: Bundle, found: tuple[Evidence | None, Evidence | None], one: Artifact, other: Artifact) -> Pair:
    values = table.numbers(one), table.numbers(other)
    devices = {artifact.latency.device for artifact in (one, other) if artifact.latency}
    keys = [*values[0], *(key for key in values[1] if key not in values[0])]
    keys = [key for key in keys if key not in TIMED] + [key for key in keys if key in TIMED]
    lines = [line(key, values[0].get(key), values[1].get(key), comparable=key not in TIMED or len(devices) == 1) for key in keys]
    if not devices:
        note = "Neither file was timed."
    elif len(devices) == 1 and one.latency and other.latency:
        note = f"Both were timed on {next(iter(devices))}, in two runs: NOT measured side by side. `edgekit bench` times the files of one bundle in turn."
    else:
        note = "The times are of different machines or only one was timed: no difference is given. " + "; ".join(
            f"{letter} on {artifact.latency.device}" for letter, artifact in (("A", one), ("B", other)) if artifact.latency
        )
    tiles = [worst_tiles(opened, data, artifact.name) if data else [] for opened, data, artifact in zip((a, b), found, (one, other), strict=True)]
    both = next(((x, y) for x in tiles[0] for y in tiles[1] if x.name == y.name), None)
    shown = both or (tiles[0][0] if tiles[0] else None, tiles[1][0] if tiles[1] else None)
    absent = " and ".join(letter for letter, some in zip("AB", tiles, strict=True) if not some)
    return Pair(
        f"{one.backend} {one.recipe}",
        one.name,
        other.name,
        tuple(lines),
        note,
        shown[0],
        shown[1],
        same_tile=both is not None,
        absent=f"NOT RECORDED: {absent} holds no pictures of this file's tiles." if absent else "",
    )


def line(key: str, a: float | None, b: float | None, *, comparable: bool) -> Line:
    how = metric(key)
    left, right = (table.UNMEASURED if value is None else table.Cell(how.text(value)) for value in (a, b))
    if a is None or b is None or not comparable:
        return Line(how.label, how.unit, left, right, "not comparable" if a is not None and b is not None else "", "")
    if isinstance(a, bool) or isinstance(b, bool):
        return Line(how.label, how.unit, left, right, "same" if a == b else "differs", "")
    text = how.difference(a, b)
    better = METRICS[key].better if key in METRICS else None
    outcome = "" if better is None or text == "0" else "better" if (b > a) == (better == "more") else "worse"
    return Line(how.label, how.unit, left, right, text, outcome)
