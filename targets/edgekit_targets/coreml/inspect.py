"""What an .mlpackage on disk really holds: operators, types, weights. Works off a Mac; executes nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit_targets.coreml import constants, package
from edgekit_targets.coreml.library import types

INT8 = ("constexpr_affine_dequantize", "constexpr_blockwise_shift_scale")
PALETTE = ("constexpr_lut_to_dense",)
"""How weights are stored: the constant operators that unpack them (the second names are those of iOS 18 files)."""

WEIGHTED = ("conv", "conv_transpose", "linear")


@dataclass(frozen=True)
class Operator:
    """One operator that computes; `dtype` is its first output's (fp16, fp32, uint8 ...)."""

    kind: str
    name: str
    dtype: str


@dataclass(frozen=True)
class Layer:
    """One operator with a weight. `stored` is "const" or the operator that unpacks it; `weight` and `bias` are float32, unpacked. `table` is how many
    entries each of its palettes has, a power of two: the bits that are stored; None without a palette."""

    kind: str
    name: str
    stored: str
    weight: np.ndarray
    bias: np.ndarray | None
    table: int | None = None


@dataclass(frozen=True)
class Package:
    """`inputs` and `outputs`: name -> kind (multiArrayType, imageType). `specification_version`: 8 is iOS 17, 9 is iOS 18."""

    operators: tuple[Operator, ...]
    layers: tuple[Layer, ...]
    inputs: dict[str, str]
    outputs: dict[str, str]
    specification_version: int
    metadata: dict[str, str]

    def counts(self) -> dict[str, int]:
        """Operator kind -> how many, sorted by kind."""
        return dict(sorted(Counter(operator.kind for operator in self.operators).items()))


def read(file: Path) -> Package:
    """Reads the package back from disk. Raises InvalidFile if it is missing, cut off or not an ML Program."""
    specification, program = package.load(file)
    operators, layers = [], []
    for operation in program.functions["main"].operations:
        if operation.op_type == "const":
            continue
        operators.append(Operator(operation.op_type, operation.name, types.builtin_to_string(operation.outputs[0].dtype)))
        if operation.op_type in WEIGHTED:
            bias = operation.inputs.get("bias")
            layers.append(
                Layer(
                    operation.op_type,
                    operation.name,
                    operation.weight.op.op_type,
                    _unpacked(operation.weight),
                    None if bias is None else _unpacked(bias),
                    _entries(operation.weight.op),
                )
            )
    description = specification.description
    return Package(
        operators=tuple(operators),
        layers=tuple(layers),
        inputs={value.name: value.type.WhichOneof("Type") for value in description.input},
        outputs={value.name: value.type.WhichOneof("Type") for value in description.output},
        specification_version=specification.specificationVersion,
        metadata={
            "author": description.metadata.author,
            "description": description.metadata.shortDescription,
            "version": description.metadata.versionString,
            **description.metadata.userDefined,
        },
    )


def _entries(operation: Any) -> int | None:
    """Of a table as iOS 16 stores it, (entries,), or iOS 18, (a table per block ..., entries, 1)."""
    if operation.op_type not in PALETTE:
        return None
    shape = operation.inputs["lut"].shape
    return int(shape[0] if len(shape) == 1 else shape[-2])


def _unpacked(variable: Any) -> np.ndarray:
    """A constant's values as float32, decompressed as Core ML does."""
    return np.asarray(constants.value_of(variable.op), dtype=np.float32)
