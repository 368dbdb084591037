"""The image contract of a network that edgekit has never seen, as its author writes it: a small TOML file. What it leaves out is probed.

The schema is documented in toolkit/docs/your-model.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgekit import toml
from edgekit.enhancer import Colour, ImageSpec, Task, Tiling
from edgekit.errors import InvalidFile
from edgekit.models.degrade import Degrade, darkened, downscale, noisy, unchanged

CHANNELS = {"rgb": 3, "bgr": 3, "grey": 1, "luma": 1, "mask": 1, "scalar": 1}
"""Of a colour, if the file does not say."""

MOST_CHANNELS = 64
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Tensor:
    """One [[input]] or [[output]]. `range` are the values of black and white; instead of it `mean` and `std`: a pixel v in [0, 1] becomes (v - mean) / std."""

    name: str = ""
    channels: int | None = None
    colour: Colour | None = None
    range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ContractFile:
    """None: probed. `degrade` is one of DEGRADES, or for factories "package.module:function"."""

    name: str | None = None
    task: Task = "restore"
    scale: int | None = None
    multiple_of: int | None = None
    tiling: Tiling | None = None
    degrade: str | None = None
    licence: str = "unknown"
    input: tuple[Tensor, ...] = (Tensor(),)
    output: tuple[Tensor, ...] = (Tensor(),)


Kind = Literal["downscale", "noise", "dark", "none"]
DEGRADES = ("downscale", "noise", "dark", "none")


def read(path: Path) -> ContractFile:
    """Raises InvalidFile, one line that names file and key."""
    found = toml.build(ContractFile, toml.read(path), str(path))
    _require(found.scale is None or 1 <= found.scale <= 16, f"{path}: scale is {found.scale}; expected 1 to 16")
    _require(found.multiple_of is None or 1 <= found.multiple_of <= 512, f"{path}: multiple_of is {found.multiple_of}; expected 1 to 512")
    _require(found.name is None or _is_plain(found.name), f"{path}: name is {found.name!r:.60}; expected letters, digits, '-', '_' and '.'")
    for kind, tensors in (("input", found.input), ("output", found.output)):
        _require(1 <= len(tensors) <= 8, f"{path}: has {len(tensors)} [[{kind}]] tables; expected 1 to 8")
        names = [tensor.name for tensor in tensors]
        _require(len(set(names)) == len(names), f"{path}: two [[{kind}]] tables are named '{names[0][:60]}'; expected a name for each")
        for number, tensor in enumerate(tensors, 1):
            _check(tensor, f"{path}: [[{kind}]] {number}")
    return found


def _is_plain(name: str) -> bool:
    return 0 < len(name) <= 60 and name.isascii() and all(c.isalnum() or c in "-_." for c in name) and name[0].isalnum()


def _check(tensor: Tensor, where: str) -> None:
    channels = tensor.channels or CHANNELS[tensor.colour or "rgb"]
    _require(
        tensor.channels is None or 1 <= tensor.channels <= MOST_CHANNELS, f"{where}: channels is {tensor.channels}; expected 1 to {MOST_CHANNELS}"
    )
    _require(not tensor.name or _is_plain(tensor.name), f"{where}: name is {tensor.name!r:.60}; expected letters, digits, '-', '_' and '.'")
    fixed = tensor.colour in ("rgb", "bgr", "grey", "luma")
    _require(
        not fixed or channels == CHANNELS[tensor.colour or "rgb"],
        f"{where}: channels is {channels}; expected {CHANNELS.get(tensor.colour or '')} of {tensor.colour}",
    )
    if tensor.range is not None:
        _require(tensor.mean is None and tensor.std is None, f"{where}: has range, and mean or std too; expected either range or mean and std")
        _require(
            tensor.range[0] < tensor.range[1],
            f"{where}: range is {list(tensor.range)}; expected the value of black, then that of white, which is larger",
        )
    for key, values in (("mean", tensor.mean), ("std", tensor.std)):
        _require(
            values is None or len(values) in (1, channels),
            f"{where}: {key} has {len(values or ())} values; expected 1, or one for each of {channels} channels",
        )
    _require(min(tensor.std or (1.0,)) > 0, f"{where}: std is {list(tensor.std or ())}; expected numbers above 0")


def _require(good: bool, fault: str) -> None:
    if not good:
        raise InvalidFile(fault)


def spec(tensor: Tensor, default: ImageSpec) -> ImageSpec:
    """The tensor's `ImageSpec`; what is not said is as in `default`."""
    colour = tensor.colour or default.colour
    same = tensor.colour is None or tensor.colour == default.colour
    channels = tensor.channels or (default.channels if same else CHANNELS[colour])
    name = tensor.name or default.name
    if tensor.range is not None:
        return of_range(name, channels, colour, tensor.range)
    if tensor.mean is None and tensor.std is None:
        return ImageSpec(name, channels, colour, default.mean, default.std, default.range)
    mean, std = tensor.mean or (0.0,), tensor.std or (1.0,)
    longest = range(max(len(mean), len(std)))
    darkest = min(-mean[i % len(mean)] / std[i % len(std)] for i in longest)
    lightest = max((1 - mean[i % len(mean)]) / std[i % len(std)] for i in longest)
    return ImageSpec(name, channels, colour, mean, std, (darkest, lightest))


def of_range(name: str, channels: int, colour: Colour, values: tuple[float, float]) -> ImageSpec:
    """Black is `values[0]`, white `values[1]`. A scalar is no picture: its range says what it may be."""
    black, white = values
    if colour == "scalar":
        return ImageSpec(name, channels, colour, range=values)
    return ImageSpec(name, channels, colour, (-black / (white - black),), (1 / (white - black),), values)


def degrade_named(name: str, scale: int) -> Degrade | None:
    """None: no such name."""
    made = {"downscale": lambda: downscale(scale), "noise": noisy, "dark": darkened, "none": lambda: unchanged}
    return made[name]() if name in made else None
