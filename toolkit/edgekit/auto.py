"""Accuracy-controlled quantization: the fewest layers in float, and the range estimator, with which a file stays within the target's budget.

Everything is decided on calibration pictures: one half gives the ranges, the other judges. Test pictures are for the export that follows.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import GraphModule

from edgekit import parity, pipeline, preparation, reference, rewrite, sensitivity
from edgekit.backend import Backend
from edgekit.device import Device
from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidFile
from edgekit.manifest import Artifact
from edgekit.pipeline import Job
from edgekit.preparation import PictureSet, Progress
from edgekit.recipe import Estimator, Quantize, Recipe
from edgekit.target import Target

ESTIMATORS: tuple[Estimator, ...] = ("min-max", "mse", "percentile", "moving-average")

WORST_TILES = 4
"""Tiles on which sensitivity is measured: those on which the plain int8 file is worst."""

MARGIN_DB = 0.3
"""By how much a trial must be better than a least PSNR: the pictures that judge here are not those that will judge the export."""

MARGIN_SHARE = 0.85
"""The share of a largest loss (drop, colour shift, banding, what a similarity lacks to 1) that a trial may use, for the same reason."""


SPARED_BITS = 8
"""Palettes of the layers that a palettized file spares: float weights would cost twice that for nothing visible."""


@dataclass(frozen=True)
class Trial:
    """One file that was made and measured on the way. `float_layers` are those beside the ones that the search started with; `over` names the budget lines
    that it broke; `bias_correction` as in a recipe."""

    estimator: Estimator | None
    float_layers: tuple[str, ...]
    float_types: tuple[str, ...]
    psnr_db: float | None
    worst_psnr_db: float | None
    delta_psnr_db: float | None
    median_ms: float | None
    over: tuple[str, ...]
    bias_correction: bool = True

    @property
    def good(self) -> bool:
        return not self.over


@dataclass(frozen=True)
class Found:
    """What a search decided for one backend: `quantize`, measured as `chosen`. If nothing tried was within budget, it is the best point and not `good`."""

    backend: str
    quantize: Quantize
    chosen: Trial
    trials: tuple[Trial, ...]
    layers: tuple[sensitivity.LayerSensitivity, ...]

    @property
    def good(self) -> bool:
        return self.chosen.good

    @property
    def kept_text(self) -> str:
        """How many layers were spared, for people."""
        return (
            f"{len(self.chosen.float_layers)} layers with {SPARED_BITS} bits"
            if self.quantize.palette
            else f"{len(self.chosen.float_layers)} float layers"
        )

    @property
    def cost_ms(self) -> float | None:
        """What the float layers and operators cost beside the file without them."""
        plain, last = self.trials[0].median_ms, self.chosen.median_ms
        return None if plain is None or last is None or not (self.chosen.float_layers or self.chosen.float_types) else last - plain


def search(
    enhancer: Enhancer,
    target: Target,
    backend: Backend,
    calibration: PictureSet,
    device: Device,
    *,
    base: Quantize | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Found:
    """For `backend`, static int8, or the palettized precision of `base`: then the layers that are spared
    get 8-bit palettes instead of float weights.

    Raises InvalidFile if files of this backend cannot be run on `device`, or the set has fewer than two pictures."""
    base = base or Quantize("int8")
    pictures = list(calibration.pictures)
    if len(pictures) < 2:
        raise InvalidFile(f"recipe 'auto' needs at least two calibration pictures (one half calibrates, one judges), got {len(pictures)}")
    calibrating, judging = pictures[::2], pictures[1::2]
    example = preparation.example(enhancer, target.tile)
    judges = PictureSet(calibration.name, calibration.sha256, judging)
    tiling, parity_set = preparation.prepare(enhancer, [backend.rewrites], judges, target.tile, progress=progress)
    fp32 = reference.capture(enhancer.module, parity_set.tiles, progress=lambda d, t: progress("reference", d, t))
    examples = preparation.calibration_tiles(PictureSet("", "", calibrating), enhancer, target.tile, tiling.halo, base.tiles)
    trials: list[Trial] = []
    worst: list[int] = []

    def attempt(
        estimator: Estimator | None, layers: Sequence[str], types: tuple[str, ...] = (), bias_correction: bool = base.bias_correction
    ) -> Trial:
        quantize = sparing(base, estimator, layers, types, bias_correction)
        spared = "8-bit palettes" if base.palette else "float layers"
        what = f"auto {backend.name}: {estimator or base.precision}, {len(layers)} {spared}{''.join(f', float {kind}' for kind in types)}"
        what += ", biases as they are" if base.corrects_bias and not bias_correction else ""
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            made = pipeline.make(
                enhancer,
                target,
                Job(backend, Recipe("auto", quantize=quantize)),
                example,
                examples,
                parity_set,
                fp32,
                device,
                Path(folder),
                Path(folder) / "log",
                progress=lambda _, done, total: progress(what, done, total),
            )
            if made.artifact.parity is None or made.run is None:
                raise InvalidFile(
                    f"recipe 'auto' measures every file it tries, and {backend.name} files do not run here ({made.artifact.why_not.get('parity')})"
                )
            if not worst:
                worst.extend(_worst_tiles(parity_set, fp32.outputs, [preparation.from_io(o[0]) for o in made.run.outputs]))
        trials.append(_trial(made.artifact, estimator, tuple(layers), types, bias_correction))
        return trials[-1]

    for kind in ESTIMATORS if base.rounds_activations else (None,):
        attempt(kind, ())
    best = max(trials, key=_quality)
    if not best.good and base.corrects_bias:  # behind an instance normalization a corrected bias can do harm
        best = max(best, attempt(best.estimator, (), (), False), key=_quality)
    graph = rewrite.apply(enhancer.module, example, backend.rewrites).module
    ranking = sensitivity.measure(graph, [parity_set.tiles[i] for i in worst], bits=base.palette, progress=lambda d, t: progress("sensitivity", d, t))
    types = _elementwise(graph) if base.rounds_activations else ()
    if not best.good and types:
        best = max(best, attempt(best.estimator, (), types, best.bias_correction), key=_quality)
    if not best.good:
        best = _fewest(partial(attempt, bias_correction=best.bias_correction), best, [layer.layer for layer in ranking])
    chosen = sparing(base, best.estimator, best.float_layers, best.float_types, best.bias_correction)
    return Found(backend.name, chosen, best, tuple(trials), tuple(ranking))


def sparing(base: Quantize, estimator: Estimator | None, layers: Sequence[str], types: tuple[str, ...], bias_correction: bool) -> Quantize:
    """`base` with these layers spared: float, or in palettized files `SPARED_BITS`."""
    kinds = tuple(dict.fromkeys((*base.float_types, *types)))
    base = replace(base, bias_correction=bias_correction)
    if base.palette:
        return replace(base, estimator=estimator, float_types=kinds, palette_bits={**base.palette_bits, **dict.fromkeys(layers, SPARED_BITS)})
    return replace(base, estimator=estimator, float_layers=(*base.float_layers, *layers), float_types=kinds)


def _elementwise(graph: GraphModule) -> tuple[str, ...]:
    """Sums and products of two computed tensors, as a recipe's `float_types` calls them. Rounding them costs most where they repeat, as in curves."""
    kinds = {torch.ops.aten.add.Tensor: "add", torch.ops.aten.mul.Tensor: "mul"}
    return tuple(sorted({kinds[n.target] for n in graph.graph.nodes if n.target in kinds and len(n.all_input_nodes) == 2}))


def _fewest(attempt: Callable[..., Trial], start: Trial, ranked: Sequence[str]) -> Trial:
    """Doubles the number of float layers, up to all but one, until a file is within budget, then halves the step back. Layers go in the order of their
    sensitivity."""
    count, good, bad, best = min(1, len(ranked) - 1), None, 0, start
    while count > bad:
        trial = attempt(start.estimator, ranked[:count], start.float_types)
        best = max(best, trial, key=_quality)
        if trial.good:
            good, best = count, trial
            break
        bad, count = count, min(count * 2, len(ranked) - 1)
    while good is not None and good - bad > 1:
        middle = (good + bad) // 2
        trial = attempt(start.estimator, ranked[:middle], start.float_types)
        if trial.good:
            good, best = middle, trial
        else:
            bad = middle
    return best


def _worst_tiles(parity_set: parity.ParitySet, expected: Sequence[Tensor], given: Sequence[Tensor]) -> list[int]:
    return sorted(range(len(expected)), key=lambda i: -float((expected[i] - given[i]).square().mean()))[:WORST_TILES]


def _trial(artifact: Artifact, estimator: Estimator | None, layers: tuple[str, ...], types: tuple[str, ...], bias_correction: bool = True) -> Trial:
    measured = artifact.parity
    assert measured is not None
    over = []
    for line in artifact.budget:
        value, limit = line.measured, line.budget
        near = value is not None and (
            (line.name in parity.AT_LEAST and value < limit + MARGIN_DB)
            or (line.name in parity.AT_MOST and value > limit * MARGIN_SHARE)
            or (line.name in parity.AT_LEAST_SHARE and 1 - value > (1 - limit) * MARGIN_SHARE)
        )
        if line.status == "over" or near:
            over.append(line.name)
    median = artifact.latency.median_ms if artifact.latency else None
    return Trial(estimator, layers, types, measured.psnr_db, measured.worst_psnr_db, measured.delta_psnr_db, median, tuple(over), bias_correction)


def _quality(trial: Trial) -> tuple[bool, float]:
    """Within budget first, then the worst tile: an estimator that clips may break fewer limits here and fail on the next picture."""
    return trial.good, trial.worst_psnr_db if trial.worst_psnr_db is not None else float("-inf")


def to_toml(found: Sequence[Found], name: str, created: str) -> str:
    """A plain recipe that says what was decided and why; `edgekit export --recipe FILE` reads it."""
    precision = found[0].quantize.precision
    lines = [f"description = {_value(f'Found by --recipe auto for {name}, {created}')}", "", "[quantize]", f'precision = "{precision}"']
    for one in found:
        trial = one.chosen
        cost = f", {one.cost_ms:+.1f} ms" if one.cost_ms is not None else ""
        state = "within budget" if one.good else f"OVER BUDGET in {', '.join(trial.over)}: the best of {len(one.trials)} files tried"
        lines += [
            "",
            f"# {state}: worst tile {_db(trial.worst_psnr_db)}, mean {_db(trial.psnr_db)} on calibration pictures; {one.kept_text}"
            f"{''.join(f', float {kind}' for kind in trial.float_types)}{'' if trial.bias_correction else ', biases as they are'}{cost}",
            f"[backend.{one.backend}]",
        ]
        plain = Quantize(precision)
        own = {f.name: getattr(one.quantize, f.name) for f in fields(Quantize) if getattr(plain, f.name) != getattr(one.quantize, f.name)}
        lines += [f"{key} = {_value(value)}" for key, value in own.items()]
    return "\n".join(lines) + "\n"


def _value(value: bool | str | float | tuple[str, ...] | dict[str, int]) -> str:
    """As TOML: JSON writes it the same way, but for DEL and tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_value(key)} = {bits}" for key, bits in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _db(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2f} dB"
