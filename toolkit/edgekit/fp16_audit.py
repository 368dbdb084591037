"""Does a network stay inside half precision? Every operator's largest value over real and adversarial pictures, before a phone finds out.

fp16 holds magnitudes up to 65504 and nothing between 0 and 6e-8. What overflows becomes infinity, and the next subtraction NaN: a black frame on the Neural
Engine or a GPU, though the same file is fine on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from edgekit.colour import in_channels
from edgekit.quantize import matches
from edgekit.tiles import adversarial

LARGEST = 65504.0
SMALLEST = 2.0**-24 / 2
"""Magnitudes up to this round to zero."""

NAMED = 5
"""Operators that a summary lists."""


@dataclass(frozen=True)
class Magnitude:
    """One operator over all pictures. `largest` is of its results, and of the squares that converters write a group norm or a variance out into; `inside`
    of the sums it forms on the way (norms and means), 0 if it forms none; `underflow` the share of its results that are not zero and round to zero;
    `picture` showed the largest."""

    operator: str
    kind: str
    layer: str
    largest: float
    inside: float
    underflow: float
    picture: str

    @property
    def headroom(self) -> float:
        """How many times larger the results could be; below 1 they overflow."""
        return LARGEST / self.largest if self.largest else float("inf")

    @property
    def overflows(self) -> bool:
        return not self.headroom >= 1

    @property
    def may_overflow(self) -> bool:
        """The sums inside would, if the accelerator forms them in fp16 and unscaled; the runtimes do not document how they do."""
        return not self.inside <= LARGEST


@dataclass(frozen=True)
class Audit:
    """`operators` in the network's order, those that the recipe keeps in float32 left out."""

    operators: tuple[Magnitude, ...]
    pictures: int

    @property
    def headroom(self) -> float:
        return min((m.headroom for m in self.operators), default=float("inf"))

    @property
    def overflowing(self) -> tuple[Magnitude, ...]:
        return tuple(m for m in self.operators if m.overflows)

    def line(self) -> str | None:
        """What overflows and what to do about it, in one line; None if nothing does."""
        if not self.overflowing:
            return None
        first = self.overflowing[0]
        size = "more than float32 holds" if first.largest == float("inf") else f"{first.largest:.3g}"
        more = f" and {len(self.overflowing) - 1} more" if len(self.overflowing) > 1 else ""
        fine = {name for m in self.operators if not m.overflows for name in (m.layer, m.operator)}
        globs = " ".join(f"--fp32-layers '{glob}'" for glob in _globs([m.layer for m in self.overflowing], fine))
        return (
            f"{first.kind} '{first.layer}' reaches {size} on {first.picture}{more}; fp16 ends at {LARGEST:.0f}: "
            f"keep it in float32 with {globs}, or scale the weights before it down and those after it up"
        )

    def summary(self) -> dict[str, Any]:
        """For the manifest: the operators with the least headroom, the ones whose sums may overflow inside, and those that lose most below."""
        tight = sorted(self.operators, key=lambda m: m.headroom)[:NAMED]
        inside = sorted((m for m in self.operators if m.may_overflow), key=lambda m: -m.inside)[:NAMED]
        faint = sorted((m for m in self.operators if m.underflow > 0), key=lambda m: -m.underflow)[:NAMED]
        return {
            "pictures": self.pictures,
            "headroom": _finite(self.headroom),
            "largest": [{"operator": m.layer, "kind": m.kind, "largest": _finite(m.largest), "picture": m.picture} for m in tight],
            "sums_inside": [{"operator": m.layer, "kind": m.kind, "largest": _finite(m.inside)} for m in inside],
            "underflow": [{"operator": m.layer, "kind": m.kind, "share": round(m.underflow, 6)} for m in faint],
        }


def audit(
    module: nn.Module,
    example: tuple[Tensor, ...],
    tiles: Iterable[tuple[str, tuple[Tensor, ...]]],
    *,
    keep: Sequence[str] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> Audit:
    """Runs `module` in float32 on the named tiles and on black, white, checkerboards, steps, saturated colours and noise of the example's size.

    `keep` are globs on the layers that stay in float32. Operators are those of the exported graph, as the converters see them.
    """
    with torch.no_grad():
        graph = torch.export.export(module, example).run_decompositions({}).module(check_guards=False)
    assert isinstance(graph, GraphModule)
    watch = _Watch(graph)
    count = 0
    with torch.no_grad():
        for name, tile in (*_adversarial(example), *tiles):
            watch.picture = name
            watch.run(*tile)
            count += 1
            progress(count)
    kept = tuple(m for m in watch.found.values() if not (keep and (matches(m.layer, keep) or matches(m.operator, keep))))
    return Audit(kept, count)


def _adversarial(example: tuple[Tensor, ...]) -> list[tuple[str, tuple[Tensor, ...]]]:
    height, width = example[0].shape[-2:]
    made = []
    for number, picture in enumerate(adversarial(max(height, width))):
        cut = picture[:, :height, :width]
        channels = [in_channels(cut, t.shape[1]) if t.ndim == 4 else t[0] for t in example]
        made.append((f"adversarial-{number}", tuple(c[None].contiguous().to(t.dtype) for c, t in zip(channels, example, strict=True))))
    return made


def _globs(wanted: Sequence[str], others: Collection[str]) -> list[str]:
    """Globs that fit all of `wanted`; where one fits three or more of them and none of the `others`, it stands for them."""
    found: list[str] = []
    for name in wanted:
        if matches(name, found):
            continue
        stems = [f"{name[: i + 1]}*" for i, letter in enumerate(name) if letter in "._"]
        short = (g for g in (*stems, f"{name}*") if sum(matches(w, [g]) for w in set(wanted)) >= 3 and not any(matches(o, [g]) for o in others))
        found.append(next(short, name))
    return found


class _Watch(Interpreter):
    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)
        self.picture = ""
        self.found: dict[str, Magnitude] = {}
        self._seen: dict[str, int] = {}

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n.op == "call_function":
            for result in value if isinstance(value, tuple | list) else (value,):
                if isinstance(result, Tensor) and result.is_floating_point():
                    self._note(n, result)
        return value

    def _note(self, node: Node, value: Tensor) -> None:
        size = value.abs()
        arguments = [self.env[a] if isinstance(a, Node) else a for a in node.args]
        largest = max(float(size.max()), _squares(node, arguments)) if value.numel() else 0.0
        largest = largest if largest == largest else float("inf")  # NaN: it overflowed before
        faint = float(((size <= SMALLEST) & (size > 0)).double().mean()) if value.numel() else 0.0
        inside = _inside(node, arguments)
        old = self.found.get(node.name)
        seen = self._seen.get(node.name, 0)
        if old is None:
            old = Magnitude(node.name, _kind(node), _layer(node), -1.0, 0.0, 0.0, self.picture)
        share = (old.underflow * seen + faint) / (seen + 1)
        changed = replace(old, underflow=share, inside=max(old.inside, inside))
        self.found[node.name] = replace(changed, largest=largest, picture=self.picture) if largest > old.largest else changed
        self._seen[node.name] = seen + 1


def _kind(node: Node) -> str:
    return str(getattr(node.target, "__name__", node.target)).split(".")[0]


def _layer(node: Node) -> str:
    """The module path of the weight that the operator reads, else the operator's own name: what a recipe's `float_layers` match."""
    for argument in node.args[1:3]:
        if isinstance(argument, Node) and argument.op == "get_attr" and str(argument.target).endswith((".weight", ".bias")):
            return str(argument.target).rpartition(".")[0]
    return node.name


def _squares(node: Node, arguments: Sequence[Any]) -> float:
    """The largest squared distance from the mean, where Core ML and others have no such operator: subtractions, squares and means stand in the file."""
    if _kind(node) not in ("group_norm", "native_group_norm", "var", "std", "var_mean"):
        return 0.0
    x: Tensor = arguments[0].float()
    if "group_norm" in _kind(node):
        x = x.reshape(x.shape[0], int(arguments[1] if _kind(node) == "group_norm" else arguments[6]), -1)
        dims: Any = [2]
    else:
        given = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], list | tuple) else None
        dims = list(given) if given else list(range(x.dim()))
    return float((x - x.mean(dims, keepdim=True)).square().max())


def _inside(node: Node, arguments: Sequence[Any]) -> float:
    """The largest sum, or sum of squares, that the operator's definition forms."""
    kind = _kind(node)
    if not arguments or not isinstance(arguments[0], Tensor):
        return 0.0
    x = arguments[0].double()
    if kind in ("instance_norm", "_native_batch_norm_legit"):
        dims = list(range(2, x.dim()))
    elif kind in ("layer_norm", "native_layer_norm"):
        dims = list(range(-len(arguments[1]), 0))
    elif kind in ("group_norm", "native_group_norm"):
        groups = int(arguments[1] if kind == "group_norm" else arguments[6])
        x, dims = x.reshape(x.shape[0], groups, -1), [2]
    elif kind in ("mean", "sum"):
        dims = [int(d) for d in arguments[1]] if len(arguments) > 1 and isinstance(arguments[1], list | tuple) else list(range(x.dim()))
        return float(x.sum(dims).abs().max())
    elif kind == "adaptive_avg_pool2d":
        return float(x.sum((-2, -1)).abs().max())
    else:
        return 0.0
    return float(torch.maximum(x.sum(dims).abs(), x.square().sum(dims)).max())


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None
