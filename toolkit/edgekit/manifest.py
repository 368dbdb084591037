"""manifest.json, schema version 1: what an app needs to know about a bundle's files, and what was measured on them.

`manifest.schema.json` is the contract, also for Kotlin and Swift; the dataclasses here are the same keys as types. Numbers carry their unit in the key and
are finite. What was not measured is None (null), and the artifact's `why_not` says why.
"""

from __future__ import annotations

import json
import math
import re
import types
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgekit import consistency
from edgekit.backend import Delegation, DType, Layout, TensorSpec
from edgekit.device import ExecutedBy, Latency
from edgekit.enhancer import ImageSpec, Task, Tiling
from edgekit.errors import InvalidFile
from edgekit.recipe import Precision, Quantize

VERSION = 1
LARGEST_INTEGER = 2**53 - 1
"""JSON readers that keep numbers as doubles lose digits beyond it."""
DEEPEST = 64
"""Levels of objects and arrays. A real manifest has nine; a phone's stack is small."""


@dataclass(frozen=True)
class Model:
    """`sha256` is of the weights file; `macs_per_pixel` counts per pixel of the input; `receptive_field` is a side in input pixels (None: unbounded).
    `task` is that of the enhancer; manifests older than the key are of restoring networks."""

    name: str
    source: str
    licence: str
    sha256: str
    scale: int
    parameters: int
    macs_per_pixel: float
    receptive_field: int | None
    task: Task = "restore"


@dataclass(frozen=True)
class Image:
    """How a picture becomes tiles. `tile` is (height, width) of the network's input, `receptive_radius` and `halo` are input pixels per side.

    `edge_rule` fills the halo beyond the picture's border. `overhead` is computed pixels / delivered pixels on a large picture.
    """

    inputs: tuple[ImageSpec, ...]
    outputs: tuple[ImageSpec, ...]
    scale: int
    tiling: Tiling
    tile: tuple[int, int]
    receptive_radius: int | None
    halo: int
    multiple_of: int = 1
    edge_rule: Literal["reflect"] = "reflect"
    overhead: float | None = None


@dataclass(frozen=True)
class ParityReference:
    """The run that an artifact's outputs were compared with."""

    device: str
    dtype: str


@dataclass(frozen=True)
class Parity:
    """An artifact's outputs against the reference's: PSNR with peak 1.0 on outputs clamped to [0, 1]. `worst_*` stand beside the means.

    The measures are None if the outputs were not `finite`. `delta_*` is the reference's PSNR against ground truth minus the artifact's, over whole pictures,
    both as saved in 8 bits, where the reference is below 36 dB; `smooth_psnr_db` is the least PSNR against the reference over the other, smooth pictures.
    `ssim` is the mean over pictures, `max_abs` the largest difference of any value. `banding` is the largest share of smooth block pairs that got a contour.

    Of colour: `channel_shift` is the signed mean difference (artifact minus reference) per channel over all pictures, `colour_shift` the largest absolute one
    of any picture and channel, `tile_colour_shift` of any tile and channel; `ciede2000_mean` and `ciede2000_p99` are those of the picture where they are
    largest. `seam_steps`: how much larger the error's step is across a tile border than any beside it, in 8-bit steps, on the worst piece of a border.
    `dice`, `iou` (means over pictures) and `worst_iou` (least) are of a segmenter's masks; `lpips` is the mean over pictures. None: not measured, not
    applicable, or a manifest older than the key.
    """

    executed_by: ExecutedBy
    reference: ParityReference
    pictures: int
    tiles: int
    psnr_db: float | None
    worst_psnr_db: float | None
    worst_tile: str
    ssim: float | None
    max_abs: float | None
    colour_shift: float | None
    finite: bool
    runs_equal: bool
    psnr_gt_db: float | None = None
    delta_psnr_db: float | None = None
    worst_delta_psnr_db: float | None = None
    smooth_psnr_db: float | None = None
    banding: float | None = None
    worst_ssim: float | None = None
    channel_shift: tuple[float, ...] | None = None
    tile_colour_shift: float | None = None
    ciede2000_mean: float | None = None
    ciede2000_p99: float | None = None
    seam_steps: float | None = None
    dice: float | None = None
    iou: float | None = None
    worst_iou: float | None = None
    lpips: float | None = None


@dataclass(frozen=True)
class ArtifactLatency(Latency):
    """`ratio_to_reference`: this file's median / the reference's on the same device, None where that was not timed."""

    ratio_to_reference: float | None = None


@dataclass(frozen=True)
class BudgetLine:
    """One limit of the target's budget and what was measured against it."""

    name: str
    measured: float | None
    budget: float
    status: Literal["ok", "over", "not measured"]


@dataclass(frozen=True)
class Artifact:
    """One model file. `quantize` is the recipe as this backend saw it (None: fp32). `why_not` has a line for `parity` and for `latency` where they are None,
    and for `delegation` and parity's `seam_steps` and `lpips` where they are None although they would belong."""

    name: str
    file: str
    backend: str
    delegate: str
    recipe: str
    precision: Precision
    bytes: int
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    delegation: Delegation | None
    parity: Parity | None
    latency: ArtifactLatency | None
    why_not: dict[str, str] = field(default_factory=dict)
    budget: tuple[BudgetLine, ...] = ()
    quantize: Quantize | None = None
    quantized: tuple[str, ...] = ()
    kept_float: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Calibration:
    """The set whose tiles gave the activation ranges; `sha256` is of its set.toml."""

    name: str
    sha256: str
    tiles: int


@dataclass(frozen=True)
class Reference:
    """Where, when (ISO 8601, UTC) and with which precision flags the reference outputs were captured."""

    device: str
    dtype: str
    captured: str
    flags: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GoldenTensor:
    """A raw little-endian file, contiguous in `layout` order."""

    name: str
    file: str
    shape: tuple[int, ...]
    layout: Layout
    dtype: DType
    bytes: int
    sha256: str


@dataclass(frozen=True)
class GoldenOutput:
    """What `artifact` gave here for the golden inputs. On another device each value may differ by up to `max_abs` (on the [0, 1] scale, whatever
    the dtype), and the whole tile must reach `min_psnr_db` against these outputs."""

    artifact: str
    outputs: tuple[GoldenTensor, ...]
    max_abs: float
    min_psnr_db: float


@dataclass(frozen=True)
class Golden:
    """One tile in; what the reference and each executed artifact gave for it."""

    inputs: tuple[GoldenTensor, ...]
    reference: tuple[GoldenTensor, ...]
    artifacts: tuple[GoldenOutput, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`created` is ISO 8601 in UTC; `toolchain` maps each package that shaped the files to its version; `calibration` is None if nothing was calibrated."""

    manifest: int = VERSION
    target: str = ""
    edgekit: str
    created: str
    toolchain: dict[str, str]
    model: Model
    image: Image
    artifacts: tuple[Artifact, ...]
    calibration: Calibration | None
    reference: Reference
    golden: Golden

    def to_json(self) -> str:
        """The file's text. Raises ValueError where a value does not fit the schema: a bug of the caller, not of the user."""
        table = asdict(self)
        try:
            text = json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            Manifest.from_json(text, "manifest.json")
        except (InvalidFile, TypeError, ValueError) as error:
            raise ValueError(f"this manifest cannot be written: {error}") from error
        return text

    @staticmethod
    def from_json(text: str, where: str) -> Manifest:
        """Reads and validates. `where` opens each message. Raises InvalidFile."""
        table = parse_json(text, where)
        version = table.get("manifest")
        if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
            raise InvalidFile(f"{where}: is of schema version {version}, made by a newer edgekit; expected {VERSION}: pip install --upgrade edgekit")
        check(table, schema(), where)
        manifest: Manifest = decode(Manifest, table)
        consistency.require(manifest, where)
        return manifest


@cache
def schema() -> dict[str, Any]:
    """manifest.schema.json."""
    return json.loads((files("edgekit") / "manifest.schema.json").read_text("utf-8"))


def parse_json(text: str, where: str) -> dict[str, Any]:
    """A strict JSON object: no duplicate keys, no NaN or infinity, no number that a double cannot hold, no lone surrogate, at most DEEPEST levels."""

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [k for k, _ in pairs]
            raise ValueError(f"the key {_show(next(k for k in keys if keys.count(k) > 1))} stands twice")
        return found

    def integer(digits: str) -> int:
        if len(digits) > 17 or abs(int(digits)) > LARGEST_INTEGER:
            raise ValueError(f"the number {digits[:20]} is too large")
        return int(digits)

    def real(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise ValueError(f"the number {digits[:20]} is not finite")
        return value

    try:
        found = json.loads(text, object_pairs_hook=table, parse_int=integer, parse_float=real, parse_constant=real)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        reason = "text that is not Unicode" if isinstance(error, UnicodeEncodeError) else str(error)
        raise InvalidFile(f"{where}: is not JSON as expected ({reason})") from error
    if not isinstance(found, dict):
        raise InvalidFile(f"{where}: is {_show(found)}; expected an object")
    level: list[Any] = [found]
    for _ in range(DEEPEST):
        level = [item for value in level if isinstance(value, dict | list) for item in (value.values() if isinstance(value, dict) else value)]
    if any(isinstance(value, dict | list) for value in level):
        raise InvalidFile(f"{where}: is nested deeper than {DEEPEST} levels; expected what edgekit wrote")
    return found


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float),
    "integer": (int, float),
}
_NOTES = {"$schema", "$id", "$defs", "title", "description"}
KEYWORDS = _NOTES | {"$ref", "additionalProperties", "allOf", "anyOf", "const", "enum", "if", "items", "maxItems", "minimum", "minItems", "minLength"}
KEYWORDS |= {"pattern", "properties", "required", "then", "type"}
"""The part of JSON Schema that `check` knows; a test holds the schema to it."""


def check(value: Any, rule: dict[str, Any], where: str) -> None:
    """Validates parsed JSON against a rule of the schema (draft 2020-12, the KEYWORDS above). Raises InvalidFile that names the place."""
    if "$ref" in rule:
        check(value, schema()["$defs"][rule["$ref"].removeprefix("#/$defs/")], where)
    if "type" in rule:
        allowed = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        if not any(_is(value, name) for name in allowed):
            raise InvalidFile(f"{where} is {_show(value)}; expected {' or '.join(allowed)}")
    if "const" in rule and not _same(value, rule["const"]):
        raise InvalidFile(f"{where} is {_show(value)}; expected {rule['const']}")
    if "enum" in rule and not any(_same(value, option) for option in rule["enum"]):
        raise InvalidFile(f"{where} is {_show(value)}; expected one of {', '.join(str(option) for option in rule['enum'])}")
    if isinstance(value, str):
        if len(value) < rule.get("minLength", 0):
            raise InvalidFile(f"{where} is empty; expected a text")
        if "pattern" in rule and not re.search(rule["pattern"], value):
            raise InvalidFile(f"{where} is {_show(value)}; expected {rule['description']}")
    if _is(value, "number") and value < rule.get("minimum", value):
        raise InvalidFile(f"{where} is {_show(value)}; expected at least {rule['minimum']}")
    if isinstance(value, list):
        least, most = rule.get("minItems", 0), rule.get("maxItems", len(value))
        if not least <= len(value) <= most:
            raise InvalidFile(f"{where} has {len(value)} values; expected {least if len(value) < least else most}")
        for index, item in enumerate(value):
            check(item, rule.get("items", {}), f"{where}[{index}]")
    if isinstance(value, dict):
        _check_object(value, rule, where)
    for part in rule.get("allOf", []):
        check(value, part, where)
    if "anyOf" in rule:
        errors = [error for option in rule["anyOf"] if (error := _error(value, option, where))]
        if len(errors) == len(rule["anyOf"]):
            raise errors[0]
    if "if" in rule and _error(value, rule["if"], where) is None:
        check(value, rule["then"], where)


def _check_object(value: dict[str, Any], rule: dict[str, Any], where: str) -> None:
    known, others = rule.get("properties", {}), rule.get("additionalProperties", True)
    for key in rule.get("required", []):
        if key not in value:
            raise InvalidFile(f"{where}: '{key}' is missing")
    for key, item in value.items():
        place = f"{where}: {_plain(key)}" if where.endswith(".json") else f"{where}.{_plain(key)}"
        if key in known:
            check(item, known[key], place)
        elif others is False:
            raise InvalidFile(f"{where}: unknown key {_show(key)}; expected one of {', '.join(known)}")
        elif isinstance(others, dict):
            check(item, others, place)


def _error(value: Any, rule: dict[str, Any], where: str) -> InvalidFile | None:
    try:
        check(value, rule, where)
    except InvalidFile as error:
        return error
    return None


def _is(value: Any, name: str) -> bool:
    """JSON's types: true is no number, and 2.0 is an integer."""
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name]) and (name != "integer" or value == int(value))


def _same(value: Any, other: Any) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def decode(hint: Any, value: Any) -> Any:
    """Parsed, validated JSON -> the type that `hint` names."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else decode(next(a for a in args if a is not type(None)), value)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return hint(**{f.name: decode(hints[f.name], value[f.name]) for f in fields(hint) if f.name in value})
    if origin is tuple:
        inner = args if args[-1] is not Ellipsis else (args[0],) * len(value)
        return tuple(decode(a, v) for a, v in zip(inner, value, strict=True))
    if hint in (int, float):
        return hint(value)
    return value


def _show(value: Any) -> str:
    text = repr(value) if not isinstance(value, dict | list) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(key: str) -> str:
    return key if key.isidentifier() and len(key) <= 40 else _show(key)
