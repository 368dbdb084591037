"""Several networks for one task, light to heavy, in one bundle: where the thresholds lie that route a tile or picture to one of them, and what that costs.

After ClassSR (Kong, Zhao, Qiao, Dong 2021, arXiv 2103.04039): tiles differ in how much a heavy network wins on them. The thresholds are those that save the most
multiplications while the calibration pictures lose at most so many dB against the heaviest network alone. What a picture loses is of its PSNR against ground
truth, as saved in 8 bits, over all its tiles together: a smooth tile may lose many dB of an error that nobody sees, and counts for little. For the same reason
PSNR counts up to `parity.SMOOTH_ABOVE_DB`, and the mean is over the pictures below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgekit import routing
from edgekit.enhancer import Colour, Enhancer
from edgekit.errors import InvalidFile
from edgekit.manifest import Artifact, Model, Routed, Routing, RoutingChoice, Variant
from edgekit.metrics import CAP_DB, to_uint8
from edgekit.parity import SMOOTH_ABOVE_DB, ParitySet
from edgekit.preparation import PictureSet, Progress, cut
from edgekit.reference import capture

HEAVIEST = "heavy"
"""The variant that is the enhancer itself."""

MOST_CANDIDATES = 64
"""Values that each threshold may have, spread over the calibration tiles' scores."""


@dataclass(frozen=True)
class Lighter:
    """The `networks` beside the heaviest, lightest first. `most_drop_db`: what the thresholds may cost, see above."""

    networks: Mapping[str, Enhancer]
    unit: Literal["tile", "picture"] = "tile"
    most_drop_db: float = 0.05


def require_alike(enhancer: Enhancer, lighter: Lighter) -> None:
    """Raises InvalidFile for networks that are not for the same pictures, or that no score can route."""
    if enhancer.task != "restore" or enhancer.tiling != "exact" or enhancer.sampler or enhancer.apply or len(enhancer.inputs) != 1:
        raise InvalidFile(
            f"{enhancer.name}: task {enhancer.task}, tiling {enhancer.tiling}, {len(enhancer.inputs)} inputs; expected one that restores one picture in "
            "tiles: only such networks have variants"
        )
    for name, other in lighter.networks.items():
        for what in ("scale", "task", "tiling", "multiple_of", "inputs", "outputs"):
            mine, its = _told(enhancer, what), _told(other, what)
            if mine != its:
                raise InvalidFile(f"--variant {name}: {other.name} has {what} {its}, {enhancer.name} has {mine}; expected the same")


def _told(enhancer: Enhancer, what: str) -> object:
    value = getattr(enhancer, what)
    return [(spec.channels, spec.colour) for spec in value] if what in ("inputs", "outputs") else value


def tile_scores(parity_set: ParitySet, unit: Literal["tile", "picture"], colour: Colour) -> list[int]:
    """A score per tile: its own, or that of its picture. `colour` is that of the network's input."""
    if unit == "tile":
        return [routing.score(tile[0][0], colour) for tile in parity_set.tiles]
    return [score for p in parity_set.pictures for score in [routing.score(p.inputs[0][0], colour)] * len(p.plan)]


@dataclass(frozen=True)
class Trial:
    """What the variants, lightest first, give for the same T tiles of P pictures. `scores` (T); `errors` (variants, T): sums of squared differences from
    ground truth over each tile's core, in 8-bit steps; `picture` (T): whose tile it is; `values` (P): how many values a picture has."""

    scores: NDArray[np.int64]
    errors: NDArray[np.float64]
    picture: NDArray[np.int64]
    values: NDArray[np.int64]

    def route(self, thresholds: Sequence[int]) -> NDArray[np.int64]:
        """The index of each tile's variant."""
        return np.searchsorted(np.asarray(thresholds), self.scores, side="right")

    def alone(self, variant: int) -> NDArray[np.int64]:
        return np.full(len(self.scores), variant)

    def psnr_db(self, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of each picture, against ground truth, if each tile is its chosen variant's."""
        error = self.errors[chosen, np.arange(len(chosen))]
        mean = np.bincount(self.picture, error, len(self.values)) / self.values / 255**2
        return np.minimum(CAP_DB, -10 * np.log10(np.maximum(mean, 1e-20)))

    def drops_db(self, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each picture that is not smooth loses against the heaviest variant alone; [0] if all are smooth."""
        heaviest, routed = (self.psnr_db(one) for one in (self.alone(len(self.errors) - 1), chosen))
        seen = routed < SMOOTH_ABOVE_DB
        return (np.minimum(heaviest, SMOOTH_ABOVE_DB) - routed)[seen] if seen.any() else np.zeros(1)


def trial(parity_set: ParitySet, outputs: Sequence[Sequence[Tensor]], unit: Literal["tile", "picture"], colour: Colour) -> Trial:
    """`outputs`: per variant, lightest first, one (1, C, h, w) per tile. Raises InvalidFile without ground truth."""
    truths = []
    for picture in parity_set.pictures:
        if picture.clean is None:
            raise InvalidFile(f"{picture.name}: has no ground truth for this network; expected a network that restores colours or luma")
        by, clean = parity_set.scale, picture.clean
        truths.append([clean[..., t.y * by : (t.y + t.height) * by, t.x * by : (t.x + t.width) * by] for t in picture.plan])

    def errors(given: Sequence[Tensor]) -> list[float]:
        pairs = [pair for cores, truth in zip(parity_set.cores(given), truths, strict=True) for pair in zip(cores, truth, strict=True)]
        return [float((to_uint8(a).double() - to_uint8(b).double()).square().sum()) for a, b in pairs]

    return Trial(
        np.array(tile_scores(parity_set, unit, colour), np.int64),
        np.array([errors(given) for given in outputs]),
        np.repeat(np.arange(len(truths)), [len(truth) for truth in truths]),
        np.array([sum(t.numel() for t in truth) for truth in truths]),
    )


def thresholds(tried: Trial, macs: Sequence[float], most_drop_db: float) -> tuple[tuple[int, ...], float]:
    """(the thresholds, the mean drop in dB that they cost): of those within `most_drop_db` the ones that take the fewest multiplications (`macs`, per variant);
    where none are within, the ones that cost least. Scores above all that were seen go to the heaviest variant."""
    seen = np.unique(tried.scores) + 1
    spread = seen[np.unique(np.linspace(0, len(seen) - 1, MOST_CANDIDATES).round().astype(int))]
    candidates = [0, *map(int, spread)]
    cost = np.asarray(macs)
    found = []
    for equal in combinations_with_replacement(candidates, len(macs) - 1):
        values = _rising(equal)
        chosen = tried.route(values)
        drop = float(tried.drops_db(chosen).mean())
        found.append((max(0.0, drop - most_drop_db), float(cost[chosen].mean()), drop, values))
    _, _, drop, values = min(found)
    return values, drop


def _rising(values: Sequence[int]) -> tuple[int, ...]:
    """Each at least one above the one before: between equal thresholds a variant gets next to nothing."""
    found: list[int] = []
    for value in values:
        found.append(max(value, found[-1] + 1) if found else value)
    return tuple(found)


def rule_of(
    enhancer: Enhancer,
    lighter: Lighter,
    models: Mapping[str, Model],
    calibration: PictureSet,
    tile: tuple[int, int],
    halo: int,
    progress: Progress = lambda what, done, total: None,
) -> Routing:
    """The rule for the variants `models` (name -> model, lightest first), from what their networks give in float32 for the calibration pictures."""
    parity_set = cut(enhancer, calibration.pictures, tile, halo)
    outputs = [
        capture(
            network.module, parity_set.tiles, repeats=0, progress=lambda done, total, name=name: progress(f"routing: {name}", done, total)
        ).outputs
        for name, network in (*lighter.networks.items(), (HEAVIEST, enhancer))
    ]
    tried = trial(parity_set, outputs, lighter.unit, enhancer.inputs[0].colour)
    values, drop = thresholds(tried, [model.macs_per_pixel for model in models.values()], lighter.most_drop_db)
    variants = tuple(Variant(name, model) for name, model in models.items())
    chosen = RoutingChoice(calibration.name, len(tried.scores), lighter.most_drop_db, drop)
    return Routing("laplacian-energy", lighter.unit, values, variants, chosen)


def measured(rule: Routing, parity_set: ParitySet, ran: Sequence[tuple[Artifact, Sequence[Tensor]]], colour: Colour) -> tuple[Routed, ...]:
    """What the rule gives on test pictures with the files of each backend and recipe, from their outputs per tile; only where all variants' files ran."""
    families: dict[tuple[str, str], dict[str | None, Sequence[Tensor]]] = {}
    for artifact, outputs in ran:
        families.setdefault((artifact.backend, artifact.recipe), {})[artifact.variant] = outputs
    names = [variant.name for variant in rule.variants]
    whole = {family: [given[name] for name in names] for family, given in families.items() if given.keys() >= set(names)}
    return tuple(_measured(rule, trial(parity_set, given, rule.unit, colour), *family) for family, given in whole.items())


def _measured(rule: Routing, tried: Trial, backend: str, recipe: str) -> Routed:
    chosen = tried.route(rule.thresholds)
    names = [variant.name for variant in rule.variants]
    macs = np.array([variant.model.macs_per_pixel for variant in rule.variants])
    drops = tried.drops_db(chosen)
    return Routed(
        backend,
        recipe,
        len(tried.values),
        len(chosen),
        shares={name: float((chosen == index).mean()) for index, name in enumerate(names)},
        macs_share=float(macs[chosen].mean() / macs[-1]),
        routed_db=float(tried.psnr_db(chosen).mean()),
        alone_db={name: float(tried.psnr_db(tried.alone(index)).mean()) for index, name in enumerate(names)},
        drop_db=float(drops.mean()),
        worst_drop_db=float(drops.max()),
    )
