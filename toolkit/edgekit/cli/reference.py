"""edgekit reference: what the network gives on CUDA, captured once, used anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import ContractOption, Force, Json, ModelName, Weights, torch_device


def reference(
    model: ModelName,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.", show_default=False)],
    device: Annotated[str | None, typer.Option("--device", help="cuda or cpu.  [default: cuda if torch sees one]", show_default=False)] = None,
    weights: Weights = None,
    contract: ContractOption = None,
    target: Annotated[str, typer.Option("--target", "-t", help="The target whose tiles are captured.")] = "android",
    images: Annotated[Path | None, typer.Option("--images", help="Your own photographs instead of the test pictures.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Run a model on CUDA over every parity tile and write a folder for `export --reference`: sampled outputs, latency, and the record of the machine.

    Needs torch, numpy, pillow, safetensors, typer and rich only; no toolchain. Example: edgekit reference --model edsr --device cuda --out reference/edsr
    """
    from edgekit.errors import InvalidFile

    if (out / "record.json").exists() and not force:
        raise InvalidFile(f"{out}: holds a reference; expected a free name, or --force")
    if device is None:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch_device(device)
    from dataclasses import asdict

    from edgekit import capture, models, preparation
    from edgekit.cli.console import ProgressLines, emit_json, say
    from edgekit.cli.export import plan_of
    from edgekit.cli.inspect import say_probed
    from edgekit.cli.sets import calibration_set, test_set
    from edgekit.tile_size import for_network

    chosen, plans = plan_of(target, None, None)
    enhancer = models.load(model, weights, contract)
    say_probed(enhancer)
    rewrites = [backend.rewrites for backend, _ in plans]
    pictures = calibration_set(str(images)) if images else test_set()
    with ProgressLines() as progress:
        tiling, parity_set = preparation.prepare(enhancer, rewrites, pictures, for_network(enhancer, None, chosen.tile), progress=progress)
        sizes = capture.SIZES if device == "cuda" else capture.SIZES[:2]
        record = capture.capture(enhancer, parity_set.tiles, tiling.tile, tiling.halo, out, device=device, sizes=sizes, progress=progress).record
    stand_in = "" if device == "cuda" else " (a CPU run: it stands in for the CUDA reference and is called that)"
    say(f"{out}: {record.tiles} tiles of {enhancer.name} on {record.device}{stand_in}")
    if record.half:
        say(f"float16 against float32: {record.half.psnr_db:.1f} dB mean, {record.half.worst_psnr_db:.1f} dB worst tile")
    for timing in record.timings:
        took = f"{timing.median_ms:.3f} ms, p90 {timing.p90_ms:.3f}" if timing.median_ms is not None else f"not timed: {timing.why_not}"
        say(f"  {timing.side}x{timing.side} {timing.dtype} {timing.memory_format}{' compiled' * timing.compiled}: {took}")
    if json:
        emit_json(asdict(record))
