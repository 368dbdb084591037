"""The run that every artifact is compared with: the unchanged PyTorch network, in float32, on a named device."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.device import Latency


@dataclass(frozen=True)
class Reference:
    """`outputs[i]` is the network's answer to tile i, (1, C, H, W) float32 clamped to [0, 1]. `captured` is ISO 8601 in UTC. `untiled` are whole results of
    some pictures by their index (`parity.untiled`)."""

    outputs: list[Tensor]
    device: str
    dtype: str
    captured: str
    latency: Latency | None = None
    flags: dict[str, Any] = field(default_factory=dict)
    untiled: dict[int, Tensor] = field(default_factory=dict)


def capture(
    module: nn.Module, tiles: Sequence[tuple[Tensor, ...]], *, repeats: int = 5, progress: Callable[[int, int], None] | None = None
) -> Reference:
    """Runs the tiles on this machine's CPU. It stands in for the CUDA reference and is called what it is. Multi-output networks give their first output."""
    module.eval()
    outputs = []
    with torch.no_grad():
        for index, tile in enumerate(tiles):
            result = module(*tile)
            outputs.append((result if isinstance(result, Tensor) else result[0]).clamp(0, 1).contiguous())
            if progress:
                progress(index + 1, len(tiles))
        times = []
        for _ in range(repeats):
            start = perf_counter()
            module(*tiles[0])
            times.append((perf_counter() - start) * 1e3)
    times.sort()
    name = f"{cpu_name()} (CPU stand-in, PyTorch {torch.__version__})"
    latency = (
        Latency(times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.9))], repeats, torch.get_num_threads(), name) if times else None
    )
    flags = {"torch": torch.__version__, "mkldnn": torch.backends.mkldnn.enabled, "float32_matmul_precision": torch.get_float32_matmul_precision()}
    return Reference(outputs, name, "float32", datetime.now(UTC).isoformat(timespec="seconds"), latency, flags)


def device_name(device: str) -> str:
    """The name of "cuda"'s or "cpu"'s processor."""
    return torch.cuda.get_device_name() if device == "cuda" else cpu_name()


def cpu_name() -> str:
    """The processor's name as the operating system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:  # noqa: PTH123
            return next(line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
