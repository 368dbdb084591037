"""Does the file still do what the network did? Compared tile by tile as an app runs them, and picture by picture against ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit import colour, metrics, perceptual, seams, tiles
from edgekit.backend import Delegation
from edgekit.device import ExecutedBy
from edgekit.enhancer import Task
from edgekit.errors import InvalidFile
from edgekit.manifest import BudgetLine, Parity, ParityReference
from edgekit.models.degrade import resize, to_uint8_grid
from edgekit.target import Budget

SMOOTH_ABOVE_DB = 36.0
"""Pictures on which the reference is better than this against ground truth are smooth: a tenth of a dB there is invisible, so their loss is measured
against the reference instead (`smooth_psnr_db`)."""

SMALLEST_PATCH = 1024
"""Output pixels of a tile's core from which its mean colour counts: that of a sliver at a picture's edge is noise."""

UNTILED_PICTURES = 4
"""Pictures that the float network also runs whole, for the seams: each costs about as much as its tiles."""


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
    truth: Callable[[Tensor], Tensor | None] = lambda clean: clean,
    whole: bool = False,
) -> ParitySet:
    """Clean photographs (name, (1, 3, H, W) in [0, 1]) become network inputs and tiles. A picture's sides are cut to multiples of `scale * multiple`.

    `truth` makes of a clean photograph what the network's output should be, if that is known. A network that has to see the `whole` picture gets the largest
    centred part of each that has the tile's shape, made as large as the tile.
    """
    prepared, cut, names = [], [], []
    for name, clean in pictures:
        clean = _fitted(clean, tile[0] * scale, tile[1] * scale) if whole else clean
        height, width = (side // (scale * multiple) * scale * multiple for side in clean.shape[-2:])
        if min(height, width) == 0:
            raise InvalidFile(f"{name}: is {clean.shape[-1]}x{clean.shape[-2]} pixels; expected at least {scale * multiple} on each side")
        clean = clean[..., :height, :width].contiguous()
        inputs = degrade(clean)
        plan = tiles.plan(inputs[0].shape[-2], inputs[0].shape[-1], tile, halo)
        prepared.append(TestPicture(name, inputs, truth(clean), plan))
        for number, one in enumerate(plan):
            cut.append(tuple(tiles.cut(t[0], plan, one)[None] if t.ndim == 4 else t for t in inputs))
            names.append(f"{name}#{number}")
    if not cut:
        raise InvalidFile("no test picture; expected at least one")
    return ParitySet(tuple(prepared), cut, names, scale)


def _fitted(picture: Tensor, height: int, width: int) -> Tensor:
    """(1, 3, H, W) -> (1, 3, height, width): cut to the shape around its middle, then resized, with values of an 8-bit picture."""
    factor = min(picture.shape[-2] / height, picture.shape[-1] / width)
    part = max(1, round(height * factor)), max(1, round(width * factor))
    top, left = (picture.shape[-2] - part[0]) // 2, (picture.shape[-1] - part[1]) // 2
    return to_uint8_grid(resize(picture[..., top : top + part[0], left : left + part[1]], height, width))


def untiled(parity_set: ParitySet, network: Callable[..., Tensor | Sequence[Tensor]], count: int = UNTILED_PICTURES) -> dict[int, Tensor]:
    """What the network gives for `count` whole pictures, of those with more than one tile: (1, C, H, W) in [0, 1] by the picture's index.

    Beyond the picture's border they read what tiles read, `halo` pixels by the same rule, so that only tiling can make a difference.
    """
    several = [index for index, picture in enumerate(parity_set.pictures) if len(picture.plan) > 1]
    found = {}
    for index in several[:: max(1, len(several) // max(1, count))][:count]:
        plan, scale = parity_set.pictures[index].plan, parity_set.scale
        whole = tiles.plan(plan.height, plan.width, (plan.height + 2 * plan.halo, plan.width + 2 * plan.halo), plan.halo)
        (tile,) = whole
        with torch.no_grad():
            output = network(*(tiles.cut(t[0], whole, tile)[None] if t.ndim == 4 else t for t in parity_set.pictures[index].inputs))
        result = (output if isinstance(output, Tensor) else output[0]).clamp(0, 1)
        picture = torch.empty(1, result.shape[1], plan.height * scale, plan.width * scale)
        tiles.paste(result[0], picture[0], whole, tile, scale)
        found[index] = picture
    return found


def compare(
    parity_set: ParitySet,
    reference: Sequence[Tensor],
    outputs: Sequence[Tensor],
    by: ParityReference,
    executed_by: ExecutedBy,
    runs_equal: bool,
    *,
    task: Task = "restore",
    whole: Mapping[int, Tensor] | None = None,
) -> Parity:
    """`reference` and `outputs`: one (1, C, H, W) float32 per tile. Only cores count: what lies in the halo is never seen, nor what lies beyond [0, 1].

    `whole` is the untiled network's result of some pictures, by index; seams are those of the stitched outputs against it, or against the stitched reference.
    """
    finite = all(bool(torch.isfinite(o).all()) for o in outputs)
    outputs = [o.clamp(0, 1) for o in outputs]
    if outputs[0].ndim == 2:
        return _of_numbers(parity_set, reference, outputs, by, executed_by, finite=finite, runs_equal=runs_equal)
    pairs = [pair for a, b in zip(parity_set.cores(reference), parity_set.cores(outputs), strict=True) for pair in zip(a, b, strict=True)]
    per_tile = [metrics.psnr_db(a, b) for a, b in pairs]
    worst = min(range(len(per_tile)), key=per_tile.__getitem__)
    if not finite:
        size = len(parity_set.pictures), len(parity_set.tiles)
        return Parity(executed_by, by, *size, None, None, parity_set.names[worst], None, None, None, False, runs_equal)
    pictures = list(zip(parity_set.stitch(reference), parity_set.stitch(outputs), strict=True))
    whole = whole or {}
    against = [whole.get(index, want) for index, (want, _) in enumerate(pictures)]
    found = [seams.seam_steps(a, b, p.plan, parity_set.scale) for a, (_, b), p in zip(against, pictures, parity_set.pictures, strict=True)]
    shifts = [metrics.channel_shift(a, b) for a, b in pictures]
    similar = [metrics.ssim(a, b) for a, b in pictures]
    gt, deltas, smooth = _against_truth(parity_set, pictures) if task == "restore" else ([], [], [])
    in_colour = task != "segment" and pictures[0][0].shape[1] == 3
    visible = [colour.mean_and_p99(a, b) for a, b in pictures] if in_colour else []
    learned = [perceptual.lpips(a, b) for a, b in pictures] if in_colour and perceptual.missing() is None else []
    overlaps = [(metrics.dice(a, b), metrics.iou(a, b)) for a, b in pictures] if task == "segment" else []
    ious = [v for _, v in overlaps if v is not None]
    return Parity(
        executed_by,
        by,
        len(parity_set.pictures),
        len(per_tile),
        _mean(per_tile),
        per_tile[worst],
        parity_set.names[worst],
        ssim=_mean(similar),
        max_abs=max(float((a - b).abs().max()) for a, b in pairs),
        colour_shift=max(abs(shift) for picture in shifts for shift in picture),
        finite=True,
        runs_equal=runs_equal,
        psnr_gt_db=_mean(gt),
        delta_psnr_db=_mean(deltas),
        worst_delta_psnr_db=max(deltas, default=None),
        smooth_psnr_db=min(smooth, default=None),
        banding=max(metrics.banding(a, b) for a, b in pictures),
        worst_ssim=min(similar),
        channel_shift=tuple(sum(channel) / len(shifts) for channel in zip(*shifts, strict=True)),
        tile_colour_shift=max((metrics.colour_shift(a, b) for a, b in pairs if a.shape[-2] * a.shape[-1] >= SMALLEST_PATCH), default=None),
        ciede2000_mean=max((mean for mean, _ in visible), default=None),
        ciede2000_p99=max((p99 for _, p99 in visible), default=None),
        seam_steps=max((steps for steps in found if steps is not None), default=None),
        dice=_mean([v for v, _ in overlaps if v is not None]),
        iou=_mean(ious),
        worst_iou=min(ious, default=None),
        lpips=_mean([v for v in learned if v is not None]),
    )


def _of_numbers(
    parity_set: ParitySet,
    reference: Sequence[Tensor],
    outputs: Sequence[Tensor],
    by: ParityReference,
    executed_by: ExecutedBy,
    *,
    finite: bool,
    runs_equal: bool,
) -> Parity:
    """As `compare`, of networks that give (1, C) numbers in [0, 1] and no picture: what measures pictures is None."""
    errors = [metrics.psnr_db(a, b) for a, b in zip(reference, outputs, strict=True)]
    worst = min(range(len(errors)), key=errors.__getitem__)
    largest = max(float((a - b).abs().max()) for a, b in zip(reference, outputs, strict=True))
    psnr, worst_psnr, largest = (_mean(errors), errors[worst], largest) if finite else (None, None, None)
    size = len(parity_set.pictures), len(parity_set.tiles)
    return Parity(executed_by, by, *size, psnr, worst_psnr, parity_set.names[worst], None, largest, None, finite, runs_equal)


def _against_truth(parity_set: ParitySet, pictures: Sequence[tuple[Tensor, Tensor]]) -> tuple[list[float], list[float], list[float]]:
    """The artifact's PSNR against ground truth per picture; what it lost on rough pictures; its PSNR against the reference on smooth ones."""
    gt, deltas, smooth = [], [], []
    for picture, (a, b) in zip(parity_set.pictures, pictures, strict=True):
        if picture.clean is None:
            continue
        truth = metrics.psnr_uint8_db(picture.clean, a)
        gt.append(metrics.psnr_uint8_db(picture.clean, b))
        if truth < SMOOTH_ABOVE_DB:
            deltas.append(truth - gt[-1])
        else:
            smooth.append(metrics.psnr_db(a, b))
    return gt, deltas, smooth


def why_not(parity: Parity, delegation: Delegation | None) -> dict[str, str]:
    """The reasons of what could not be measured on outputs that were, for the manifest."""
    reasons = {}
    if delegation is None:
        reasons["delegation"] = "the runtime decides when it loads the file"
    if parity.finite and parity.ssim is None:
        reasons["pictures"] = "the network gives numbers, which no measure of pictures fits"
    elif parity.finite and parity.seam_steps is None:
        reasons["seam_steps"] = "no test picture has a tile border that is long enough"
    if parity.ciede2000_mean is not None and parity.lpips is None:
        reasons["lpips"] = perceptual.missing() or f"no test picture has sides of {perceptual.SMALLEST_SIDE} px"
    return reasons


AT_LEAST = ("psnr_db", "worst_psnr_db", "smooth_psnr_db")
"""In dB."""
AT_LEAST_SHARE = ("ssim", "worst_ssim", "dice", "iou", "worst_iou", "delegated_share")
"""Of 1."""
AT_MOST = (
    "delta_psnr_db", "worst_delta_psnr_db", "banding", "colour_shift", "tile_colour_shift", "ciede2000_mean", "ciede2000_p99", "seam_steps", "max_abs",
    "lpips",
)  # fmt: skip
ALWAYS = ("finite", "runs_equal")
"""Checked without a limit."""


def check(parity: Parity | None, budget: Budget | None, delegation: Delegation | None = None) -> tuple[BudgetLine, ...]:
    """One line per limit the target sets. What was not measured is never "ok"; outputs that are not finite or not repeatable are over any budget."""
    lines: list[BudgetLine] = []
    if parity is not None:
        lines += [BudgetLine(name, float(value), 1.0, "ok" if value else "over") for name in ALWAYS for value in (getattr(parity, name),)]
    for name in (*AT_LEAST, *AT_LEAST_SHARE, *AT_MOST):
        limit = getattr(budget, name) if budget else None
        if limit is None:
            continue
        if name == "delegated_share":
            measured = delegation.delegated / delegation.total if delegation and delegation.total else None
        else:
            measured = getattr(parity, name) if parity else None
        if measured is None:
            lost = parity is not None and not parity.finite and name != "delegated_share"
            lines.append(BudgetLine(name, None, limit, "over" if lost else "not measured"))
        else:
            good = measured <= limit if name in AT_MOST else measured >= limit
            lines.append(BudgetLine(name, measured, limit, "ok" if good else "over"))
    return tuple(lines)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
