"""The training stage: one network, one folder of photographs, bounded time.

Adam with a one-cycle learning rate (linear warm-up, cosine decay to zero), L1 loss, gradient clipping, bfloat16 autocast. The schedule follows
whichever runs out first, steps or minutes, so that a run always ends fully decayed. With `steps` alone the run is reproducible from its seed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import cos, pi
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from edgekit.errors import InvalidFile

Progress = Callable[[int, float, float, float], None]
"""Called with (step, fraction done in [0, 1], mean loss since the last call, elapsed seconds)."""


@dataclass(frozen=True)
class TrainSettings:
    """`patch_px` is the side of a training crop at the network's input; `max_minutes` bounds the wall clock, resumed time included."""

    max_minutes: float = 30.0
    steps: int = 100_000
    batch: int = 16
    patch_px: int = 48
    learning_rate: float = 8e-4
    warmup: float = 0.03
    clip_norm: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class TrainResult:
    steps: int
    seconds: float
    loss: float
    device: str


class Crops:
    """Aligned random crops of (input, clean) pairs, flipped and transposed; all pictures stay in memory as uint8.

    `pictures` are (3, H, W) uint8; `degrade` maps (1, 3, H, W) in [0, 1] to a 1-tuple whose picture is `scale` times smaller.
    Pictures are drawn in proportion to their area's square root, so that large ones do not drown the rest.
    """

    def __init__(self, pictures: Sequence[Tensor], degrade: Callable[[Tensor], tuple[Tensor, ...]], scale: int, patch_px: int) -> None:
        self.patch_px, self.scale = patch_px, scale
        self.pairs: list[tuple[Tensor, Tensor]] = []
        for clean in pictures:
            height, width = (side // scale * scale for side in clean.shape[-2:])
            if min(height, width) < patch_px * scale:
                continue
            clean = clean[:, :height, :width].contiguous()
            (small,) = degrade(clean[None].float() / 255)
            self.pairs.append(((small[0] * 255).round().to(torch.uint8), clean))
        if not self.pairs:
            raise InvalidFile(
                f"no training picture is at least {patch_px * scale} px on its short side; got {len(pictures)} pictures, expected larger ones"
            )
        self.weights = torch.tensor([float(clean.shape[1] * clean.shape[2]) ** 0.5 for _, clean in self.pairs])

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """-> (count, 3, p, p) and (count, 3, p*scale, p*scale), float32 in [0, 1]."""
        inputs, targets = [], []
        p, s = self.patch_px, self.scale
        for index in torch.multinomial(self.weights, count, replacement=True, generator=generator).tolist():
            small, clean = self.pairs[index]
            y = int(torch.randint(small.shape[1] - p + 1, (1,), generator=generator))
            x = int(torch.randint(small.shape[2] - p + 1, (1,), generator=generator))
            a, b = small[:, y : y + p, x : x + p], clean[:, y * s : (y + p) * s, x * s : (x + p) * s]
            turn = int(torch.randint(8, (1,), generator=generator))
            dims = [d for d, bit in ((1, 1), (2, 2)) if turn & bit]
            a, b = a.flip(dims), b.flip(dims)
            if turn & 4:
                a, b = a.transpose(1, 2), b.transpose(1, 2)
            inputs.append(a)
            targets.append(b)
        return torch.stack(inputs).float() / 255, torch.stack(targets).float() / 255


def learning_rate_at(fraction: float, settings: TrainSettings) -> float:
    if fraction < settings.warmup:
        return settings.learning_rate * max(fraction / settings.warmup, 0.02)
    return settings.learning_rate * 0.5 * (1 + cos(pi * (fraction - settings.warmup) / (1 - settings.warmup)))


def train(
    network: nn.Module,
    crops: Crops,
    settings: TrainSettings,
    *,
    device: str = "cpu",
    resume: Path | None = None,
    progress: Progress | None = None,
    every_s: float = 20.0,
) -> TrainResult:
    """Trains `network` in place. `resume` names a file that is written every two minutes and, if it exists at the start, continued from."""
    generator = torch.Generator().manual_seed(settings.seed)
    network.to(device).train()
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's stubs lack this overload
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
    step, spent = _load(resume, network, optimizer, generator, settings) if resume and resume.exists() else (0, 0.0)
    start = time.monotonic() - spent
    reported = saved = time.monotonic()
    losses: list[float] = []
    mean_loss = float("nan")
    while step < settings.steps:
        elapsed = time.monotonic() - start
        fraction = max(step / settings.steps, elapsed / (settings.max_minutes * 60))
        if fraction >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(fraction, settings)
        inputs, targets = (t.to(device, memory_format=torch.channels_last) for t in crops.sample(settings.batch, generator))
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            outputs = network(inputs)
        loss = F.l1_loss(outputs.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
        optimizer.step()
        step += 1
        losses.append(loss.item())
        now = time.monotonic()
        if now - reported >= every_s:
            mean_loss = sum(losses) / len(losses)
            losses.clear()
            reported = now
            if progress:
                progress(step, fraction, mean_loss, now - start)
        if resume and now - saved >= 120:
            _save(resume, network, optimizer, generator, step, now - start, settings)
            saved = now
    seconds = time.monotonic() - start
    if resume:
        _save(resume, network, optimizer, generator, step, seconds, settings)
    network.eval()
    return TrainResult(step, seconds, sum(losses) / len(losses) if losses else mean_loss, device)


def _save(
    path: Path, network: nn.Module, optimizer: torch.optim.Adam, generator: torch.Generator, step: int, seconds: float, settings: TrainSettings
) -> None:
    """Weights in float32, Adam's moments in bfloat16 (half the file; they are noisy estimates anyway)."""
    tensors = {f"weight.{k}": v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        state = optimizer.state.get(parameter, {})
        for moment in ("exp_avg", "exp_avg_sq"):
            if moment in state:
                tensors[f"{moment}.{name}"] = state[moment].detach().to("cpu", torch.bfloat16).contiguous()
    tensors["generator"] = generator.get_state()
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, {"step": str(step), "seconds": f"{seconds:.1f}", "settings": json.dumps(asdict(settings))})
    temporary.replace(path)


def _load(path: Path, network: nn.Module, optimizer: torch.optim.Adam, generator: torch.Generator, settings: TrainSettings) -> tuple[int, float]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {k: file.get_tensor(k) for k in list(file.keys())}
        step, seconds = int(metadata["step"]), float(metadata["seconds"])
        saved = json.loads(metadata["settings"])
        network.load_state_dict({k.removeprefix("weight."): v for k, v in tensors.items() if k.startswith("weight.")})
    except Exception as error:
        raise InvalidFile(
            f"{path}: not a resume file of this network ({error}); expected one written by edgekit train, delete it to start anew"
        ) from error
    if saved["seed"] != settings.seed:
        raise InvalidFile(f"{path}: was started with seed {saved['seed']}, got {settings.seed}; expected the same seed, or delete it to start anew")
    for name, parameter in network.named_parameters():
        if f"exp_avg.{name}" in tensors:
            optimizer.state[parameter] = {
                "step": torch.tensor(float(step)),
                "exp_avg": tensors[f"exp_avg.{name}"].to(parameter),
                "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(parameter),
            }
    generator.set_state(tensors["generator"])
    return step, seconds
