"""Activation ranges for 8-bit quantization, the levels of weights, and which layers stay float. Plain torch: every backend that lets us choose a range uses these.

An estimator sees the calibration tensors of one activation, one after the other, and then gives the range [lo, hi] that 256 levels should span.
The range always holds 0, because affine quantization must represent it exactly (zero padding, ReLU).
"""

from __future__ import annotations

import math
from collections.abc import Container, Hashable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

if TYPE_CHECKING:
    from edgekit.recipe import Estimator

LEVELS = 255
"""Steps between the lowest and the highest of 256 levels."""

HALF_BINS = 4096
"""Histogram bins on each side of zero; at least half of those on the wider side hold data, that is 8 or more per quantization step."""

CHUNK = 1 << 24
"""Values counted at once: torch.histc counts in float32, which is exact up to here."""

MEMORY = 0.1
"""Weight of the newest tensor in a moving average once ten tensors have been seen; before that all weigh the same."""


class RangeEstimator(Protocol):
    def update(self, x: Tensor) -> None:
        """Takes one more calibration tensor of any shape, floating point. Raises ValueError if it is empty or holds NaN or Inf."""
        ...

    def range(self) -> tuple[float, float]:
        """(lo, hi) with lo <= 0 <= hi. Raises ValueError if no tensor was seen."""
        ...


def estimator(kind: Estimator, percentile: float = 99.99) -> RangeEstimator:
    """A fresh estimator. `percentile` in (50, 100] serves "percentile" only: that share of the values lies below hi, and above lo."""
    if kind == "min-max":
        return MinMax()
    if kind == "moving-average":
        return MovingAverage()
    if kind == "percentile":
        return Percentile(percentile)
    return MeanSquaredError()


def matches(name: str, globs: Iterable[str]) -> bool:
    """Whether a layer name fits one of the globs (`body.*.body.0`, `tail*`); case matters, `*` also crosses dots."""
    return any(fnmatchcase(name, glob) for glob in globs)


T = TypeVar("T", bound=Hashable)


def sensitive_arithmetic(reads: Mapping[T, Iterable[T]], layers: Container[T], sensitive: Container[T]) -> set[T]:
    """What is better left in float: arithmetic that meets a `sensitive` operator (a quotient, a root, an angle, a comparison) on its way to the nearest layer
    before or behind it, where on one of the two sides there is no layer.

    `reads`: operator -> what it reads, in order of execution; `layers`: products, which compute in int8. The hue of a picture is such arithmetic, as is what
    turns a network's result back into colours: 256 levels of a hue cost more than those of all layers together. A residual sum that a normalization
    reads is none, because layers stand on both sides of it.
    """

    def ends(towards: Mapping[T, Iterable[T]]) -> dict[T, set[str]]:
        """Operator -> what its ways along `towards` end at."""
        found: dict[T, set[str]] = {}
        for node, others in towards.items():
            kinds = ({"layer"} if o in layers else {"sensitive"} if o in sensitive else found.get(o, set()) for o in others)
            found[node] = set().union(*kinds)
        return found

    readers: dict[T, list[T]] = {node: [] for node in reversed(list(reads))}
    for node, sources in reads.items():
        for source in sources:
            readers.setdefault(source, []).append(node)
    before, behind = ends(reads), ends(readers)
    return {
        node
        for node in reads
        if node not in layers and node not in sensitive and "sensitive" in before[node] | behind[node] and "layer" not in before[node] & behind[node]
    }


def comparing(reads: Mapping[T, Iterable[T]], layers: Container[T], choices: Container[T]) -> set[T]:
    """What is only compared: operators that nothing but `choices` (the place of the largest or smallest) reads in the end, back to the nearest layers and those
    included. Rounded, the distances to a codebook's entries choose others. Arguments as for `sensitive_arithmetic`."""
    readers: dict[T, list[T]] = {}
    for node, sources in reads.items():
        for source in sources:
            readers.setdefault(source, []).append(node)
    found: set[T] = set()
    for node in reversed(list(reads)):
        if node not in choices and readers.get(node) and all(r in choices or (r in found and r not in layers) for r in readers[node]):
            found.add(node)
    return found


aten = torch.ops.aten

CHOICES = (aten.argmin.default, aten.argmax.default)

SENSITIVE = (
    aten.reciprocal.default, aten.sqrt.default, aten.rsqrt.default, aten.pow.Tensor_Scalar, aten.pow.Tensor_Tensor, aten.log.default,
    aten.sin.default, aten.cos.default, aten.tan.default, aten.asin.default, aten.acos.default, aten.atan.default, aten.atan2.default,
    aten.remainder.Scalar, aten.remainder.Tensor, aten.fmod.Scalar, aten.fmod.Tensor, aten.floor.default, aten.round.default, aten.eq.Scalar, aten.eq.Tensor,
    aten.gt.Scalar, aten.gt.Tensor, aten.lt.Scalar, aten.lt.Tensor, aten.ge.Scalar, aten.ge.Tensor, aten.le.Scalar, aten.le.Tensor,
    aten.embedding.default,
)  # fmt: skip
"""Operators of PyTorch that make much of little, besides divisions by what is computed."""


def sensitive_nodes(graph: GraphModule, layers: Container[Node]) -> set[Node]:
    """`sensitive_arithmetic` and what is `comparing` in a graph of PyTorch's operators, and what computes with whole numbers: those have no levels."""
    reads = {n: n.all_input_nodes for n in graph.graph.nodes if n.op == "call_function"}
    divisions = {n for n in reads if n.target is aten.div.Tensor and isinstance(n.args[1], Node) and n.args[1].op != "get_attr"}
    values = {n: n.meta.get("val") for n in reads}
    whole = {n for n, value in values.items() if isinstance(value, Tensor) and not value.is_floating_point()}
    compared = comparing(reads, layers, {n for n in reads if n.target in CHOICES})
    return sensitive_arithmetic(reads, layers, divisions | {n for n in reads if n.target in SENSITIVE}) | compared | whole


def told(ranges: Mapping[str, tuple[float, float]]) -> dict[str, list[float]]:
    """Layer -> range of its output, as a manifest's `facts.ranges` has it: six digits."""
    return {name: [float(f"{low:.6g}"), float(f"{high:.6g}")] for name, (low, high) in ranges.items()}


SMALLEST = 2.0**-27
"""Of activation levels. XNNPACK refuses a convolution whose input's level times its weights' (at least 2^-23) is 256 times its output's or more."""


COARSEST = 255.0
"""Of a layer's output levels, as XNNPACK takes them: one level of its input times one of its weights. The runtime's own limit is 256."""


def affine(lo: float, hi: float, least: float = 0.0) -> tuple[float, int]:
    """(scale, zero_point) of int8 levels -128 .. 127 over [lo, hi], which must hold 0; the scale is at least `least`. A layer that gives nothing but zeros
    gets levels of SMALLEST."""
    scale = max((hi - lo) / LEVELS, SMALLEST, least)
    return scale, max(-128, min(127, round(-128 - lo / scale)))


def round_weight(weight: Tensor, axis: int) -> Tensor:
    """`weight` as int8 files hold it: 255 symmetric levels per output channel, which are those of `axis`; float32. The gradient passes straight through."""
    others = [d for d in range(weight.dim()) if d != axis]
    scale = (weight.detach().float().abs().amax(others) / 127).clamp_min(1e-9)
    return torch.fake_quantize_per_channel_affine(weight.float(), scale, torch.zeros_like(scale, dtype=torch.int32), axis, -127, 127)


def only_sums(weight: Tensor) -> bool:
    """Whether a layer with this weight (outputs first) and no bias is a mean or a sum over channels, as `edgekit.rewrite.channel_sums` writes them: one
    output, equal weights. It belongs to a normalization and stays float."""
    return weight.shape[0] == 1 and bool((weight == weight.flatten()[0]).all())


def _bounds(x: Tensor) -> tuple[float, float]:
    if x.numel() == 0:
        raise ValueError("calibration tensor is empty; expected values")
    lo, hi = (float(v) for v in x.detach().aminmax())
    if not (math.isfinite(lo) and math.isfinite(hi)):
        raise ValueError(f"calibration tensor spans [{lo}, {hi}]; expected finite values")
    return min(lo, 0.0), max(hi, 0.0)


class MinMax:
    """The lowest and highest value seen: nothing is ever clipped, one outlier coarsens all levels."""

    def __init__(self) -> None:
        self._range: tuple[float, float] | None = None

    def update(self, x: Tensor) -> None:
        lo, hi = _bounds(x)
        self._range = (lo, hi) if self._range is None else (min(lo, self._range[0]), max(hi, self._range[1]))

    def range(self) -> tuple[float, float]:
        if self._range is None:
            raise ValueError("no calibration tensor was seen")
        return self._range


class MovingAverage:
    """The average of each tensor's lowest and highest value, newer ones weighing more: rare extremes are clipped."""

    def __init__(self) -> None:
        self._seen, self._lo, self._hi = 0, 0.0, 0.0

    def update(self, x: Tensor) -> None:
        lo, hi = _bounds(x)
        self._seen += 1
        weight = max(1 / self._seen, MEMORY)
        self._lo += weight * (lo - self._lo)
        self._hi += weight * (hi - self._hi)

    def range(self) -> tuple[float, float]:
        if not self._seen:
            raise ValueError("no calibration tensor was seen")
        return self._lo, self._hi


class _Histogram:
    """Counts in bins whose width is a power of two and whose edges hold 0, so that growing the range merges whole bins and the order of the tensors
    matters only for values within float rounding of an edge."""

    def __init__(self) -> None:
        self._exact = MinMax()
        self._width = 0.0
        self._counts = torch.zeros(2 * HALF_BINS, dtype=torch.int64)

    def update(self, x: Tensor) -> None:
        lo, hi = _bounds(x)
        self._exact.update(x)
        reach = max(-lo, hi)
        if reach == 0.0:
            self._counts[HALF_BINS] += x.numel()
            return
        # The smallest power of two for which every value, the largest included, falls inside a bin.
        width = 2.0 ** math.floor(math.log2(reach / HALF_BINS) + 1)
        if width > self._width:
            self._merge(width)
        edge = HALF_BINS * self._width
        for part in x.detach().flatten().float().split(CHUNK):
            self._counts += torch.histc(part, 2 * HALF_BINS, -edge, edge).long()

    def _merge(self, width: float) -> None:
        if self._width:
            old = torch.arange(-HALF_BINS, HALF_BINS)
            new = torch.div(old, round(width / self._width), rounding_mode="floor") + HALF_BINS
            self._counts = torch.zeros_like(self._counts).index_add_(0, new, self._counts)
        self._width = width

    def _cells(self) -> tuple[Tensor, Tensor]:
        """Centres and counts of the bins that hold something, float64."""
        full = self._counts.nonzero().flatten()
        return (full - HALF_BINS + 0.5).double() * self._width, self._counts[full].double()


class Percentile(_Histogram):
    """Clips the given share of the values at each end."""

    def __init__(self, percentile: float) -> None:
        super().__init__()
        if not 50 < percentile <= 100:
            raise ValueError(f"percentile is {percentile:g}; expected more than 50 and at most 100")
        self._share = percentile / 100

    def range(self) -> tuple[float, float]:
        lo, hi = self._exact.range()
        if hi == lo:
            return lo, hi
        centres, counts = self._cells()
        below = counts.cumsum(0) / counts.sum()
        top = int(torch.searchsorted(below, torch.tensor(self._share, dtype=torch.float64)).clamp(max=len(centres) - 1))
        bottom = int(torch.searchsorted(below, torch.tensor(1 - self._share, dtype=torch.float64), right=True).clamp(max=len(centres) - 1))
        half = self._width / 2
        return max(lo, min(0.0, float(centres[bottom]) - half)), min(hi, max(0.0, float(centres[top]) + half))


class MeanSquaredError(_Histogram):
    """The clip that makes the squared error of 256 levels (rounding inside, clipping outside) smallest over the histogram.

    Both ends are searched in turn as fractions of the observed range, first in steps of 1/32, then of 1/256.
    """

    def range(self) -> tuple[float, float]:
        lo, hi = self._exact.range()
        if hi == lo:
            return lo, hi
        centres, counts = self._cells()
        low, high = 1.0, 1.0
        for step in (1 / 32, 1 / 32, 1 / 256):
            around = torch.arange(-32 if step == 1 / 32 else -16, 17, dtype=torch.float64) * step
            if lo < 0:
                low = self._best(centres, counts, (low + around).clamp(1 / 256, 1) * lo, torch.tensor(high * hi)) / lo
            if hi > 0:
                high = self._best(centres, counts, (high + around).clamp(1 / 256, 1) * hi, torch.tensor(low * lo)) / hi
        return low * lo, high * hi

    @staticmethod
    def _best(centres: Tensor, counts: Tensor, candidates: Tensor, other: Tensor) -> float:
        """The candidate end of the range with the smallest error, `other` being the end across zero; the widest of equals."""
        candidates = candidates[candidates.abs().argsort(descending=True)]
        lows, highs = torch.minimum(candidates, other), torch.maximum(candidates, other)
        scale = ((highs - lows) / LEVELS).clamp(min=1e-12)[:, None]
        zero = (-lows[:, None] / scale).round()
        levels = ((centres / scale).round() + zero).clamp(0, LEVELS) - zero
        errors = ((levels * scale - centres) ** 2 * counts).sum(1)
        return float(candidates[errors.argmin()])
