"""How much to compress: one TOML file per recipe."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from edgekit import toml
from edgekit.errors import InvalidFile, UnknownName

Precision = Literal["fp32", "fp16", "int8", "int8-dynamic", "int8-weights", "palettized-6", "palettized-4", "palettized-4-int8"]
Estimator = Literal["min-max", "moving-average", "percentile", "mse"]


PALETTE_BITS = (2, 4, 6, 8, 16)


def palette_of(precision: str) -> int | None:
    """Bits of the tables of a palettized precision, None for the others."""
    return int(precision.split("-")[1]) if precision.startswith("palettized") else None


@dataclass(frozen=True)
class Quantize:
    """`precision` names the arithmetic; "fp32" is written as no [quantize] table at all.

    `estimator` chooses each activation's range from the calibration tiles (None: what the backend does best); `percentile` serves that estimator only.
    `tiles` bounds how many calibration tiles are used. `float_layers` (globs on layer names, as `edgekit inspect` and the manifest list them) and
    `float_types` ("conv2d", "add" ...) stay in float. `fp32_layers` (globs on layers or operators) stay in float32 where the rest computes in fp16: the
    cure for an overflow that the fp16 audit found. `bias_correction` takes out of each bias what int8 rounding shifts its layer by on the calibration tiles
    (int8 and int8-weights; palettized files have their own). `palette_bits` (glob on layers -> 2, 4, 6, 8, or 16 for none) are other bits for some layers of a
    palettized file; the last glob that fits counts.
    """

    precision: Precision
    estimator: Estimator | None = None
    percentile: float = 99.99
    tiles: int = 64
    float_layers: tuple[str, ...] = ()
    float_types: tuple[str, ...] = ()
    fp32_layers: tuple[str, ...] = ()
    bias_correction: bool = True
    palette_bits: dict[str, int] = field(default_factory=dict)

    @property
    def palette(self) -> int | None:
        """Bits of a palettized file's tables; None for other precisions."""
        return palette_of(self.precision)

    @property
    def rounds_activations(self) -> bool:
        """Whether activations are int8 with ranges from calibration tiles."""
        return self.precision in ("int8", "palettized-4-int8")

    @property
    def corrects_bias(self) -> bool:
        """Whether biases are corrected before the toolchain rounds."""
        return self.bias_correction and self.precision in ("int8", "int8-weights")


Cost = Literal["macs", "parameters", "latency"]
Importance = Literal["l1", "taylor", "activation"]


@dataclass(frozen=True)
class Prune:
    """`ratio` of the network's `cost` is removed, in whole channels, always `multiple` at a time (what the kernels compute at once).

    `importance` chooses which: weights' magnitude, first-order change of the loss on calibration tiles, or the share a channel has in what follows it.
    `layers` are globs on the convolutions whose output channels may go; those that a sum ties to each other (a residual trunk) only if `shared`.
    `blocks` whole residual blocks go first. With `cost` "latency" the int8 file of the target is timed.
    """

    ratio: float
    cost: Cost = "macs"
    importance: Importance = "activation"
    multiple: int = 8
    layers: tuple[str, ...] = ("*",)
    shared: bool = False
    blocks: int = 0


@dataclass(frozen=True)
class Recipe:
    """`backend` holds per-backend changes to [quantize], keyed by backend name: [backend.tflite] estimator = "mse"."""

    name: str
    description: str = ""
    prune: Prune | None = None
    quantize: Quantize | None = None
    backend: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def precision(self) -> Precision:
        return self.quantize.precision if self.quantize else "fp32"

    def for_backend(self, name: str) -> Quantize | None:
        """The [quantize] table as this backend should see it."""
        if self.quantize is None or name not in self.backend:
            return self.quantize
        return replace(self.quantize, **self.backend[name])


def names() -> list[str]:
    return sorted(p.name.removesuffix(".toml") for p in (files("edgekit") / "recipes").iterdir() if p.name.endswith(".toml"))


def load(name_or_path: str) -> Recipe:
    """A built-in recipe by name, or a TOML file. Raises UnknownName, InvalidFile."""
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        return _read(path.name, path.stem, toml.read(path))
    if name_or_path not in names():
        raise UnknownName("recipe", name_or_path, names())
    return parse((files("edgekit") / "recipes" / f"{name_or_path}.toml").read_text("utf-8"), name_or_path)


def parse(text: str, name: str) -> Recipe:
    """The recipe that `name`.toml with this text is. Raises InvalidFile."""
    return _read(f"{name}.toml", name, toml.parse(text, f"{name}.toml"))


def _read(where: str, name: str, table: dict[str, Any]) -> Recipe:
    overrides = table.pop("backend", {})
    if not isinstance(overrides, dict) or not all(isinstance(v, dict) for v in overrides.values()):
        raise InvalidFile(f"{where}: backend is {overrides!r}; expected tables such as [backend.tflite]")
    recipe = toml.build(Recipe, {**table, "name": name}, where)
    if recipe.prune:
        check_prune(recipe.prune, f"{where}: prune")
    if recipe.quantize:
        _check(recipe.quantize, f"{where}: quantize")
    if recipe.quantize is None:
        if overrides:
            raise InvalidFile(f"{where}: [backend.*] without [quantize]; expected a [quantize] table that they change")
        return recipe
    checked: dict[str, dict[str, Any]] = {}
    for backend, changes in overrides.items():
        place = f"{where}: [backend.{backend}]"
        changed = toml.build(Quantize, {**table["quantize"], **changes}, place)
        _check(changed, place)
        checked[backend] = {key: getattr(changed, key) for key in changes}
    return replace(recipe, backend=checked)


def _check(quantize: Quantize, where: str) -> None:
    if not 1 <= quantize.tiles <= 10_000:
        raise InvalidFile(f"{where}: tiles is {quantize.tiles}; expected 1 to 10000")
    for glob, bits in quantize.palette_bits.items():
        if bits not in PALETTE_BITS:
            raise InvalidFile(f"{where}: palette_bits of '{glob[:60]}' is {bits}; expected one of {', '.join(map(str, PALETTE_BITS))}")
    if quantize.palette_bits and quantize.palette is None:
        raise InvalidFile(f"{where}: palette_bits with precision {quantize.precision}; expected a palettized precision")
    if not 50 < quantize.percentile <= 100:
        raise InvalidFile(f"{where}: percentile is {quantize.percentile}; expected above 50, at most 100")


def check_prune(prune: Prune, where: str) -> None:
    """Raises InvalidFile for settings that remove nothing, everything, or a negative number."""
    if not 0 < prune.ratio < 1:
        raise InvalidFile(f"{where}: ratio is {prune.ratio:g}; expected above 0 (nothing removed) and below 1 (nothing left)")
    if not 1 <= prune.multiple <= 64:
        raise InvalidFile(f"{where}: multiple is {prune.multiple}; expected 1 to 64")
    if prune.blocks < 0:
        raise InvalidFile(f"{where}: blocks is {prune.blocks}; expected 0 or more")
    if not prune.layers:
        raise InvalidFile(f"{where}: layers is empty; expected globs such as 'body.*'")
