"""TFLite (LiteRT) files: converted by litert-torch, quantized by ai-edge-quantizer, executed by XNNPACK on phones' CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from edgekit.backend import FOLDS, Layout, Lowered
from edgekit.recipe import Precision, palette_of
from edgekit_targets.toolchain import part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.recipe import Quantize


@dataclass(frozen=True)
class TFLite:
    """Fulfils `edgekit.backend.Backend`."""

    delegate: Literal["xnnpack"] = "xnnpack"
    name: ClassVar[str] = "tflite"
    suffix: ClassVar[str] = ".tflite"
    layout: ClassVar[Layout] = "NHWC"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8", "int8-dynamic", "int8-weights")
    half: ClassVar[tuple[Precision, ...]] = ("fp16",)
    fp32_islands: ClassVar[bool] = False
    rewrites: ClassVar[tuple[str, ...]] = (
        *FOLDS,
        "volume_sampling",
        "computed_kernels",
        "split_concatenation",
        "wide_padding",
        "pad_by_slices",
        "instance_norm",
        "bicubic",
        "resampling",
        "nearest_picture",
        "nearest_by_copies",
        "output_padding",
        "transposed_padding",
        "prelu",
        "elu",
        "unfolded_windows",
        "neighbourhoods",
        "fold",
        "roll",
        "free_views",
        "remove_expansions",
        "repeats",
        "clamp",
    )
    needs: ClassVar[tuple[str, ...]] = ("litert_torch", "ai_edge_litert", "ai_edge_quantizer")

    def refusal(self, precision: str) -> str | None:
        """See `edgekit.backend.Backend`."""
        if precision in self.precisions:
            return None
        if palette_of(precision):
            return "TFLite has no palettized weights; use int8-weights (8 bits) here, or palettization with the coreml backend"
        return f"TFLite has no '{precision}'; use one of {', '.join(self.precisions)}"

    def lower(
        self, module: nn.Module, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Sequence[tuple[Tensor, ...]], out: Path
    ) -> Lowered:
        """See `edgekit.backend.Backend`. Raises MissingToolchain, LoweringError."""
        return part(self.name, "lower").lower(module, example, quantize, tiles, out)


__all__ = ["TFLite"]
