"""The CUDA reference as a folder: captured once where the GPU is, used anywhere.

`record.json` says what ran where; `samples.safetensors` holds, for every parity tile, the values that the float32 (TF32 off) and the float16 network gave at
SAMPLES positions drawn from a fixed seed. Whole outputs would be a hundred megabytes and more; the samples are one or two. Elsewhere the float32 network
runs on the CPU, and `agree` compares it with the GPU's own values at every sampled position: only if the two agree do the CPU's outputs stand for the GPU's.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from edgekit import metrics
from edgekit.device import Latency
from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidFile, first_line
from edgekit.reference import Reference, device_name

RECORD, VALUES = "record.json", "samples.safetensors"
SAMPLES = 512
"""Positions per tile; each gives one value per output channel."""

SEED = 20261121

MOST_DIFFERENCE = 1e-3
"""Largest difference between float32 here and on the GPU. Orders of summation differ by some 1e-6; more means other weights, other tiles or a broken device."""

SIZES = (64, 128, 256, 512)
WARM_UP, RUNS = 10, 50

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Timing:
    """Of one square tile of `side` pixels. `memory_format`: contiguous or channels_last. `why_not` where it could not be timed."""

    side: int
    dtype: str
    memory_format: str
    compiled: bool
    median_ms: float | None
    p90_ms: float | None
    runs: int
    why_not: str | None = None


@dataclass(frozen=True)
class Half:
    """The float16 network against the float32 one on the same device: mean and worst tile in dB, largest difference."""

    psnr_db: float
    worst_psnr_db: float
    max_abs: float


@dataclass(frozen=True)
class Record:
    """What ran where. `tiles_sha256` is of all input tiles; `flags` are torch's precision switches; `peak_memory_mb` is of the largest tile's float32 run."""

    reference: int
    model: str
    weights_sha256: str
    tiles_sha256: str
    tiles: int
    tile: tuple[int, int]
    halo: int
    device: str
    kind: str
    software: dict[str, str]
    flags: dict[str, Any]
    captured: str
    seed: int
    half: Half | None
    timings: tuple[Timing, ...]
    peak_memory_mb: float | None


@dataclass(frozen=True)
class Captured:
    """`float32[i]` are the values at tile i's positions, (SAMPLES, C)."""

    record: Record
    float32: Tensor
    float16: Tensor | None


@dataclass(frozen=True)
class Agreement:
    """Float32 here against float32 on the captured device, over `values` sampled values."""

    values: int
    max_abs: float
    psnr_db: float
    worst_psnr_db: float


def capture(
    enhancer: Enhancer,
    tiles: Sequence[tuple[Tensor, ...]],
    tile: tuple[int, int],
    halo: int,
    out: Path,
    *,
    device: str,
    sizes: Sequence[int] = SIZES,
    progress: Progress = lambda what, done, total: None,
) -> Captured:
    """Runs every tile in float32 and (on CUDA) float16, times tiles of several sizes, writes the folder `out`."""
    _exact()
    module = enhancer.module.eval().to(device)
    cuda = device == "cuda"
    singles, halves, psnr, largest = [], [], [], 0.0
    half_module = _half(module) if cuda else None
    for index, inputs in enumerate(tiles):
        with torch.no_grad():
            single = _first(module(*(t.to(device) for t in inputs))).clamp(0, 1).float().cpu()
            half = _first(half_module(*(t.to(device, torch.float16) for t in inputs))).clamp(0, 1).float().cpu() if half_module else None
        singles.append(_at(single, index))
        if half is not None:
            halves.append(_at(half, index).half())
            psnr.append(metrics.psnr_db(single, half))
            largest = max(largest, float((single - half).abs().max()))
        progress("tiles", index + 1, len(tiles))
    timings, peak = _timings(enhancer, module, half_module, device, sizes, progress)
    record = Record(
        reference=1,
        model=enhancer.name,
        weights_sha256=enhancer.sha256,
        tiles_sha256=tiles_sha256(tiles),
        tiles=len(tiles),
        tile=tile,
        halo=halo,
        device=device_name(device),
        kind=device,
        software=_software(cuda),
        flags=_flags(),
        captured=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=SEED,
        half=Half(sum(psnr) / len(psnr), min(psnr), largest) if psnr else None,
        timings=tuple(timings),
        peak_memory_mb=peak,
    )
    module.cpu()
    out.mkdir(parents=True, exist_ok=True)
    values = {"float32": torch.stack(singles)} | ({"float16": torch.stack(halves)} if halves else {})
    save_file(values, out / VALUES)
    (out / RECORD).write_text(json.dumps(asdict(record), indent=2) + "\n", "utf-8")
    return Captured(record, values["float32"], values.get("float16"))


def read(folder: Path) -> Captured:
    """Raises InvalidFile for a folder that `capture` did not write, or whose parts do not belong together."""
    try:
        found = json.loads((folder / RECORD).read_text("utf-8"))
        if found["reference"] != 1:
            raise InvalidFile(f"{folder}: is a reference of version {found['reference']}; expected 1: capture it again with this edgekit")
        found["half"] = Half(**found["half"]) if found["half"] else None
        found["timings"] = tuple(Timing(**timing) for timing in found["timings"])
        height, width = found["tile"]
        found["tile"] = int(height), int(width)
        record = Record(**found)
        with safe_open(folder / VALUES, "pt") as file:
            values = {key: file.get_tensor(key) for key in list(file.keys())}
        single, half = values["float32"], values.get("float16")
    except (OSError, ValueError, TypeError, KeyError, RecursionError, SafetensorError) as error:
        raise InvalidFile(f"{folder}: is no reference ({type(error).__name__}: {error}); expected a folder that `edgekit reference` wrote") from error
    if single.ndim != 3 or single.shape[:2] != (record.tiles, SAMPLES) or not bool(torch.isfinite(single).all()):
        raise InvalidFile(f"{folder}: holds samples of shape {tuple(single.shape)}; expected {record.tiles} tiles of {SAMPLES} finite positions")
    return Captured(record, single, half)


def shipped(enhancer: Enhancer, tile: tuple[int, int]) -> Captured | None:
    """The reference that edgekit ships for these weights at this tile size, or None."""
    folder = Path(__file__).parent / "references" / enhancer.name
    if not folder.is_dir():
        return None
    found = read(folder)
    return found if (found.record.weights_sha256, found.record.tile) == (enhancer.sha256, tile) else None


def agree(captured: Captured, enhancer: Enhancer, tiles: Sequence[tuple[Tensor, ...]], outputs: Sequence[Tensor]) -> Agreement:
    """Compares this machine's float32 `outputs` with the captured values. Raises InvalidFile if weights or tiles are others, or the values differ."""
    record = captured.record
    if record.weights_sha256 != enhancer.sha256:
        raise InvalidFile(
            f"the reference was captured from weights {record.weights_sha256[:12]}, got {enhancer.sha256[:12]} ({enhancer.name}); expected the same: capture it "
            f"again with `edgekit reference --model {enhancer.name}`"
        )
    if record.tiles_sha256 != tiles_sha256(tiles):
        raise InvalidFile(
            f"the reference was captured on {record.tiles} tiles of {record.tile[0]}x{record.tile[1]} with a halo of {record.halo}, got {len(tiles)} other tiles; "
            "expected the same pictures and tiling: capture it again, or export without --reference"
        )
    here = torch.stack([_at(output, index) for index, output in enumerate(outputs)])
    if here.shape != captured.float32.shape:
        raise InvalidFile(
            f"the reference holds samples of shape {tuple(captured.float32.shape)}, here they are {tuple(here.shape)}; expected the same: capture it again"
        )
    largest = float((here - captured.float32).abs().max())
    psnr = [metrics.psnr_db(a, b) for a, b in zip(captured.float32, here, strict=True)]
    if largest > MOST_DIFFERENCE:
        raise InvalidFile(
            f"float32 here and on {record.device} differ by up to {largest:.2g}; expected at most {MOST_DIFFERENCE:g}: the reference is not of this network"
        )
    return Agreement(here.numel(), largest, sum(psnr) / len(psnr), min(psnr))


def certify(local: Reference, captured: Captured, agreement: Agreement) -> Reference:
    """The reference under the captured device's name: its latency and flags, and the local outputs that were shown to be its own."""
    record = captured.record
    plain = next(
        (t for t in record.timings if (t.side, t.side, t.dtype, t.memory_format, t.compiled) == (*record.tile, "float32", "contiguous", False)), None
    )
    latency = None
    if plain and plain.median_ms is not None and plain.p90_ms is not None:
        latency = Latency(plain.median_ms, plain.p90_ms, plain.runs, 1, record.device)
    where = record.device if record.kind == "cuda" else f"{record.device} (CPU stand-in, captured)"
    flags = {**record.flags, **record.software, "recomputed_on": local.device, "agreement": asdict(agreement)}
    return replace(local, device=where, captured=record.captured, latency=latency, flags=flags)


def tiles_sha256(tiles: Sequence[tuple[Tensor, ...]]) -> str:
    """Of the 8-bit values of all input tiles in order."""
    digest = hashlib.sha256()
    for tile in tiles:
        for t in tile:
            digest.update(str(tuple(t.shape)).encode())
            digest.update((t * 255).round().to(torch.uint8).contiguous().numpy().tobytes())
    return digest.hexdigest()


def _at(output: Tensor, index: int) -> Tensor:
    """(1, C, H, W) -> (SAMPLES, C): the values at tile `index`'s positions."""
    flat = output[0].flatten(1)
    positions = np.random.default_rng([SEED, index]).integers(flat.shape[1], size=SAMPLES)
    return flat[:, torch.from_numpy(positions)].T.contiguous()


def _first(result: Any) -> Tensor:
    return result if isinstance(result, Tensor) else result[0]


def _half(module: nn.Module) -> nn.Module:
    import copy

    return copy.deepcopy(module).half()


def _exact() -> None:
    """TF32 off, deterministic kernels."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _flags() -> dict[str, Any]:
    return {
        "matmul_allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def _software(cuda: bool) -> dict[str, str]:
    found = {"torch": str(torch.__version__)}
    if cuda:
        found |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version()), "driver": _driver()}
    return found


def _driver() -> str:
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip().splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def _timings(
    enhancer: Enhancer, module: nn.Module, half: nn.Module | None, device: str, sizes: Sequence[int], progress: Progress
) -> tuple[list[Timing], float | None]:
    """Each size in float32 and float16, contiguous and channels_last, eager and compiled; on the CPU float32 only, eager."""
    cases: list[tuple[nn.Module, torch.dtype, str, bool]] = [(module, torch.float32, "contiguous", False)]
    if half is not None:
        cases = [
            (m, dtype, layout, compiled)
            for compiled in (False, True)
            for m, dtype in ((module, torch.float32), (half, torch.float16))
            for layout in ("contiguous", "channels_last")
        ]
    found, peak = [], None
    for number, (network, dtype, layout, compiled) in enumerate(cases):
        for side in sizes:
            progress("latency", number * len(sizes) + sizes.index(side), len(cases) * len(sizes))
            what = side, str(dtype).removeprefix("torch."), layout, compiled
            try:
                if device == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                times = _time(network, enhancer, dtype, layout, compiled, side, device)
                if device == "cuda" and what == (max(sizes), "float32", "contiguous", False):
                    peak = torch.cuda.max_memory_allocated() / 2**20
                found.append(Timing(*what, median(times), sorted(times)[int(len(times) * 0.9)], len(times)))
            except Exception as error:  # torch.compile fails in as many ways as there are machines
                found.append(Timing(*what, None, None, 0, first_line(error, kind=True)[:240]))
    return found, peak


def _time(network: nn.Module, enhancer: Enhancer, dtype: torch.dtype, layout: str, compiled: bool, side: int, device: str) -> list[float]:
    """Milliseconds of each run: by CUDA events on a GPU, by the clock on the CPU."""
    form = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    network = network.to(memory_format=form)  # pyright: ignore[reportCallIssue]  torch's stubs lack this overload
    call = torch.compile(network, dynamic=False) if compiled else network
    inputs = [torch.rand(1, spec.channels, side, side, device=device).to(dtype).contiguous(memory_format=form) for spec in enhancer.inputs]
    cuda = device == "cuda"
    times = []
    with torch.no_grad():
        for _ in range(WARM_UP if cuda else 2):
            call(*inputs)
        if cuda:
            torch.cuda.synchronize()
        for _ in range(RUNS if cuda else 5):
            if cuda:
                begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                begin.record()  # pyright: ignore[reportCallIssue]
                call(*inputs)
                end.record()  # pyright: ignore[reportCallIssue]
                torch.cuda.synchronize()
                times.append(begin.elapsed_time(end))
            else:
                start = perf_counter()
                call(*inputs)
                times.append((perf_counter() - start) * 1e3)
    return times
