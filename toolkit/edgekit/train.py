"""The training stage: one network, a tensor of photographs, bounded time.

Adam with a one-cycle learning rate (linear warm-up, cosine decay to zero), gradient clipping, bfloat16 autocast. The schedule follows whichever runs out
first, steps or minutes, so that a run always ends fully decayed. With `steps` alone the run is reproducible from its seed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import cos, pi
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from edgekit.errors import InvalidFile
from edgekit.losses import Loss

Progress = Callable[[int, float, float, float], None]
"""Called with (step, fraction done in [0, 1], mean loss since the last call, elapsed seconds)."""

EDGE_PX = 2
"""Pixels of a reduced crop that its own border has touched, and that no patch holds."""


@dataclass(frozen=True)
class TrainSettings:
    """`patch_px` is the side of a training patch at the network's input; `max_minutes` bounds the wall clock, resumed time included."""

    max_minutes: float = 30.0
    steps: int = 1_000_000
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


class Patches:
    """Random aligned patches of (input, clean) pairs, flipped and transposed, cut where the crops live: on the CPU or the accelerator.

    `clean` is (N, 3, S, S) uint8. `prepare` makes the inputs once, as whole crops, (1, 3, S, S) -> (1, 3, S / scale, S / scale); None: the clean ones.
    `corrupt` then changes each batch of inputs anew (noise, darkness): (float32 in [0, 1], random) -> the same kind.
    """

    def __init__(
        self,
        clean: Tensor,
        patch_px: int,
        *,
        scale: int = 1,
        prepare: Callable[[Tensor], Tensor] | None = None,
        corrupt: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        device: str = "cpu",
    ) -> None:
        side = clean.shape[-1] // scale
        self.margin = EDGE_PX if prepare else 0
        if side - 2 * self.margin < patch_px:
            raise InvalidFile(
                f"training crops are {side} px at the network's input; expected at least the patch of {patch_px} px: choose a smaller --patch, or larger pictures"
            )
        self.patch_px, self.scale, self.corrupt = patch_px, scale, corrupt
        inputs = torch.cat([(prepare(one[None].float() / 255) * 255).round().to(torch.uint8) for one in clean]) if prepare else clean
        self.clean, self.inputs = clean.to(device), inputs.to(device)

    def sample(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """-> (count, 3, p, p) and (count, 3, p * scale, p * scale), float32 in [0, 1]. `random` lives on the CPU, so that seeds mean the same everywhere."""
        p, s, device = self.patch_px, self.scale, self.clean.device
        room = self.inputs.shape[-1] - p - 2 * self.margin + 1
        which = torch.randint(len(self.clean), (count,), generator=random)
        y, x = (torch.randint(room, (count,), generator=random) + self.margin for _ in range(2))
        turn = int(torch.randint(8, (1,), generator=random))
        which, y, x = which.to(device), y.to(device), x.to(device)

        def cut(pictures: Tensor, side: int, factor: int) -> Tensor:
            rows = (y * factor)[:, None] + torch.arange(side, device=device)
            columns = (x * factor)[:, None] + torch.arange(side, device=device)
            found = pictures[which[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
            found = found.flip([d for d, bit in ((2, 1), (3, 2)) if turn & bit])
            return (found.transpose(2, 3) if turn & 4 else found).float() / 255

        inputs, targets = cut(self.inputs, p, 1), cut(self.clean, p * s, s)
        return (self.corrupt(inputs, random) if self.corrupt else inputs), targets


def learning_rate_at(fraction: float, settings: TrainSettings) -> float:
    if fraction < settings.warmup:
        return settings.learning_rate * max(fraction / settings.warmup, 0.02)
    return settings.learning_rate * 0.5 * (1 + cos(pi * (fraction - settings.warmup) / (1 - settings.warmup)))


def train(
    network: nn.Module,
    patches: Patches,
    loss: Loss,
    settings: TrainSettings,
    *,
    device: str = "cpu",
    resume: Path | None = None,
    progress: Progress | None = None,
    every_s: float = 10.0,
) -> TrainResult:
    """Trains `network` in place. `resume` names a file that is written every two minutes and, if it exists at the start, continued from."""
    generator = torch.Generator().manual_seed(settings.seed)
    network.to(device).train()
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's stubs lack this overload
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
    step, spent = _load(resume, network, optimizer, generator, settings) if resume and resume.exists() else (0, 0.0)
    start = time.monotonic() - spent
    reported = saved = time.monotonic()
    total, count, mean_loss = torch.zeros((), device=device), 0, float("nan")
    while step < settings.steps:
        elapsed = time.monotonic() - start
        fraction = max(step / settings.steps, elapsed / (settings.max_minutes * 60))
        if fraction >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(fraction, settings)
        inputs, targets = (t.contiguous(memory_format=torch.channels_last) for t in patches.sample(settings.batch, generator))
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            value = loss(network, inputs, targets)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
        optimizer.step()
        step += 1
        total, count = total + value.detach(), count + 1
        now = time.monotonic()
        if now - reported >= every_s:
            mean_loss = float(total) / count
            total, count, reported = torch.zeros((), device=device), 0, now
            if progress:
                progress(step, fraction, mean_loss, now - start)
        if resume and now - saved >= 120:
            _save(resume, network, optimizer, generator, step, now - start, settings)
            saved = now
    seconds = time.monotonic() - start
    if resume:
        _save(resume, network, optimizer, generator, step, seconds, settings)
    network.eval()
    return TrainResult(step, seconds, float(total) / count if count else mean_loss, device)


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
        seed = json.loads(metadata["settings"])["seed"]
        network.load_state_dict({k.removeprefix("weight."): v for k, v in tensors.items() if k.startswith("weight.")})
        for name, parameter in network.named_parameters():
            if f"exp_avg.{name}" in tensors:
                moments = {moment: tensors[f"{moment}.{name}"].view_as(parameter).to(parameter) for moment in ("exp_avg", "exp_avg_sq")}
                optimizer.state[parameter] = {"step": torch.tensor(float(step)), **moments}
        generator.set_state(tensors["generator"])
    except Exception as error:
        raise InvalidFile(
            f"{path}: not a resume file of this network ({error}); expected one written by edgekit train, delete it to start anew"
        ) from error
    if seed != settings.seed:
        raise InvalidFile(f"{path}: was started with seed {seed}, got {settings.seed}; expected the same seed, or delete it to start anew")
    return step, seconds
