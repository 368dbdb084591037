"""What a backend's `intermediates` shows of a running file. Fulfils the Protocols of the toolkit's `layers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Calibration = Callable[[], "Sequence[tuple[Tensor, ...]]"]
"""Gives the tiles that a file was calibrated with, as it takes them: read only where they are needed. Raises CannotRunHere where they are not at hand."""

Shapes = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class LayerValue:
    """One layer on one tile. `name`: the module path of its weight (`body.0.body.0`), or the exported graph's name (`add_3`).

    `output()` gives float32 NCHW; `inputs(shapes)` what the layer read, in the order of the graph's operands, None where the file does not show it.
    `activated`: the output is that of the activation behind the layer.
    """

    name: str
    output: Callable[[], Tensor]
    inputs: Callable[[Shapes], Sequence[Tensor] | None]
    activated: bool = False


@dataclass(frozen=True)
class Trace:
    """`layers` in the order of execution; `outputs` NCHW, in the file's dtypes."""

    layers: tuple[LayerValue, ...]
    outputs: tuple[Tensor, ...]
