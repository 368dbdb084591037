"""What each operator of an .mlpackage gives: our evaluator watches. macOS's Core ML shows nothing between input and output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import GraphModule

from edgekit.recipe import Quantize
from edgekit_targets.coreml import lower
from edgekit_targets.coreml.evaluator import Name, Operation, Program
from edgekit_targets.coreml.operators.values import Value
from edgekit_targets.layer_values import Calibration, LayerValue, Trace

IDEMPOTENT = ("relu", "relu6", "clip")
ACTIVATIONS = (*IDEMPOTENT, "leaky_relu", "silu", "sigmoid_hard")
WEIGHTED = ("conv", "conv_transpose", "linear")


class Intermediates:
    source = "the file, in edgekit's Core ML evaluator"
    is_file = True
    by_name: ClassVar[tuple[str, ...]] = ("add",)
    by_type: ClassVar[tuple[str, ...]] = ()

    def __init__(self, file: Path, graph: GraphModule, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Calibration) -> None:
        """`graph` is the rewritten network: the file's operators are named after its nodes. Raises InvalidFile, CannotRunHere."""
        self._program = Program(file)
        floats = tuple(t.float() for t in example)
        is_image = "imageType" in self._program.outputs.values()
        exported = lower._program(lower._Levels(graph) if is_image else graph, floats)
        self._weighted = lower._layers_by_operator(exported)
        self._nodes = {node.name for node in exported.graph.nodes if node.op == "call_function"}
        self._made = {result: o for o in self._program.operations for result in o.results}
        self._readers: dict[str, list[Operation]] = {}
        for operation in self._program.operations:
            for name in _operands(operation):
                self._readers.setdefault(name, []).append(operation)
        self._units = self._find_units()
        found = [(operation, self._name(operation)) for operation in self._program.operations]
        self._layers = [(name, *self._rounded(o.results[0]), o) for o, name in found if name is not None]
        shown = {value for _, value, _, _ in self._layers}
        self._inputs = [[self._before_rounding(source, shown) for source in _operands(o)] for _, _, _, o in self._layers]
        self._wanted = shown | {value for group in self._inputs for value in group}

    def __call__(self, tile: tuple[Tensor, ...]) -> Trace:
        """`tile`: NCHW, float32, or uint8 for files that take images."""
        inputs = [t.float() for t in tile]
        values: dict[str, Tensor] = dict(zip(self._program.inputs, inputs, strict=True))

        def watch(operation: Operation, results: Sequence[Value], arguments: Mapping[str, Value]) -> None:
            for name, value, dtype in zip(operation.results, results, operation.dtypes, strict=True):
                if name in self._wanted and isinstance(value, Tensor):
                    unit, zero = self._units.get(name, (1.0, 0.0))
                    values[name] = ((value.half() if dtype == "fp16" else value).float() - zero) * unit

        outputs = self._program(inputs, watch=watch)
        is_image = [kind == "imageType" for kind in self._program.outputs.values()]
        layers = tuple(
            LayerValue(name, lambda value=value: values[value], lambda shapes, sources=sources: [values[s] for s in sources], activated)
            for (name, value, activated, _), sources in zip(self._layers, self._inputs, strict=True)
        )
        return Trace(layers, tuple(t.round().clamp(0, 255).to(torch.uint8) if image else t for t, image in zip(outputs, is_image, strict=True)))

    def _name(self, operation: Operation) -> str | None:
        name = operation.name.removesuffix("_cast_fp16")
        if operation.kind in WEIGHTED:
            return self._weighted.get(name)
        return name if name in self._nodes and operation.kind not in ("quantize", "dequantize", "cast") else None

    def _find_units(self) -> dict[str, tuple[float, float]]:
        """Tensor -> (what one of its numbers stands for, the number that stands for zero), where that is not (1, 0): levels, and sums. coremltools lets an integer
        addition work in units of one operand's levels, so that the scales around it are no absolute ones."""
        found: dict[str, tuple[float, float]] = {}
        for operation in self._program.operations:
            sources = _operands(operation)
            scale, zero = operation.arguments.get("scale"), operation.arguments.get("zero_point")
            if operation.kind in ("quantize", "dequantize"):
                if not isinstance(scale, int | float) or not isinstance(zero, int | float | None):
                    continue
                unit = found.get(sources[0], (1.0, 0.0))[0]
                found[operation.results[0]] = (unit * scale, float(zero or 0)) if operation.kind == "quantize" else (unit / scale, 0.0)
            elif operation.kind in ("add", "sub", "relu", "leaky_relu", "cast") and sources and sources[-1] in found:
                found[operation.results[0]] = found[sources[-1]]
        return found

    def _rounded(self, value: str) -> tuple[str, bool]:
        """The levels of a layer's result, or of its activation's, if all its readers get it rounded, else the value itself; and whether an activation that changes
        what it gets twice lies between."""
        current, activated = value, False
        while True:
            readers = self._readers.get(current, [])
            if readers and all(reader.kind == "quantize" for reader in readers):
                return readers[0].results[0], activated
            if len(readers) != 1 or readers[0].kind not in ACTIVATIONS:
                return value, False
            activated = activated or readers[0].kind not in IDEMPOTENT
            current = readers[0].results[0]

    def _before_rounding(self, source: str, shown: set[str]) -> str:
        """What a layer reads, before the rounding and the casts that are done for it alone; what another layer's rounding gave it stays."""
        maker = self._made.get(source)
        while maker is not None and maker.kind == "cast" and source not in shown:
            source = _operands(maker)[0]
            maker = self._made.get(source)
        if maker is None or maker.kind != "dequantize":
            return source
        levels = _operands(maker)[0]
        rounding = self._made.get(levels)
        return levels if levels in shown or rounding is None or rounding.kind != "quantize" else _operands(rounding)[0]


def _operands(operation: Operation) -> list[str]:
    """The computed values that the operator reads, in order."""
    return [name for value in operation.arguments.values() for name in _names(value)]


def _names(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [name for one in value for name in _names(one)]
    return [value.of] if isinstance(value, Name) else []
