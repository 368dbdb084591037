"""Recovery: a smaller or rounded network learns to answer as the float network does, on pictures that nobody labelled.

The loss compares the student's picture with the teacher's and, where a block of both hands on maps of one shape, these too (Romero et al. 2015, FitNets,
arXiv 1412.6550). The training stage is `train.train`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgekit.errors import InvalidFile
from edgekit.quantize import round_weight
from edgekit.train import Patches, Progress, TrainResult, TrainSettings, train

FEATURES = 0.001
"""Weight of the blocks' relative difference beside the picture's absolute one, which is a hundred times smaller: it guides and does not hold back."""

MAPS = 4
"""Maps compared, spread over the network's depth: on a CPU all 35 of EDSR's cost more time than the network itself."""

SETTINGS = TrainSettings(batch=8, patch_px=48, learning_rate=4e-4)

RANGE_MEMORY = 0.02
"""Weight of the newest batch in an activation's range while rounding is trained."""


def recover(
    student: nn.Module,
    teacher: nn.Module,
    patches: Patches,
    settings: TrainSettings = SETTINGS,
    *,
    int8: bool = False,
    device: str = "cpu",
    resume: Path | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Trains `student` in place against `teacher`, both (N, C, H, W) -> one picture. `int8` rounds weights and activations while it trains, as int8 files do.

    Seeded and bounded by `settings`; continues from `resume` if that exists. Raises InvalidFile if the two give pictures of different shapes.
    """
    teacher = teacher.to(device).eval().requires_grad_(False)
    teacher.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's stubs lack this overload
    student.requires_grad_(True)
    probe = patches.sample(1, torch.Generator().manual_seed(0))[0]
    with _watched(student, teacher, probe) as watch, rounded(student) if int8 else _plain():

        def loss(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
            with torch.no_grad():
                expected = teacher(inputs).float()
            given = network(inputs).float()
            return F.l1_loss(given, expected) + FEATURES * watch()

        result = train(student, patches, loss, settings, device=device, resume=resume, progress=progress)
    student.cpu().eval().requires_grad_(False)
    return result


@contextmanager
def _plain() -> Iterator[None]:
    yield


@contextmanager
def _watched(student: nn.Module, teacher: nn.Module, probe: Tensor) -> Iterator[Callable[[], Tensor]]:
    """Yields a function: the mean relative difference of the maps that blocks of the same name gave last."""
    seen: dict[str, dict[str, Tensor]] = {"student": {}, "teacher": {}}

    def note(who: str, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, result: Any) -> None:
            if isinstance(result, Tensor):
                seen[who][name] = result

        return hook

    networks = {"student": student, "teacher": teacher}
    names = {who: {n for n, m in network.named_modules() if n and any(True for _ in m.children())} for who, network in networks.items()}
    hooks = [
        network.get_submodule(name).register_forward_hook(note(who, name))
        for who, network in networks.items()
        for name in sorted(names["student"] & names["teacher"])
    ]
    shared: list[str] = []

    def difference() -> Tensor:
        parts = []
        for name in shared:
            ours, theirs = (seen[who][name].float() for who in ("student", "teacher"))
            parts.append(F.l1_loss(ours, theirs) / theirs.abs().mean().clamp_min(1e-6))
        return torch.stack(parts).mean() if parts else torch.zeros((), device=probe.device)

    try:
        with torch.no_grad():
            shapes = [network.to(probe.device)(probe).shape for network in networks.values()]
        if shapes[0] != shapes[1]:
            raise InvalidFile(f"the student gives pictures of {tuple(shapes[0])}, the teacher {tuple(shapes[1])}; expected the same task and scale")
        shared += [n for n in seen["student"] if n in seen["teacher"] and seen["student"][n].shape == seen["teacher"][n].shape]
        yield difference
    finally:
        for hook in hooks:
            hook.remove()


class _RoundedWeight(nn.Module):
    """int8 per output channel, symmetric, with the straight-through gradient."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, weight: Tensor) -> Tensor:
        return round_weight(weight, self.axis)


@contextmanager
def rounded(network: nn.Module) -> Iterator[None]:
    """Inside the block, convolutions compute with int8 weights and int8 inputs; afterwards the network is float again, with the weights it learned.

    Quantization-aware training after Jacob et al. 2018 (arXiv 1712.05877), in torch's own fake-quantize operators: it needs no toolchain, runs on CUDA, and
    what it trains is an ordinary checkpoint for every backend. Ranges are moving averages of each batch's extremes.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    ranges: dict[int, tuple[Tensor, Tensor]] = {}

    def hook(layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        x = given[0].float()
        low, high = (v.detach().float() for v in x.aminmax())
        low, high = low.clamp_max(0), high.clamp_min(0)
        if id(layer) in ranges:
            old = ranges[id(layer)]
            low, high = (o + RANGE_MEMORY * (n - o) for o, n in zip(old, (low, high), strict=True))
        ranges[id(layer)] = (low, high)
        scale = ((high - low) / 255).clamp_min(1e-9)
        zero = (-128 - low / scale).round().clamp(-128, 127).to(torch.int32)
        return (torch.fake_quantize_per_tensor_affine(x, scale, zero, -128, 127), *given[1:])

    hooks = [layer.register_forward_pre_hook(hook) for layer in layers]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", _RoundedWeight(1 if isinstance(layer, nn.ConvTranspose2d) else 0))
    try:
        yield
    finally:
        for handle in hooks:
            handle.remove()
        for layer in layers:
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
