"""Options that several commands share, declared once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="A built-in model (see `edgekit models`), a checkpoint (.pth .pt .ckpt .safetensors), an exported program (.pt2), or package.module:factory, "
        "which runs that code.",
        show_default=False,
    ),
]
Weights = Annotated[Path | None, typer.Option("--weights", help="Other weights for the built-in model or the factory's network.", show_default=False)]
ContractOption = Annotated[
    Path | None,
    typer.Option(
        "--contract",
        help="The image contract (TOML) of a .pt2 or factory.  [default: the file of its name beside it; else probed]",
        show_default=False,
    ),
]
TargetName = Annotated[
    str, typer.Option("--target", "-t", help="Where it will run (see `edgekit targets`), or a target's TOML file.", show_default=False)
]
VariantNetworks = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        metavar="NAME=MODEL",
        help="A lighter network for the same task (as --model takes them), lightest first; may be repeated. Tiles with little detail get it.",
        show_default=False,
    ),
]
BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that `edgekit export` made.", show_default=False)]
CalibrationName = Annotated[
    str, typer.Option("--calibration", "-c", help="A calibration set (see `edgekit calibration list`), or a folder of photographs.")
]
ReferenceFolder = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        help="A folder that `edgekit reference` captured on CUDA.  [default: the one that ships with the model; without it the CPU stands in]",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace what stands at the output's place.")]
Strict = Annotated[bool, typer.Option("--strict", help="Also exit 1 if a budget could not be measured here.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Device = Annotated[str, typer.Option("--on", help="Where to run: host, adb:SERIAL (a phone), and for validate qemu-arm64 (ARM64 code, emulated).")]


def tile_size(text: str | None) -> tuple[int, int] | None:
    """'128x192' -> (128, 192), height first."""
    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit() and 16 <= int(height) <= 4096 and 16 <= int(width) <= 4096):
        raise typer.BadParameter(f"--tile is '{text}'; expected HEIGHTxWIDTH in pixels from 16 to 4096, such as 128x128")
    return int(height), int(width)


def variant_networks(given: list[str] | None) -> dict[str, str]:
    """["light=edsr-mobile"] -> {"light": "edsr-mobile"}."""
    found: dict[str, str] = {}
    for text in given or []:
        name, _, model = text.partition("=")
        if not re.fullmatch(r"[a-z0-9]{1,32}", name) or not model or name in found or name == "heavy":
            raise typer.BadParameter(
                f"--variant is '{text}'; expected NAME=MODEL with a name of its own in small letters and digits, such as light=edsr-mobile"
            )
        found[name] = model
    if len(found) > 3:
        raise typer.BadParameter(f"{len(found)} --variant; expected at most 3 beside the --model")
    return found


def torch_device(name: str) -> None:
    """Refuses a device that is not cpu or cuda, or that torch does not see."""
    from edgekit.errors import InvalidFile

    if name not in ("cpu", "cuda"):
        raise InvalidFile(f"--device is '{name}'; expected cpu or cuda")
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InvalidFile("--device is 'cuda', but torch sees no CUDA device; expected one, or --device cpu")
