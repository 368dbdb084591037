"""Executes the ML Program inside an .mlpackage, operator by operator, in torch: Core ML's numbers without a Mac.

The program and its weights are read back from disk, so that what is executed is what an app would load. Two modes: `faithful` rounds each result to the
operator's own type (fp16 programs compute in fp16 between operators, overflow included); without it everything stays float32, which shows the
program's own error apart from that of the type. The order of sums inside one operator is torch's, and sums are float32: Core ML's compute units differ there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgekit.errors import CannotRunHere
from edgekit_targets.coreml import constants, package
from edgekit_targets.coreml.library import types
from edgekit_targets.coreml.operators import OPERATORS
from edgekit_targets.coreml.operators.values import Value


@dataclass(frozen=True)
class Name:
    """An argument that is another operator's result."""

    of: str


@dataclass(frozen=True)
class Operation:
    """`arguments`: parameter -> value, Name, or a tuple of both. `dtypes` are those of the results (fp16, fp32, int8, ...). `last` names what nobody reads later."""

    kind: str
    name: str
    arguments: Mapping[str, Any]
    results: tuple[str, ...]
    dtypes: tuple[str, ...]
    last: tuple[str, ...] = ()


Watch = Callable[[Operation, Sequence[Value], Mapping[str, Value]], None]
"""Called with each operation, its results before rounding, and its arguments."""


class Program:
    """An opened package. `inputs` and `outputs`: name -> kind ("multiArrayType" or "imageType")."""

    def __init__(self, file: Path) -> None:
        """Raises InvalidFile if the package is missing, cut off or not an ML Program, CannotRunHere if it has an operator
        that is not in `OPERATORS`: it is named, and nothing is guessed."""
        specification, program = package.load(file)
        main, description = program.functions["main"], specification.description
        self.inputs = {value.name: value.type.WhichOneof("Type") for value in description.input}
        self.outputs = {value.name: value.type.WhichOneof("Type") for value in description.output}
        self._constants: dict[str, Value] = {}
        self._types = {name: types.builtin_to_string(var.dtype) for name, var in main.inputs.items()}
        operations = [o for o in main.operations if not constants.is_constant(o)]
        unknown = sorted({o.op_type for o in operations} - OPERATORS.keys())
        if unknown:
            raise CannotRunHere(f"{file.name}: the evaluator does not know the operator{'s' * (len(unknown) > 1)} {', '.join(unknown)}; not measured")
        try:
            if [*self.inputs] != [*main.inputs] or len(self.outputs) != len(main.outputs):
                raise ValueError(f"it describes {len(self.inputs)} inputs, its program has {len(main.inputs)}, or others")
            self._results = [self._argument(var) for var in main.outputs]
            self.operations = _with_last_uses([self._read(operation) for operation in operations], self._results)
        except package.UNREADABLE as error:
            raise package.unreadable(file, error) from error

    def __call__(self, inputs: Sequence[Tensor], *, faithful: bool = True, watch: Watch | None = None) -> tuple[Tensor, ...]:
        """One tensor per input, in the package's order: float32 (image inputs: 0 .. 255) -> its outputs, float32."""
        values: dict[str, Value] = dict(zip(self.inputs, inputs, strict=True))
        if faithful:
            values = {name: _rounded(value, self._types.get(name, "fp32")) for name, value in values.items()}
        with torch.no_grad():
            for operation in self.operations:
                try:
                    arguments = {key: _fetch(value, values) for key, value in operation.arguments.items()}
                    result = OPERATORS[operation.kind](**arguments)
                    results = result if isinstance(result, tuple) else (result,)
                    if len(results) != len(operation.results):
                        raise ValueError(f"it gives {len(results)} values, the file has {len(operation.results)}")
                except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, RuntimeError, MemoryError) as error:
                    lines = str(error).splitlines() or [type(error).__name__]
                    raise CannotRunHere(
                        f"the evaluator cannot execute {operation.kind} '{operation.name}' ({lines[0][:200]}); not measured"
                    ) from error
                if watch:
                    watch(operation, results, arguments)
                for name, value, dtype in zip(operation.results, results, operation.dtypes, strict=True):
                    values[name] = _rounded(value, dtype) if faithful else value
                for name in operation.last:
                    del values[name]
        return tuple(_fetch(result, values) for result in self._results)

    def _read(self, operation: Any) -> Operation:
        arguments = {key: self._argument(value) for key, value in operation.inputs.items() if value is not None and key != "name"}
        names = tuple(var.name for var in operation.outputs)
        return Operation(operation.op_type, operation.name, arguments, names, tuple(types.builtin_to_string(var.dtype) for var in operation.outputs))

    def _argument(self, given: Any) -> Any:
        if isinstance(given, list | tuple):
            return tuple(self._argument(one) for one in given)
        if given.op is None or not constants.is_constant(given.op):
            return Name(given.name)
        if given.name not in self._constants:
            try:
                self._constants[given.name] = _value(constants.value_of(given.op))
            except NotImplementedError as error:
                raise CannotRunHere(f"the evaluator does not know the constant operator {error}; not measured") from error
        return self._constants[given.name]


def _value(constant: Any) -> Value:
    """Scalars and strings as they are, arrays as tensors; fractions in float32."""
    if isinstance(constant, str | bool | int | float):
        return constant
    array = np.asarray(constant)
    if array.dtype.kind in "US":
        return str(array)
    if array.ndim == 0:
        return array.item()
    if array.dtype.kind == "f":
        return torch.from_numpy(array.astype(np.float32))
    return torch.from_numpy(array.astype(np.bool_ if array.dtype.kind == "b" else np.int32))


def _fetch(value: Any, values: Mapping[str, Value]) -> Any:
    if isinstance(value, Name):
        return values[value.of]
    return tuple(_fetch(one, values) for one in value) if isinstance(value, tuple) else value


def _rounded(value: Value, dtype: str) -> Value:
    """What is left of the value in the operator's type: fp16 overflows to infinity above 65504."""
    return value.half().float() if dtype == "fp16" and isinstance(value, Tensor) and value.is_floating_point() else value


def _with_last_uses(operations: Sequence[Operation], results: Sequence[Any]) -> tuple[Operation, ...]:
    """Each operation knows which values nobody reads after it, so that a tile needs no more memory than the network itself."""
    later, found = {name for result in results for name in _names(result)}, []
    for operation in reversed(operations):
        used = {name for value in operation.arguments.values() for name in _names(value)}
        last = tuple(sorted((used | set(operation.results)) - later))
        later |= used
        found.append(Operation(operation.kind, operation.name, operation.arguments, operation.results, operation.dtypes, last))
    return tuple(reversed(found))


def _names(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [name for one in value for name in _names(one)]
    return [value.of] if isinstance(value, Name) else []
