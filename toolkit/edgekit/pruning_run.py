"""One pruning of a model: remove, recover, compare with the original on test pictures, write a checkpoint and a card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import isnan
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from edgekit import distill, metrics, models
from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidFile
from edgekit.preparation import PictureSet
from edgekit.prune import Pair, Pruned, prune
from edgekit.recipe import Prune
from edgekit.reference import device_name
from edgekit.train import Patches, Progress, TrainSettings

TILES = 8
"""Calibration pictures on which importance is measured."""

SIDE = 128
"""Of the middle of each, at the network's input."""


@dataclass(frozen=True)
class Recovery:
    """`loss` is None if the resume file had all steps already."""

    data: str
    steps: int
    minutes: float
    loss: float | None
    device: str
    int8: bool
    settings: TrainSettings


@dataclass(frozen=True)
class PruneCard:
    """What was removed and what it cost. `drop_db` is the original's PSNR against ground truth minus the pruned network's, both as saved in 8 bits, over
    whole test pictures; `worst_drop_db` of the worst. `one_shot_drop_db` is the mean before recovery. Pairs are (before, after)."""

    model: str
    source_sha256: str
    licence: str
    prune: Prune
    widths: dict[str, tuple[int, int]]
    blocks: tuple[str, ...]
    parameters: tuple[int, int]
    macs: tuple[float, float]
    one_shot_drop_db: float
    drop_db: float
    worst_drop_db: float
    recovery: Recovery | None
    pictures: int
    torch: str
    date: str


def rebuild(module: nn.Module) -> nn.Module:
    """The network as it comes back from its checkpoint."""
    return models.rebuild(models.to_state_dict(module))


def shrink(
    enhancer: Enhancer,
    settings: Prune,
    example: tuple[Tensor, ...],
    calibration: PictureSet,
    latency_ms: Callable[[nn.Module], float] | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pruned:
    """One-shot. Raises InvalidFile."""
    tiles = calibration_pairs(enhancer, calibration)
    return prune(enhancer.module, example, settings, tiles, rebuild=rebuild, latency_ms=latency_ms, progress=progress)


def calibration_pairs(enhancer: Enhancer, calibration: PictureSet) -> list[Pair]:
    """The middle of each of the first calibration pictures, with its clean counterpart."""
    pairs = []
    for _, clean in calibration.pictures:
        unit = enhancer.scale * enhancer.multiple_of
        height, width = (min(SIDE * enhancer.scale, side) // unit * unit for side in clean.shape[-2:])
        top, left = (clean.shape[-2] - height) // 2, (clean.shape[-1] - width) // 2
        middle = clean[..., top : top + height, left : left + width].contiguous()
        if min(height, width):
            pairs.append((enhancer.degrade(middle), middle))
        if len(pairs) == TILES:
            break
    return pairs


def describe(pruned: Pruned) -> str:
    removed = len(pruned.widths)
    return (
        f"{removed} convolutions narrowed{f', {len(pruned.blocks)} blocks removed' if pruned.blocks else ''}: "
        f"{pruned.parameters[0]:,} -> {pruned.parameters[1]:,} parameters, {pruned.macs[1] / pruned.macs[0]:.1%} of the multiplications"
    )


def finish(
    enhancer: Enhancer,
    pruned: Pruned,
    settings: Prune,
    crops: tuple[str, Tensor] | None,
    test: PictureSet,
    training: TrainSettings,
    out: Path,
    *,
    int8: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> PruneCard:
    """Recovers on `crops` (what they are, (N, 3, S, S) uint8) and writes `out` (.safetensors), its card beside it, and a .resume file on the way.

    That file's name tells which weights the recovery began with: another pruning of the same shapes does not go on from it.
    """
    one_shot = drops(enhancer, pruned.module, test)
    recovery, after = None, one_shot
    if crops:
        data, clean = crops
        if clean.shape[-1] // enhancer.scale < training.patch_px:
            raise InvalidFile(
                f"crops of {clean.shape[-1]} px are too small for patches of {training.patch_px} px at scale {enhancer.scale}; expected larger"
            )
        torch.manual_seed(training.seed)
        patches = Patches(clean, training.patch_px, scale=enhancer.scale, prepare=lambda c: enhancer.degrade(c)[0], device=device)
        resume = out.with_suffix(f".{fingerprint(pruned.module)}.resume")
        result = distill.recover(pruned.module, enhancer.module, patches, training, int8=int8, device=device, resume=resume, progress=progress)
        enhancer.module.cpu()
        loss = None if isnan(result.loss) else result.loss
        recovery = Recovery(data, result.steps, round(result.seconds / 60, 2), loss, device_name(device), int8, training)
        after = drops(enhancer, pruned.module, test)
    card = PruneCard(
        model=enhancer.name,
        source_sha256=enhancer.sha256,
        licence=enhancer.licence,
        prune=settings,
        widths=pruned.widths,
        blocks=pruned.blocks,
        parameters=pruned.parameters,
        macs=pruned.macs,
        one_shot_drop_db=sum(one_shot) / len(one_shot),
        drop_db=sum(after) / len(after),
        worst_drop_db=max(after),
        recovery=recovery,
        pictures=len(after),
        torch=torch.__version__,
        date=datetime.now(UTC).date().isoformat(),
    )
    temporary = out.with_suffix(".tmp")
    save_file(models.to_state_dict(pruned.module), temporary, {"card": json.dumps(asdict(card))})
    temporary.replace(out)
    out.with_suffix(".json").write_text(json.dumps(asdict(card), indent=2) + "\n", "utf-8")
    return card


def fingerprint(module: nn.Module) -> str:
    """Of a network's weights, short enough for a file name."""
    digest = hashlib.sha256()
    for key, value in sorted(models.to_state_dict(module).items()):
        digest.update(key.encode() + value.numpy().tobytes())
    return digest.hexdigest()[:8]


def drops(enhancer: Enhancer, module: nn.Module, test: PictureSet) -> list[float]:
    """Per test picture, what `module` loses against ground truth beside the original, in dB; both as saved in 8 bits."""
    found = []
    unit = enhancer.scale * enhancer.multiple_of
    with torch.no_grad():
        for _, clean in test.pictures:
            height, width = (side // unit * unit for side in clean.shape[-2:])
            clean = clean[..., :height, :width].contiguous()
            inputs = enhancer.degrade(clean)
            before, after = (metrics.psnr_uint8_db(clean, network(*inputs)) for network in (enhancer.module, module))
            found.append(before - after)
    return found
