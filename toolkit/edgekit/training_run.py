"""One training run of a built-in model: train, test on pictures it never saw, write weights and model card."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import isnan
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from edgekit import metrics
from edgekit.errors import InvalidCheckpoint
from edgekit.losses import Loss, l1, zero_reference
from edgekit.models import Entry, checkpoint, parametrized
from edgekit.models.degrade import Degrade, expose, noisy, resize, to_uint8_grid
from edgekit.preparation import PictureSet
from edgekit.reference import device_name
from edgekit.train import Patches, Progress, TrainSettings, train

Test = Callable[[nn.Module, Entry, PictureSet], dict[str, float]]


@dataclass(frozen=True)
class Method:
    """How a built-in model is trained, and what its card reports. `init` names the built-in model whose weights it starts from, where they fit.

    `settings` are the defaults; `pre_degrade` makes whole crops the network's inputs before training, `corrupt` makes them anew for each batch.
    `headline` says the test numbers in a line: (numbers) -> text.
    """

    loss: Loss
    test: Test
    headline: str
    settings: TrainSettings = field(default_factory=TrainSettings)
    pre_degrade: bool = False
    corrupt: Callable[[Tensor, torch.Generator], Tensor] | None = None
    init: str | None = None


def add_noise(clean: Tensor, random: torch.Generator) -> Tensor:
    """Gaussian noise of sigma 2 to 55 steps (a little beyond what the denoiser is for, so that its ends are learned too), as an 8-bit picture holds it."""
    sigma = (2 + 53 * torch.rand(clean.shape[0], 1, 1, 1, generator=random)).to(clean.device) / 255
    seed = int(torch.randint(2**31, (1,), generator=random))
    noise = torch.randn(clean.shape, device=clean.device, generator=torch.Generator(clean.device).manual_seed(seed))
    return to_uint8_grid(clean + sigma * noise)


def dim(clean: Tensor, random: torch.Generator) -> Tensor:
    """An exposure from 3 % to the full one, evenly in stops: well-lit pictures must come out unharmed too."""
    stops = torch.rand(clean.shape[0], 1, 1, 1, generator=random) * 5
    return to_uint8_grid(expose(clean, (2**-stops).to(clean.device)))


def test_super_resolution(network: nn.Module, entry: Entry, test: PictureSet) -> dict[str, float]:
    """PSNR, as saved in 8 bits, of the network and of bicubic enlargement; gain is their difference per picture."""
    ours, bicubic = [], []
    for clean, (small,) in _degraded(entry, test):
        height, width = clean.shape[-2:]
        ours.append(metrics.psnr_uint8_db(clean, _apply(network, small)))
        bicubic.append(metrics.psnr_uint8_db(clean, resize(small, height, width)))
    gains = [a - b for a, b in zip(ours, bicubic, strict=True)]
    return {"psnr_db": _mean(ours), "bicubic_db": _mean(bicubic), "gain_db": _mean(gains), "least_gain_db": min(gains)}


def test_denoiser(network: nn.Module, entry: Entry, test: PictureSet) -> dict[str, float]:
    """Gain in PSNR over the noisy picture, at five fixed noise levels; for 25 also the worst picture."""
    found: dict[str, float] = {}
    for sigma in (25, 5, 15, 35, 50):
        gains, ours = [], []
        for clean, (noisy_input,) in _degraded(entry, test, noisy(sigma, sigma)):
            ours.append(metrics.psnr_uint8_db(clean, _apply(network, noisy_input)))
            gains.append(ours[-1] - metrics.psnr_uint8_db(clean, noisy_input))
        found |= {f"psnr_{sigma}_db": _mean(ours), f"gain_{sigma}_db": _mean(gains)}
        if sigma == 25:
            found["least_gain_25_db"] = min(gains)
    return found


def test_low_light(network: nn.Module, entry: Entry, test: PictureSet) -> dict[str, float]:
    """Mean brightness before and after; `clipped` is the share of pixels with a channel at 255 that was not there, `cast` how far neutral pixels leave grey.

    A pixel counts as neutral if its channels differ by at most four steps in the clean picture; the cast is the largest mean deviation of a channel from
    grey over a picture's neutral pixels, where there are a thousand.
    """
    before, after, clipped, cast, ours, dark = [], [], [], [], [], []
    for clean, (small,) in _degraded(entry, test):
        bright = to_uint8_grid(_apply(network, small))
        before.append(float(small.mean()))
        after.append(float(bright.mean()))
        full, was = ((x >= 1.0).any(1) for x in (bright, small))
        clipped.append(float((full & ~was).float().mean()))
        neutral = (clean.amax(1) - clean.amin(1)) <= 4 / 255
        shift = (bright - bright.mean(1, keepdim=True)).permute(0, 2, 3, 1)[neutral]
        if len(shift) >= 1000:
            cast.append(float(shift.mean(0).abs().max()))
        ours.append(metrics.psnr_uint8_db(clean, bright))
        dark.append(metrics.psnr_uint8_db(clean, small))
    return {
        "brightness_before": _mean(before),
        "brightness_after": _mean(after),
        "clipped": _mean(clipped),
        "worst_clipped": max(clipped),
        "cast": _mean(cast),
        "worst_cast": max(cast),
        "psnr_db": _mean(ours),
        "dark_psnr_db": _mean(dark),
    }


METHODS: Mapping[str, Method] = {
    "edsr": Method(l1, test_super_resolution, "{gain_db:+.2f} dB over bicubic (least {least_gain_db:+.2f})", pre_degrade=True),
    "edsr-x4": Method(
        l1,
        test_super_resolution,
        "{gain_db:+.2f} dB over bicubic (least {least_gain_db:+.2f})",
        TrainSettings(batch=8, patch_px=40, learning_rate=4e-4),
        True,
        init="edsr",
    ),
    "edsr-mobile": Method(
        l1,
        test_super_resolution,
        "{gain_db:+.2f} dB over bicubic (least {least_gain_db:+.2f})",
        TrainSettings(batch=32, learning_rate=2e-3),
        True,
    ),
    "denoise": Method(
        l1,
        test_denoiser,
        "{gain_25_db:+.2f} dB over the noisy picture at sigma 25 (least {least_gain_25_db:+.2f})",
        TrainSettings(patch_px=96, learning_rate=1e-3),
        corrupt=add_noise,
    ),
    "lowlight": Method(
        zero_reference,
        test_low_light,
        "brightness {brightness_before:.2f} -> {brightness_after:.2f}, newly clipped {clipped:.4f}, cast {cast:.4f}",
        TrainSettings(batch=8, patch_px=112, learning_rate=8e-4),
        corrupt=dim,
    ),
}


@dataclass(frozen=True)
class Card:
    """What a model card says. `test` are the numbers of the model's kind on the test pictures, units in their names; `loss` is None if no step was left to do."""

    model: str
    licence: str
    data: str
    crops: int
    init: str | None
    steps: int
    minutes: float
    loss: float | None
    device: str
    torch: str
    date: str
    settings: TrainSettings
    parameters: int
    pictures: int
    test: dict[str, float]

    @property
    def headline(self) -> str:
        return METHODS[self.model].headline.format(**self.test)


def run(
    entry: Entry,
    crops: Tensor,
    data: str,
    test: PictureSet,
    settings: TrainSettings,
    out: Path,
    *,
    init: Path | None = None,
    device: str,
    progress: Progress,
) -> Card:
    """Writes `<model>.safetensors`, `<model>.json` (the card) and, on the way, `<model>.resume`.

    `crops` are clean, (N, 3, S, S) uint8. `init` is a checkpoint whose tensors are taken where name and shape fit. Raises InvalidFile, InvalidCheckpoint.
    """
    method = METHODS[entry.name]
    torch.manual_seed(settings.seed)
    network = entry.build()
    if init is not None:
        start_from(network, init)
    patches = Patches(
        crops,
        settings.patch_px,
        scale=entry.scale,
        prepare=(lambda clean: entry.degrade(clean)[0]) if method.pre_degrade else None,
        corrupt=method.corrupt,
        device=device,
    )
    result = train(network, patches, method.loss, settings, device=device, resume=out / f"{entry.name}.resume", progress=progress)
    shipped = entry.merge(network.cpu()).eval()
    card = Card(
        model=entry.name,
        licence="Apache-2.0",
        data=data,
        crops=len(crops),
        init=init.name if init else None,
        steps=result.steps,
        minutes=round(result.seconds / 60, 2),
        loss=None if isnan(result.loss) else result.loss,
        device=device_name(device),
        torch=torch.__version__,
        date=datetime.now(UTC).date().isoformat(),
        settings=settings,
        parameters=sum(p.numel() for p in shipped.parameters()),
        pictures=sum(1 for _ in test.pictures),
        test=method.test(shipped, entry, test),
    )
    document = json.dumps(asdict(card), indent=2)
    weights = {k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in shipped.state_dict().items()}
    save_file(weights, out / f"{entry.name}.safetensors", {"card": json.dumps(asdict(card))})
    (out / f"{entry.name}.json").write_text(document + "\n", "utf-8")
    return card


def start_from(network: nn.Module, path: Path) -> None:
    """Takes from a checkpoint every tensor whose name and shape fit. Raises InvalidCheckpoint if none does."""
    own = network.state_dict()
    stored = checkpoint.read(path)
    try:
        given = parametrized.plain(stored, besides=own.keys())
    except InvalidCheckpoint as error:
        raise InvalidCheckpoint(f"{path}: {error}") from error
    fitting = {key: value for key, value in given.items() if key in own and own[key].shape == value.shape}
    if not fitting:
        raise InvalidCheckpoint(f"{path}: none of its {len(given)} tensors fits {type(network).__name__}; expected weights of a similar network")
    network.load_state_dict(own | fitting)


def _degraded(entry: Entry, test: PictureSet, degrade: Degrade | None = None) -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
    """(clean, inputs) per test picture, its sides cut to multiples of 8 input pixels."""
    for _, clean in test.pictures:
        height, width = (side // (8 * entry.scale) * 8 * entry.scale for side in clean.shape[-2:])
        clean = clean[..., :height, :width].contiguous()
        yield clean, (degrade or entry.degrade)(clean)


def _apply(network: nn.Module, picture: Tensor) -> Tensor:
    with torch.no_grad():
        return network(picture)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
