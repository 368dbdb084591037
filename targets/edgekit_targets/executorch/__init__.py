"""ExecuTorch: `.pte` files, on XNNPACK (a phone's CPU) or on ExecuTorch's portable operators (slow; for debugging).

`lower` holds the conversion, `quantizer` what becomes int8, `host` the session that runs a file on this machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgekit.backend import FOLDS, Layout, Lowered
from edgekit.recipe import palette_of
from edgekit_targets.toolchain import part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.recipe import Precision, Quantize


@dataclass(frozen=True)
class ExecuTorch:
    """Fulfils `edgekit.backend.Backend`."""

    delegate: Literal["xnnpack", "portable"] = "xnnpack"

    name = "executorch"
    suffix = ".pte"
    layout: Layout = "NCHW"
    rewrites = (
        "hard_sigmoid",
        "hardtanh",
        *FOLDS,
        "remove_identities",
        "volume_sampling",
        "computed_kernels",
        "split_concatenation",
        "pad_by_slices",
        "instance_norm",
        "group_norm",
        "layer_norm",
        "variance",
        "vector_norm",
        "power",
        "extremes",
        "elu",
        "mish",
        "softplus",
        "channel_sums",
        "bicubic",
        "resampling",
        "bicubic_resampling",
        "nearest_features",
        "nearest_picture",
        "neighbourhoods",
        "fold",
        "roll",
        "split_by_slices",
        "reshape_views",
        "batched_products",
        "rank_limit",
        "remove_expansions",
        "plain_order",
        "separate_calls",
        "clamp",
    )
    fp32_islands = False
    needs = ("executorch", "torchao")

    @property
    def half(self) -> tuple[Precision, ...]:
        return ()

    @property
    def precisions(self) -> tuple[Precision, ...]:
        return ("fp32", "int8", "int8-dynamic") if self.delegate == "xnnpack" else ("fp32",)

    def refusal(self, precision: str) -> str | None:
        """See `edgekit.backend.Backend`."""
        if precision in self.precisions:
            return None
        if self.delegate == "portable":
            return f"ExecuTorch's portable operators run fp32 only, not {precision}; use delegate 'xnnpack', or fp32"
        if precision == "fp16":
            return "XNNPACK keeps convolution weights as fp32 in fp16 graphs, so the file would not shrink; use int8, or fp16 with tflite or coreml"
        if precision == "int8-weights":
            return (
                "XNNPACK has no int8 weights with float arithmetic for convolutions; use int8 or int8-dynamic, or int8-weights with tflite or coreml"
            )
        if palette_of(precision):
            return f"XNNPACK reads no palettes ({precision}); use int8, or {precision} with coreml"
        return f"ExecuTorch has no precision '{precision}'; use one of {', '.join(self.precisions)}"

    def lower(
        self, module: nn.Module, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Sequence[tuple[Tensor, ...]], out: Path
    ) -> Lowered:
        """See `edgekit.backend.Backend`."""
        return part("executorch", "lower").lower(self, module, example, quantize, tiles, out)
