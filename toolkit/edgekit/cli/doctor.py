"""edgekit doctor: what is here, what cannot be measured here, and the pip line that fixes it."""

from __future__ import annotations

import os
import platform
import shutil
import sys

from edgekit.cli.options import Json

PACKAGES = {
    "core": ("torch", "numpy", "pillow", "safetensors", "typer", "rich"),
    "executorch": ("executorch", "torchao"),
    "coreml": ("coremltools", "scikit-learn"),
    "tflite": ("litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
    "tensorflow": ("tensorflow-cpu",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "prune": ("torch-pruning",),
}
"""Extra -> the packages it stands for."""


def doctor(json: Json = False) -> None:
    """Show toolchains, versions and devices, what cannot be measured on this machine, and how to install what is missing."""
    from edgekit.cli.console import emit_json, say, terminal

    found = {extra: {package: _version(package) for package in packages} for extra, packages in PACKAGES.items()}
    missing = [extra for extra, packages in found.items() if extra != "core" and None in packages.values()]
    limits = not_measured_here(missing)
    line = f'pip install "edgekit[{",".join(missing)}]"' if missing else None
    if json:
        emit_json({"python": platform.python_version(), "machine": platform.platform(), "packages": found, "not_measured_here": limits, "fix": line})
    say(f"Python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores")
    from rich.table import Table

    table = Table()
    for column in ("for", "package", "version"):
        table.add_column(column)
    for extra, packages in found.items():
        for package, installed in packages.items():
            table.add_row(extra, package, installed or "MISSING")
    terminal().print(table)
    for limit in limits:
        say(f"cannot be measured here: {limit}")
    say(f"to install what is missing: {line}" if line else "nothing is missing")


def not_measured_here(missing: list[str]) -> list[str]:
    """What this machine cannot tell, whatever is installed, and what the missing extras would add."""
    limits = [f"{extra} files: the toolchain is not installed" for extra in missing]
    if sys.platform != "darwin":
        limits.append("Core ML files run in our evaluator here, which gives their numbers; their speed, and Core ML itself, need macOS or iOS")
    limits += ["latency, memory and heat on a phone: only the phone knows them", "TensorRT engines: they are built where they run"]
    if "core" not in missing and not _cuda():
        limits.append("the CUDA reference: no CUDA device here; PyTorch in float32 on this CPU stands in and is called that")
    if "core" not in missing and (why := _no_arm64()):
        limits.append(f"ARM64 kernels (--on qemu-arm64): {why}")
    if shutil.which("adb") is None:
        limits.append("a connected phone (--on adb:SERIAL): no adb here; apt-get install adb")
    return limits


def _no_arm64() -> str | None:
    from edgekit.errors import CannotRunHere
    from edgekit_targets.devices import arm64

    try:
        arm64.find()
    except CannotRunHere as reason:
        return str(reason)
    return None


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # some ten milliseconds, which --help need not wait for

    try:
        return version(package)
    except PackageNotFoundError:
        return None
