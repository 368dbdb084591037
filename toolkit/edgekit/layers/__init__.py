"""Where a file loses accuracy: each layer of the running file beside the same layer of the float network, tile by tile.

Numbers per layer, because they answer different questions.

- accumulated: SQNR of the layer's output in the running file, all that went wrong before it included.
- own: SQNR of what the layer itself adds. The float layer is computed on the file's own inputs to it; what the file gave differs by the layer's rounding.
- alone: PSNR of the network's output when every layer is float but this one, whose own error is added to its float output. It says what exempting
  the layer can win, and is what layers are sorted by: a layer may lose much of its own output and little of the picture, or the reverse.
- local (float files): as own, but on inputs that the float network makes of the file's earlier layers: what stands between two layers counts too. It says
  where a conversion went wrong.

SQNR is 10 log10(sum float^2 / sum error^2), in dB. What a ReLU or clamp right behind a layer removes counts on neither side, whether the file fuses it with the
layer or not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.fx import GraphModule

from edgekit.errors import CannotRunHere
from edgekit.layers.reports import TOLERANCE_DB, Measured, Report, file_name, from_json, not_measured, read, report, write
from edgekit.layers.values import CAP_DB, LayerLoss, LayerValue, Reader, Trace
from edgekit.layers.walk import Seen, Walk, layer_name, picture, psnr_db, sqnr_db

__all__ = [
    "CAP_DB", "TOLERANCE_DB", "WORST_TILES", "LayerLoss", "LayerValue", "Measured", "Reader", "Report", "Trace",
    "file_name", "from_json", "layer_name", "measure", "not_measured", "read", "reference_graph", "report", "sqnr_db", "worst_tiles", "write",
]  # fmt: skip

WORST_TILES = 4


def reference_graph(graph: GraphModule, example: tuple[Tensor, ...]) -> GraphModule:
    """The rewritten network traced once more, as the backends trace it: its operators then have the names that they have in files. Without in-place operators."""
    with torch.no_grad():
        traced = torch.export.export(graph, example).run_decompositions({}).module(check_guards=False)
    assert isinstance(traced, GraphModule)
    return traced


def worst_tiles(expected: Sequence[Tensor], given: Sequence[Tensor], count: int = WORST_TILES) -> list[int]:
    """Indices of the `count` tiles with the largest squared error, worst first; outputs that are not finite are worst of all."""

    def error(index: int) -> float:
        value = float((expected[index].double() - given[index].double().clamp(0, 1)).square().mean())
        return value if math.isfinite(value) else math.inf

    return sorted(range(len(expected)), key=error, reverse=True)[:count]


def measure(
    graph: GraphModule,
    read: Reader,
    tiles: Sequence[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]],
    *,
    alone: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Measured:
    """Every layer that `read` shows, on all `tiles`: (the network's inputs, the file's), NCHW.

    `graph` is a `reference_graph`. `alone` executes the rest of the network once per layer and tile; without it the local numbers are found.
    Raises CannotRunHere if nothing in the file bears a layer's name and shape.
    """
    found: dict[str, Seen] = {}
    hidden: Counter[str] = Counter()
    outputs, psnr = [], []
    for number, (inputs, as_file) in enumerate(tiles):
        trace = read(as_file)
        walk = Walk(graph, trace, alone=alone)
        outputs.append(picture(trace.outputs[0]))
        with torch.no_grad():
            psnr.append(psnr_db(walk(inputs), outputs[-1]))
        for name, seen in walk.seen.items():
            found.setdefault(name, Seen(seen.kind, seen.position)).add(seen)
        hidden.update(walk.hidden)
        progress(number + 1, len(tiles))
    if not found:
        raise CannotRunHere("the file shows no layer of this network (was the network pruned at export?)")
    ordered = sorted(found.items(), key=lambda item: item[1].position)
    return Measured(tuple(seen.loss(name) for name, seen in ordered), tuple(hidden), tuple(outputs), min(psnr))
