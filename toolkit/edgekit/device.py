"""Where a model file is executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor


ExecutedBy = Literal["host", "evaluator", "coreml", "qemu-arm64", "adb", "app"]
"""Who ran a file, as the manifest and measured/ say it."""


@dataclass(frozen=True)
class Latency:
    """Of one tile. `device` names the machine; `threads` is None where the runtime does not say.

    A peak is what loading and running added to the process, None where it cannot be read."""

    median_ms: float
    p90_ms: float
    runs: int
    threads: int | None
    device: str
    peak_memory_mb: float | None = None


@dataclass(frozen=True)
class Run:
    """`outputs[i]` belongs to `inputs[i]`: contiguous NCHW tensors in the file's own dtype. `latency` is None when `repeats` was 0, or where this device's
    time says nothing: then `why_no_latency` tells the reason."""

    outputs: list[tuple[Tensor, ...]]
    latency: Latency | None
    executed_by: ExecutedBy
    why_no_latency: str | None = None


class Device(Protocol):
    def run(self, file: Path, inputs: Sequence[tuple[Tensor, ...]], repeats: int = 0) -> Run:
        """Runs each input once, then the first one `repeats` more times under the clock. Inputs and outputs are contiguous NCHW whatever the
        file's own layout is. Raises CannotRunHere if this device has no runtime for the file."""
        ...
