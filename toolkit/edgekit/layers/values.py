"""What a file shows of its layers, and what is counted of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

CAP_DB = 150.0
"""The most SQNR that is ever reported: float32 itself ends there. -150 stands for NaN, infinity, or an error where the float layer is silent."""


class LayerValue(Protocol):
    """One layer of a file on one tile. `name` is the module path of its weight (`body.0.body.0`), or the exported graph's name (`add_3`).

    `output()` gives float32 NCHW; `inputs(shapes)` what the file's layer read, in the order of the graph's operands and of their `shapes`, or None where the file
    does not show it. `activated`: the output is that of the activation behind the layer.
    """

    @property
    def name(self) -> str: ...
    @property
    def output(self) -> Callable[[], Tensor]: ...
    @property
    def inputs(self) -> Callable[[Sequence[tuple[int, ...]]], Sequence[Tensor] | None]: ...
    @property
    def activated(self) -> bool: ...


class Trace(Protocol):
    """`layers` in the order of execution; `outputs` as the file gives them."""

    @property
    def layers(self) -> Sequence[LayerValue]: ...
    @property
    def outputs(self) -> Sequence[Tensor]: ...


class Reader(Protocol):
    """A file opened for looking inside. `source` says what is executed, `is_file` whether that is the file itself.

    Operators without weights are kept in float by their name in `float_layers` (kinds `by_name`) or by kind in `float_types` (`by_type`).
    """

    @property
    def source(self) -> str: ...
    @property
    def is_file(self) -> bool: ...
    @property
    def by_name(self) -> tuple[str, ...]: ...
    @property
    def by_type(self) -> tuple[str, ...]: ...
    def __call__(self, tile: tuple[Tensor, ...]) -> Trace: ...


@dataclass(frozen=True)
class LayerLoss:
    """Worst and mean over the tiles. `position` counts the network's operators. `own_*` is None where the file does not show the layer's inputs, `alone_*` also
    in files without integers, `local_db` (worst) in files with. `recipe` is the line that keeps the layer in float, None where there is nothing to exempt."""

    layer: str
    kind: str
    position: int
    accumulated_db: float
    accumulated_mean_db: float
    own_db: float | None
    own_mean_db: float | None
    alone_psnr_db: float | None
    alone_mean_psnr_db: float | None
    recipe: str | None = None
    local_db: float | None = None
