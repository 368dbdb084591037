"""Core ML packages (ML Programs) for iOS and macOS apps. Converted anywhere; executed by macOS and iOS, and by our evaluator elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from edgekit.backend import FOLDS, Layout, Lowered
from edgekit.recipe import Precision
from edgekit_targets.toolchain import part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.recipe import Quantize

DELEGATES = {"all": "ane+gpu+cpu", "cpu-and-ne": "ane+cpu", "cpu-and-gpu": "gpu+cpu", "cpu-only": "cpu"}
"""Compute units -> what may execute the operators; Core ML decides for each when it loads the file."""


@dataclass(frozen=True)
class CoreML:
    """`minimum_deployment_target`: the oldest system that opens the file.

    `compute_units`: what the app should ask for when it loads the file; written into the manifest, the file itself does not hold it.
    `io`: "tensor" takes and gives float32 arrays in [0, 1]; "image" takes and gives 8-bit pixel buffers (CVPixelBuffer), which Core ML scales itself.
    """

    minimum_deployment_target: Literal["iOS17", "iOS18"] = "iOS17"
    compute_units: Literal["all", "cpu-and-ne", "cpu-and-gpu", "cpu-only"] = "all"
    io: Literal["tensor", "image"] = "tensor"

    name = "coreml"
    suffix = ".mlpackage"
    layout: ClassVar[Layout] = "NCHW"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8-weights", "int8", "palettized-6", "palettized-4", "palettized-4-int8")
    half: ClassVar[tuple[Precision, ...]] = ("fp16", "int8-weights", "int8", "palettized-6", "palettized-4", "palettized-4-int8")
    fp32_islands = True
    rewrites = (
        "hardtanh",
        *FOLDS,
        "recurrent_layers",
        "volume_sampling",
        "computed_kernels",
        "plain_arguments",
        "circular_padding",
        "fractions",
        "half_turns",
        "bicubic",
        "resampling",
        "bicubic_resampling",
        "unfolded_windows",
        "fold",
        "rank_limit",
        "clamp",
    )
    needs = ("coremltools", "sklearn")

    @property
    def delegate(self) -> str:
        return DELEGATES[self.compute_units]

    def refusal(self, precision: str) -> str | None:
        """See `edgekit.backend.Backend`."""
        if precision == "palettized-4-int8" and self.minimum_deployment_target == "iOS17":
            return 'coreml makes palettized-4-int8 for iOS 18 and later: set minimum_deployment_target = "iOS18", or use palettized-4'
        if precision in self.precisions:
            return None
        if precision == "int8-dynamic":
            return "coreml cannot make int8-dynamic: Core ML finds no activation ranges at run time: use int8 or int8-weights"
        return f"coreml cannot make {precision}: use one of {', '.join(self.precisions)}"

    def lower(
        self, module: nn.Module, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Sequence[tuple[Tensor, ...]], out: Path
    ) -> Lowered:
        """See `edgekit.backend.Backend`."""
        return part("coreml", "lower").lower(self, module, example, quantize, tiles, out)
