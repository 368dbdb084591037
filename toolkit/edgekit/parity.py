"""Does the file still do what the network did? Compared tile by tile as an app runs them, and picture by picture against ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit import metrics, tiles
from edgekit.device import ExecutedBy
from edgekit.errors import InvalidFile
from edgekit.manifest import BudgetLine, Parity, ParityReference
from edgekit.target import Budget

SMOOTH_ABOVE_DB = 36.0
"""Pictures on which the reference is better than this against ground truth are smooth: a tenth of a dB there is invisible, so their loss is measured
against the reference instead (`smooth_psnr_db`)."""


@dataclass(frozen=True)
class TestPicture:
    """`inputs` are the network's, (1, C, h, w); `clean` the ground truth (1, 3, H, W) or None."""

    __test__ = False
    name: str
    inputs: tuple[Tensor, ...]
    clean: Tensor | None
    plan: tiles.TilePlan


@dataclass(frozen=True)
class ParitySet:
    """Pictures cut into tiles exactly as `edgekit run` and the apps cut them. `tiles[i]` belongs to `names[i]`."""

    pictures: tuple[TestPicture, ...]
    tiles: list[tuple[Tensor, ...]]
    names: list[str]
    scale: int

    def cores(self, outputs: Sequence[Tensor]) -> list[list[Tensor]]:
        """Per picture, the parts of its tiles' outputs that an app keeps, (1, C, h, w)."""
        found, position = [], 0
        for picture in self.pictures:
            inner = picture.plan.halo * self.scale
            cores = []
            for tile in picture.plan:
                output = outputs[position]
                cores.append(output[..., inner : inner + tile.height * self.scale, inner : inner + tile.width * self.scale])
                position += 1
            found.append(cores)
        return found

    def stitch(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        """The whole result of each picture, (1, C, H, W)."""
        results, position = [], 0
        for picture in self.pictures:
            whole = torch.empty(outputs[position].shape[1], picture.plan.height * self.scale, picture.plan.width * self.scale)
            for tile in picture.plan:
                tiles.paste(outputs[position][0], whole, picture.plan, tile, self.scale)
                position += 1
            results.append(whole[None])
        return results


def prepare(
    pictures: Iterable[tuple[str, Tensor]],
    degrade: Callable[[Tensor], tuple[Tensor, ...]],
    scale: int,
    tile: tuple[int, int],
    halo: int,
    *,
    multiple: int = 1,
) -> ParitySet:
    """Clean photographs (name, (1, 3, H, W) in [0, 1]) become network inputs and tiles. A picture's sides are cut to multiples of `scale * multiple`."""
    prepared, cut, names = [], [], []
    for name, clean in pictures:
        height, width = (side // (scale * multiple) * scale * multiple for side in clean.shape[-2:])
        if min(height, width) == 0:
            raise InvalidFile(f"{name}: is {clean.shape[-1]}x{clean.shape[-2]} pixels; expected at least {scale * multiple} on each side")
        clean = clean[..., :height, :width].contiguous()
        inputs = degrade(clean)
        plan = tiles.plan(inputs[0].shape[-2], inputs[0].shape[-1], tile, halo)
        prepared.append(TestPicture(name, inputs, clean, plan))
        for number, one in enumerate(plan):
            cut.append(tuple(tiles.cut(t[0], plan, one)[None] for t in inputs))
            names.append(f"{name}#{number}")
    if not cut:
        raise InvalidFile("no test picture; expected at least one")
    return ParitySet(tuple(prepared), cut, names, scale)


def compare(
    parity_set: ParitySet, reference: Sequence[Tensor], outputs: Sequence[Tensor], by: ParityReference, executed_by: ExecutedBy, runs_equal: bool
) -> Parity:
    """`reference` and `outputs`: one (1, C, H, W) float32 per tile. Only cores count: what lies in the halo is never seen."""
    finite = all(bool(torch.isfinite(o).all()) for o in outputs)
    want, got = parity_set.cores(reference), parity_set.cores([o.clamp(0, 1) for o in outputs])
    per_tile = [metrics.psnr_db(a, b) for wanted, given in zip(want, got, strict=True) for a, b in zip(wanted, given, strict=True)]
    worst = min(range(len(per_tile)), key=per_tile.__getitem__)
    if not finite:
        size = len(parity_set.pictures), len(parity_set.tiles)
        return Parity(executed_by, by, *size, None, None, parity_set.names[worst], None, None, None, False, runs_equal)
    whole_want, whole_got = parity_set.stitch(reference), parity_set.stitch(outputs)
    deltas, smooth, gt = [], [], []
    for picture, a, b in zip(parity_set.pictures, whole_want, whole_got, strict=True):
        if picture.clean is None:
            continue
        truth = metrics.psnr_uint8_db(picture.clean, a)
        gt.append(metrics.psnr_uint8_db(picture.clean, b))
        if truth < SMOOTH_ABOVE_DB:
            deltas.append(truth - gt[-1])
        else:
            smooth.append(metrics.psnr_db(a, b))
    pairs = list(zip(whole_want, whole_got, strict=True))
    return Parity(
        executed_by,
        by,
        len(parity_set.pictures),
        len(per_tile),
        _mean(per_tile),
        per_tile[worst],
        parity_set.names[worst],
        ssim=_mean([metrics.ssim(a, b) for a, b in pairs]),
        max_abs=max(float((a - b).abs().max()) for wanted, given in zip(want, got, strict=True) for a, b in zip(wanted, given, strict=True)),
        colour_shift=max(metrics.colour_shift(a, b) for a, b in pairs),
        finite=True,
        runs_equal=runs_equal,
        psnr_gt_db=_mean(gt),
        delta_psnr_db=_mean(deltas),
        worst_delta_psnr_db=max(deltas, default=None),
        smooth_psnr_db=min(smooth, default=None),
        banding=max(metrics.banding(a, b.clamp(0, 1)) for a, b in pairs),
    )


AT_LEAST = ("psnr_db", "worst_psnr_db", "smooth_psnr_db")
AT_MOST = ("delta_psnr_db", "worst_delta_psnr_db", "banding", "colour_shift")


def check(parity: Parity | None, budget: Budget | None) -> tuple[BudgetLine, ...]:
    """One line per limit the target sets. What was not measured is never "ok"; outputs that are not finite or not repeatable are over any budget."""
    lines: list[BudgetLine] = []
    if parity is not None:
        lines += [
            BudgetLine(name, float(value), 1.0, "ok" if value else "over")
            for name, value in (("finite", parity.finite), ("runs_equal", parity.runs_equal))
        ]
    for name in (*AT_LEAST, *AT_MOST):
        limit = getattr(budget, name) if budget else None
        if limit is None:
            continue
        measured = getattr(parity, name) if parity else None
        if measured is None:
            lines.append(BudgetLine(name, None, limit, "over" if parity and not parity.finite else "not measured"))
        else:
            good = measured >= limit if name in AT_LEAST else measured <= limit
            lines.append(BudgetLine(name, measured, limit, "ok" if good else "over"))
    return tuple(lines)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
