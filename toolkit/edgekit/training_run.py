"""One training run of a built-in model: train, test against bicubic on pictures it never saw, write weights and model card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from edgekit import metrics
from edgekit.models import Entry
from edgekit.models.degrade import resize
from edgekit.pipeline import PictureSet
from edgekit.reference import cpu_name
from edgekit.train import Crops, Progress, TrainSettings, train


@dataclass(frozen=True)
class Card:
    """What a model card says. `gain_db` is the mean over test pictures of PSNR minus bicubic's, both as saved in 8 bits; `least_gain_db` the worst."""

    model: str
    licence: str
    data: str
    training_pictures: int
    steps: int
    minutes: float
    loss: float
    device: str
    torch: str
    date: str
    seed: int
    pictures: int
    psnr_db: float
    bicubic_db: float
    gain_db: float
    least_gain_db: float


def run(
    entry: Entry, pictures: Sequence[Tensor], data: str, test: PictureSet, settings: TrainSettings, out: Path, *, device: str, progress: Progress
) -> Card:
    """Writes `<model>.safetensors`, `<model>.json` (the card) and, on the way, `<model>.resume`. `pictures` are (3, H, W) uint8."""
    torch.manual_seed(settings.seed)
    network = entry.build()
    crops = Crops(pictures, entry.degrade, entry.scale, settings.patch_px)
    result = train(network, crops, settings, device=device, resume=out / f"{entry.name}.resume", progress=progress)
    network = network.cpu().eval()
    trained, bicubic = score(network, entry, test)
    gains = [a - b for a, b in zip(trained, bicubic, strict=True)]
    card = Card(
        model=entry.name,
        licence="Apache-2.0",
        data=data,
        training_pictures=len(crops.pairs),
        steps=result.steps,
        minutes=round(result.seconds / 60, 2),
        loss=result.loss,
        device=torch.cuda.get_device_name() if device == "cuda" else cpu_name(),
        torch=torch.__version__,
        date=datetime.now(UTC).date().isoformat(),
        seed=settings.seed,
        pictures=len(gains),
        psnr_db=sum(trained) / len(trained),
        bicubic_db=sum(bicubic) / len(bicubic),
        gain_db=sum(gains) / len(gains),
        least_gain_db=min(gains),
    )
    save_file(
        {k: v.clone(memory_format=torch.contiguous_format) for k, v in network.state_dict().items()},
        out / f"{entry.name}.safetensors",
        {"card": json.dumps(asdict(card))},
    )
    (out / f"{entry.name}.json").write_text(json.dumps(asdict(card), indent=2) + "\n", "utf-8")
    return card


def score(network: nn.Module, entry: Entry, test: PictureSet) -> tuple[list[float], list[float]]:
    """PSNR in dB of (the network, bicubic enlargement) per test picture, both rounded to 8 bits."""
    trained, bicubic = [], []
    for _, clean in test.pictures:
        height, width = (side // entry.scale * entry.scale for side in clean.shape[-2:])
        clean = clean[..., :height, :width]
        (small,) = entry.degrade(clean)
        with torch.no_grad():
            trained.append(metrics.psnr_uint8_db(clean, network(small)))
        bicubic.append(metrics.psnr_uint8_db(clean, resize(small, height, width)))
    return trained, bicubic
