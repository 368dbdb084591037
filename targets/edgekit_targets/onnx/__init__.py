"""ONNX files, for ONNX Runtime on desktops and servers or for NVIDIA TensorRT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from edgekit.backend import FOLDS, Layout, Lowered
from edgekit_targets.toolchain import part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.recipe import Precision, Quantize

Dialect = Literal["onnxruntime", "tensorrt"]

PRECISIONS: dict[Dialect, tuple[Precision, ...]] = {
    "onnxruntime": ("fp32", "int8", "int8-dynamic"),
    "tensorrt": ("fp32", "fp16", "int8"),
}

INSTEAD = {
    "fp16": "ONNX Runtime's CPU kernels compute in fp32 and would cast at every operator: use fp32 or int8 (dialect 'tensorrt' makes fp16)",
    "int8-dynamic": "TensorRT has no DynamicQuantizeLinear and no ConvInteger: use int8",
}
"""Why the other dialect's precisions are not made, and what to use."""


@dataclass(frozen=True)
class Onnx:
    """`dialect`: "onnxruntime" (asymmetric uint8 activations, the CPU's own kernels) or "tensorrt" (symmetric int8, checked by our rules; the engine is
    built where it runs)."""

    dialect: Dialect = "onnxruntime"

    name = "onnx"
    suffix = ".onnx"
    layout: ClassVar[Layout] = "NCHW"
    rewrites = (*FOLDS, "plain_arguments", "split_concatenation", "half_turns", "tiny_addends", "clamp")
    fp32_islands = False
    needs = ("onnx", "onnxruntime", "onnxscript")

    @property
    def delegate(self) -> str:
        return "tensorrt" if self.dialect == "tensorrt" else "cpu"

    @property
    def half(self) -> tuple[Precision, ...]:
        return ("fp16",) if self.dialect == "tensorrt" else ()

    @property
    def precisions(self) -> tuple[Precision, ...]:
        return PRECISIONS[self.dialect]

    def refusal(self, precision: str) -> str | None:
        """See `edgekit.backend.Backend`."""
        if precision in self.precisions:
            return None
        why = INSTEAD.get(precision, f"ONNX has no portable form of it: use one of {', '.join(self.precisions)}")
        return f"onnx ({self.dialect}) cannot make {precision}: {why}"

    def lower(
        self, module: nn.Module, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Sequence[tuple[Tensor, ...]], out: Path
    ) -> Lowered:
        """See `edgekit.backend.Backend`."""
        return part("onnx", "lower").lower(self, module, example, quantize, tiles, out)
