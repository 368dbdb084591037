"""The folder in which tiles travel to a runner and back: `in/TILE-INPUT.bin`, `out/TILE-OUTPUT.bin` and `out/report.json`, all raw little-endian."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgekit.errors import LoweringError

DTYPES = ("float32", "float16", "uint8", "int8")


@dataclass(frozen=True)
class Report:
    """What `report.json` says. `outputs`: (dtype, shape) of each output; `times_ms` of the repeats; `features` are the processor's, as kernels see them."""

    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    times_ms: tuple[float, ...]
    threads: int
    peak_memory_mb: float | None
    features: tuple[str, ...]


def write(folder: Path, inputs: Sequence[tuple[Tensor, ...]], *, nhwc: bool = False) -> None:
    """Makes `in/` with the tiles and an empty `out/`. `nhwc`: tensors of four dimensions are stored in the order NHWC."""
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    for number, tile in enumerate(inputs):
        for index, tensor in enumerate(tile):
            array = (tensor.permute(0, 2, 3, 1) if nhwc and tensor.ndim == 4 else tensor).numpy()
            data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
            (folder / "in" / f"{number}-{index}.bin").write_bytes(data.tobytes())


def read_report(folder: Path, where: str) -> Report:
    """`out/report.json`, checked. `where` opens the message. Raises LoweringError."""
    path = folder / "out" / "report.json"
    try:
        found: Any = json.loads(path.read_text("utf-8"))
        outputs = tuple((str(o["dtype"]), tuple(int(side) for side in o["shape"])) for o in found["outputs"])
        if not outputs or any(dtype not in DTYPES or min(shape, default=1) < 1 for dtype, shape in outputs):
            raise ValueError(f"outputs are {found['outputs']}")
        times = tuple(float(t) for t in found["times_ms"])
        threads, peak = int(found["threads"]), found["peak_memory_kb"]
        if threads < 1 or not all(math.isfinite(t) and t >= 0 for t in times):
            raise ValueError(f"threads are {threads}, times {found['times_ms']}")
        return Report(outputs, times, threads, None if peak is None else max(0, int(peak)) / 1024, tuple(str(f) for f in found["features"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise LoweringError(
            f"{where}: the runner left no sound report ({type(error).__name__}: {error}); expected outputs, times and memory"
        ) from error


def read(folder: Path, tiles: int, report: Report, where: str, *, nhwc: bool = False) -> list[tuple[Tensor, ...]]:
    """The outputs of each tile as contiguous NCHW tensors. Raises LoweringError if one is missing or has another size than the report says."""
    results = []
    for number in range(tiles):
        tensors = []
        for index, (dtype, shape) in enumerate(report.outputs):
            path = folder / "out" / f"{number}-{index}.bin"
            try:
                array = np.fromfile(path, np.dtype(dtype).newbyteorder("<")).astype(dtype, copy=False).reshape(shape)
            except (OSError, ValueError) as error:
                raise LoweringError(
                    f"{where}: output {path.name} did not come back whole ({error}); expected {dtype} of shape {list(shape)}"
                ) from error
            tensor = torch.from_numpy(array)
            tensors.append((tensor.permute(0, 3, 1, 2) if nhwc and tensor.ndim == 4 else tensor).contiguous())
        results.append(tuple(tensors))
    return results
