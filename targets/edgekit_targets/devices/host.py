"""This machine: each runtime's own interpreter, in this process."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekit.device import Latency, Run
from edgekit.errors import CannotRunHere
from edgekit_targets.toolchain import part

RUNTIMES = {".pte": "executorch", ".tflite": "tflite", ".onnx": "onnx", ".mlpackage": "coreml"}
"""File suffix -> the backend whose `host.Session` opens it."""


class Host:
    """Keeps the last file open, so that successive batches of one picture do not load it again."""

    def __init__(self) -> None:
        self._open: tuple[Path, tuple[int, int], Any] | None = None

    def session(self, file: Path) -> Any:
        """The opened model: callable on a tuple of tensors, with `threads`; one that is no runtime of its own says `executed_by` and
        `why_no_latency`. Raises CannotRunHere, MissingToolchain, InvalidFile."""
        runtime = RUNTIMES.get(file.suffix)
        if runtime is None:
            raise CannotRunHere(f"{file.name}: no runtime for '{file.suffix}' on this machine; known: {', '.join(RUNTIMES)}")
        stat = file.stat()
        version = (stat.st_mtime_ns, stat.st_ino)
        if self._open is None or self._open[:2] != (file, version):
            self._open = None
            self._open = (file, version, part(runtime, "host").Session(file))
        return self._open[2]

    def run(self, file: Path, inputs: Sequence[tuple[Tensor, ...]], repeats: int = 0) -> Run:
        """See `edgekit.device.Device`."""
        memory = PeakMemory()
        session = self.session(file)
        outputs = [tuple(session(tuple(contiguous(t) for t in tile))) for tile in inputs]
        peak_mb = memory.added_mb()
        latency = None
        why_not = getattr(session, "why_no_latency", None)
        if repeats and not why_not:
            tile = tuple(contiguous(t) for t in inputs[0])
            median, p90 = timed(lambda: session(tile), repeats)
            latency = Latency(median, p90, repeats, session.threads, name(), peak_mb)
        return Run(outputs, latency, getattr(session, "executed_by", "host"), why_not)


def contiguous(tensor: Tensor) -> Tensor:
    """The tensor in plain NCHW memory order. Runtimes read the memory and ignore strides: a channels-last tensor handed to one returns garbage without an
    error. `Tensor.contiguous()` is no cure where a side is 1, because such strides count as contiguous already; a copy into fresh memory is."""
    fresh = torch.empty(tensor.shape, dtype=tensor.dtype)
    fresh.copy_(tensor)
    return fresh


def timed(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """(median, 90th percentile) milliseconds of `repeats` calls after two warm-up calls."""
    call()
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    return times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.9))]


def name() -> str:
    """The processor's name and number of cores, as reports print it."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next((line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {platform.system()} {platform.machine()}"


class PeakMemory:
    """What this process's resident memory peaks at above its value now. Linux only: elsewhere `added_mb` is None."""

    def __init__(self) -> None:
        self._before = None
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self._before = self._read("VmRSS")
        except OSError:
            pass  # not Linux, or not permitted: the peak stays unknown and is reported as such

    @staticmethod
    def _read(key: str) -> float:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
        raise OSError(f"no {key} in /proc/self/status")

    def added_mb(self) -> float | None:
        return None if self._before is None else max(0.0, self._read("VmHWM") - self._before)
