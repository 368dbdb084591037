"""Every architecture of spandrel, small and random, through four backends in float32 and int8: toolkit/docs/matrix.md. Resumable: what matrix.json holds of a
cell is not made again, unless --again.

make matrix                                    all missing cells, then the page
make matrix ARGS="--only SwinIR,SPAN"          of some architectures
make matrix ARGS="--minutes 60"                stop starting new cells then
make matrix ARGS="--backend coreml"            through one backend
make matrix ARGS=--page                        only the page
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cells
from cells import Cell

if TYPE_CHECKING:
    from torch import Tensor

CELLS = Path(__file__).parent / "matrix.json"
PAGE = Path(__file__).parent / "matrix.md"
PRECISIONS = {"executorch": ("fp32", "int8"), "tflite": ("fp32", "int8"), "onnx": ("fp32", "int8"), "coreml": ("fp32", "int8-weights")}
COLUMNS = [(runtime, precision) for runtime, precisions in PRECISIONS.items() for precision in precisions]
SIDE = 64
FLAT = 0.05
"""What a random network must add to its picture, as `contribution` measures it, to prove anything."""

KNOWN = {"RestoreFormer": "on what its codebook's entries are compared with"}
"""Networks that with random weights amplify noise so much that PyTorch itself would not be green, and where the noise is added (`with_noise`)."""

NOISE = 0.01
"""Of the standard deviation."""

UNCHANGED = 1e-6
"""Up to here a value is the picture's own."""

GREEN_DB = {"fp32": 60.0, "int8": 25.0, "int8-weights": 25.0}
"""SQNR from which a cell is green. Random networks are no restorers: their int8 numbers compare runtimes, not pictures."""


def measure(name: str, runtime: str, precision: str) -> Cell:
    """In this process."""
    from spandrel_networks import state_of

    from edgekit import pipeline, recipe
    from edgekit.cli.sets import calibration_set, test_set
    from edgekit.models import community, probe
    from edgekit.models.enhancers import enhancer_of
    from edgekit.preparation import PictureSet
    from edgekit.target import Target
    from edgekit_targets import backend
    from edgekit_targets.devices.host import Host

    start = time.monotonic()
    # How far a pixel reaches does not matter for one tile per picture, and takes minutes to find out of some transformers.
    probe.reach = lambda module, inputs, found: probe.Reach("whole", None, found.multiple_of)
    pipeline.LATENCY_RUNS = 1  # no time is reported
    community.registry()
    found = community.recognized(state_of(name))
    if found is None:
        raise ValueError("spandrel does not recognize the small network")
    enhancer = enhancer_of(name, found.module, found.contract, source="random", licence="", sha256="")
    unit = math.lcm(enhancer.multiple_of, 8)
    side = enhancer.only or (max(SIDE, -(-enhancer.smallest // unit) * unit),) * 2

    def few(source: PictureSet, count: int) -> PictureSet:
        wanted = max(side) * enhancer.scale
        return PictureSet(source.name, source.sha256, [(n, p[..., :wanted, :wanted].contiguous()) for n, p in list(source.pictures)[:count]])

    with tempfile.TemporaryDirectory() as folder:
        bundle = pipeline.export(
            enhancer,
            Target("matrix", ()),
            [pipeline.Job(backend(runtime), recipe.load(precision))],
            few(calibration_set("photos"), 8 if max(side) <= 256 else 2),
            few(test_set(), 2),
            Host(),
            Path(folder) / "bundle",
            tile=side,
        )
        artifact = bundle.manifest.artifacts[0]
        golden = bundle.manifest.golden
        pictures, (output,) = ([_tensor(bundle.path / v.file, v.shape) for v in values] for values in (golden.inputs, golden.reference))
    (spread, share), parity, delegation = contribution(pictures, output), artifact.parity, artifact.delegation
    if parity is None:
        raise ValueError(artifact.why_not["parity"])
    if not parity.finite or parity.psnr_db is None:
        raise ValueError("the output is not finite")
    sqnr = parity.psnr_db + 10 * math.log10(max(spread**2 * share, 1e-18))
    status, reason = "green", ""
    if spread < FLAT:
        status, reason = "flat", f"what it adds to its picture varies by {spread:.3f}"
    elif sqnr < GREEN_DB[precision]:
        status, reason = "low", f"{sqnr:.1f} dB, below {GREEN_DB[precision]:g}"
    where = f"{delegation.delegated}/{delegation.total} in {delegation.partitions}" if delegation else ""
    return Cell(status, reason, sqnr, parity.psnr_db, contribution=spread, delegated=where, bytes=artifact.bytes, seconds=time.monotonic() - start)


def with_noise(name: str) -> float:
    """SQNR in decibels of PyTorch's own float32 answer, with noise at the place that KNOWN tells, over what `contribution` measures."""
    import torch
    from spandrel_networks import state_of

    from edgekit.cli.sets import test_set
    from edgekit.models import community
    from edgekit.models.enhancers import enhancer_of

    community.registry()
    found = community.recognized(state_of(name))
    assert found is not None
    enhancer, level = enhancer_of(name, found.module, found.contract, source="random", licence="", sha256=""), 0.0
    side = max(enhancer.only or (SIDE,))
    picture = next(p for _, p in test_set().pictures)
    given = enhancer.degrade(torch.nn.functional.interpolate(picture, (side * enhancer.scale,) * 2, mode="bicubic").clamp(0, 1))

    def noisy(value: Tensor) -> Tensor:
        return value + level * value.std() * torch.randn(value.shape, generator=torch.Generator().manual_seed(0))

    for layer in found.module.modules():
        if type(layer).__name__ == "VectorQuantizer":
            layer.register_forward_pre_hook(lambda _, given: (noisy(given[0]), *given[1:]))
    with torch.no_grad():
        expected = enhancer.module(*given).clamp(0, 1)
        level = NOISE
        error = (enhancer.module(*given).clamp(0, 1) - expected).square().mean()
    spread, share = contribution(given, expected)
    return 10 * math.log10(spread**2 * share / float(error))


def contribution(pictures: Sequence[Tensor], output: Tensor) -> tuple[float, float]:
    """How much (N, C, H, W) `output` varies by the network's own doing, and on which share of its values: the standard deviation of the output or of its
    difference to the enlarged picture, whichever is less, over the values that are not the picture's own. Networks add to a picture, or fill holes in it; the
    picture itself passes through any file unharmed and proves nothing."""
    from torch.nn import functional as F

    size = output.shape[-2:]
    like = [F.interpolate(p, size, mode=mode) for p in pictures if p.shape[1] == output.shape[1] for mode in ("nearest", "bicubic")]
    differences = [output - p for p in like] or [output]
    difference = min(differences, key=lambda d: float(d.std()))
    changed = difference.abs() > UNCHANGED
    if int(changed.sum()) < 2:
        return 0.0, 0.0
    return min(float(output[changed].std()), float(difference[changed].std())), float(changed.float().mean())


def _tensor(file: Path, shape: Sequence[int]) -> Tensor:
    import torch

    return torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.float32).reshape(*shape)


def page(made: dict[str, dict[str, Any]], names: list[str]) -> None:
    from spandrel_networks import TRAINED

    counts = {status: sum(cell["status"] == status for cell in made.values()) for status in ("green", "low", "flat", "failed")}
    lines = [
        "# Every architecture, every backend",
        "",
        f"Written by `make matrix` on {datetime.now(UTC).date().isoformat()}: {len(made)} of {len(names) * len(COLUMNS)} cells, {counts['green']} green,",
        f"{counts['low']} low, {counts['flat']} flat, {counts['failed']} failed. spandrel's architectures, each in a small size with random weights "
        f"({', '.join(TRAINED)}: trained for minutes), one file per",
        f"cell at {SIDE}x{SIDE} px (more where the network needs more), executed on this machine (Core ML by edgekit's evaluator) and compared with PyTorch in",
        "float32. Numbers are SQNR in decibels: the variance of what the network makes over the mean squared difference (of at least 1e-10). What it makes is its",
        "output or the output's difference to the given picture, whichever varies less, where the two differ: a picture that only passes through proves nothing.",
        f"*flat*: that hardly varies (standard deviation below {FLAT:g}). Green is at least {GREEN_DB['fp32']:g} dB in fp32 and {GREEN_DB['int8']:g} in int8; "
        "random networks",
        "are no restorers, so the int8 numbers tell that a runtime computes the network, not how good its pictures are.",
        "",
        "| architecture | " + " | ".join(f"{runtime} {precision}" for runtime, precision in COLUMNS) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    reasons = []
    for name in names:
        row = []
        for runtime, precision in COLUMNS:
            cell = made.get(f"{name}/{runtime}/{precision}")
            if cell is None:
                row.append("not run")
                continue
            shown = f"{cell['sqnr_db']:.0f}" if cell["sqnr_db"] is not None else ""
            row.append(f"{shown} {cell['status'] if cell['status'] != 'green' else ''}".strip())
            if cell["reason"]:
                reasons.append(f"- {name}, {runtime} {precision}: {cell['status']}: {cell['reason']}")
        if name in KNOWN and any(f"- {name}," in reason for reason in reasons):
            reasons.append(f"  PyTorch itself, in float32, gives {with_noise(name):.0f} dB with noise of {NOISE:.0%} {KNOWN[name]}.")
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    PAGE.write_text("\n".join([*lines, "", "## Why not green", "", *(reasons or ["Nothing so far."])]) + "\n", "utf-8")


def main() -> None:
    from spandrel_networks import SMALL

    options, names = cells.options(__doc__), sorted(SMALL)
    page(cells.fill(CELLS, ((name, *column) for name in names for column in COLUMNS), measure, options), names)


if __name__ == "__main__":
    main()
