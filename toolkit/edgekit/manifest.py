"""manifest.json, schema version 1, as types: what an app needs to know about a bundle's files, and what was measured on them.

`manifest.schema.json` is the contract, also for Kotlin and Swift; the dataclasses here are the same keys as types. Numbers carry their unit in the key and
are finite. What was not measured is None (null), and the artifact's `why_not` says why.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from edgekit.backend import Delegation, DType, Layout, TensorSpec
from edgekit.device import ExecutedBy, Latency
from edgekit.enhancer import Adjustment, ClassicalStep, ImageSpec, Sampler, Task, Tiling
from edgekit.recipe import Precision, Quantize

VERSION = 1


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
    and for `delegation` and parity's `seam_steps` and `lpips` where they are None although they would belong. `variant` is the one of `Manifest.routing`
    that the file is of."""

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
    variant: str | None = None


@dataclass(frozen=True)
class Variant:
    """One of several networks for the same task, and the `model` that it is."""

    name: str
    model: Model


@dataclass(frozen=True)
class RoutingChoice:
    """How the thresholds came about: on the pictures of the `set` they cost `drop_db` against the heaviest variant alone, and `most_drop_db` was allowed."""

    set: str
    tiles: int
    most_drop_db: float
    drop_db: float


@dataclass(frozen=True)
class Routed:
    """What the rule gave on the test pictures with one backend's and recipe's files. `shares`: variant -> its share of the tiles; `macs_share`: of the
    multiplications that the heaviest variant alone takes. PSNR is against ground truth, as saved in 8 bits, mean over pictures: `routed_db` by the rule,
    `alone_db` (variant -> dB) without it. `drop_db`, `worst_drop_db`: what a picture loses against the heaviest variant alone, mean and largest, of PSNR up to
    36 dB and over the pictures below it: what is above is not seen."""

    backend: str
    recipe: str
    pictures: int
    tiles: int
    shares: dict[str, float]
    macs_share: float
    routed_db: float
    alone_db: dict[str, float]
    drop_db: float
    worst_drop_db: float


@dataclass(frozen=True)
class Routing:
    """The rule that gives each tile or picture (`unit`) to one of the `variants`, lightest first, by its `score` (`edgekit.quality`): the first variant below
    the first of the rising `thresholds`, the second below the second, the last from the last one on. There is a file of each variant for every backend and
    recipe of the bundle, and all share the manifest's `image`."""

    score: Literal["laplacian-energy"]
    unit: Literal["tile", "picture"]
    thresholds: tuple[int, ...]
    variants: tuple[Variant, ...]
    chosen: RoutingChoice
    measured: tuple[Routed, ...] = ()

    def variant(self, score: int) -> str:
        """The name of the variant for a tile or picture of this score."""
        return self.variants[bisect_right(self.thresholds, score)].name

    @property
    def heaviest(self) -> Variant:
        return self.variants[-1]


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

    def judge(self, max_abs: float | None, psnr_db: float | None) -> tuple[bool, str]:
        """(whether these are within the tolerance, a readable line). None: a value was not finite."""
        allowed = f"(at most {self.max_abs:g})", f"(at least {self.min_psnr_db:g})"
        if max_abs is None or psnr_db is None:
            return False, f"values that are not finite; expected differences {allowed[0]} and dB {allowed[1]}"
        within = max_abs <= self.max_abs and psnr_db >= self.min_psnr_db
        return within, f"largest difference {max_abs:.2g} {allowed[0]}, {psnr_db:.1f} dB {allowed[1]}"


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
    sampler: Sampler | None = None
    apply: Adjustment | None = None
    before: tuple[ClassicalStep, ...] = ()
    after: tuple[ClassicalStep, ...] = ()
    routing: Routing | None = None

    def siblings(self, artifact: Artifact) -> dict[str, Artifact]:
        """Variant -> its file of the artifact's backend and recipe, lightest first; of a bundle without variants, none."""
        names = [variant.name for variant in self.routing.variants] if self.routing else []
        same = {a.variant: a for a in self.artifacts if (a.backend, a.recipe) == (artifact.backend, artifact.recipe)}
        return {name: same[name] for name in names}


@cache
def schema() -> dict[str, Any]:
    """manifest.schema.json."""
    return json.loads((files("edgekit") / "manifest.schema.json").read_text("utf-8"))
