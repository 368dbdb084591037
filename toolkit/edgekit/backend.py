"""What a backend promises. One package per runtime lives in `edgekit_targets`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.recipe import Precision, Quantize

Layout = Literal["NCHW", "NHWC"]
DType = Literal["float32", "uint8", "int8", "float16"]

FOLDS = (
    "masked_assignment",
    "slice_scatter",
    "shorthands",
    "sort_by_topk",
    "attention",
    "freeze_parameters",
    "remove_noise",
    "remove_checks",
    "codebook",
    "one_hot",
    "straight_through",
    "explicit_padding",
    "crop_by_slices",
    "modulated_convolution",
    "fold_batch_norm",
    "merge_branches",
    "fold_channel_order",
    "fold_scales",
    "fold_mean_shift",
    "collapse_linear",
    "adaptive_pooling",
    "fourier_products",
)
"""The rewrites (`edgekit.rewrite`) that make any network smaller, and those that hardly a runtime does without: every backend asks for them, in this order,
before those that it alone needs."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model file, as the app must fill or read it. `shape` is in `layout` order."""

    name: str
    shape: tuple[int, ...]
    layout: Layout
    dtype: DType
    range: tuple[float, float]


@dataclass(frozen=True)
class Delegation:
    """How much of the graph the delegate executes. `leftovers` maps each operator outside it to the reason."""

    delegate: str
    delegated: int
    total: int
    partitions: int
    leftovers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lowered:
    """What `lower` made. `quantized` and `kept_float` name layers; `toolchain` maps package to version; `facts` goes into the manifest as it is."""

    file: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    toolchain: dict[str, str]
    delegation: Delegation | None = None
    quantized: tuple[str, ...] = ()
    kept_float: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


class Backend(Protocol):
    """Frozen dataclasses with typed options fulfil this. Everything but `lower` is readable without the toolchain.

    `rewrites` are applied to the network, in this order, before `lower`. `needs` are the modules whose absence means a missing toolchain. `half` are the
    precisions whose operators give fp16 on the accelerators that they are made for; `fp32_islands` says whether a recipe's `fp32_layers` can be kept out.
    """

    @property
    def name(self) -> str: ...
    @property
    def suffix(self) -> str: ...
    @property
    def layout(self) -> Layout: ...
    @property
    def delegate(self) -> str: ...
    @property
    def precisions(self) -> tuple[Precision, ...]: ...
    @property
    def half(self) -> tuple[Precision, ...]: ...
    @property
    def fp32_islands(self) -> bool: ...
    @property
    def rewrites(self) -> tuple[str, ...]: ...
    @property
    def needs(self) -> tuple[str, ...]: ...

    def refusal(self, precision: str) -> str | None:
        """Why this precision cannot be made, and what to use instead; None if it can."""
        ...

    def lower(
        self, module: nn.Module, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Sequence[tuple[Tensor, ...]], out: Path
    ) -> Lowered:
        """Writes the model file `out` (suffix included).

        `module` maps contiguous NCHW tensors like `example` (float32 in [0, 1], or uint8 if the target asks for uint8 I/O) to one tensor of the same
        dtype. `tiles` are calibration inputs of the same shapes. Raises LoweringError, also when nothing was quantized or delegated.
        """
        ...
