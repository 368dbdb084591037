"""The time that a network takes on this machine as an int8 file: what `cost = "latency"` prunes by."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from edgekit.enhancer import Enhancer
    from edgekit.preparation import PictureSet
    from edgekit.target import Target

RUNS = 30


def int8_latency(enhancer: Enhancer, target: Target, calibration: PictureSet) -> Callable[[nn.Module], float]:
    """Network -> median milliseconds of one tile in the target's first int8 file. Each call lowers the network anew: some ten seconds."""

    from edgekit import preparation, recipe, rewrite
    from edgekit.cli.console import quiet
    from edgekit.errors import InvalidFile
    from edgekit_targets.devices.host import Host

    plan = next((plan for plan in target.artifacts if recipe.load(plan.recipe).precision == "int8"), None)
    if plan is None:
        raise InvalidFile(f"cost 'latency' needs a target with an int8 file, got '{target.name}'; expected android or desktop")
    quantize = recipe.load(plan.recipe).for_backend(plan.backend.name)
    example = preparation.example(enhancer, target.tile)
    tiles = preparation.calibration_tiles(calibration, enhancer, target.tile, 8 * enhancer.multiple_of, 4)

    def measure(network: nn.Module) -> float:
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder, quiet():
            graph = rewrite.apply(network, example, plan.backend.rewrites).module
            lowered = plan.backend.lower(graph, example, quantize, tiles, Path(folder) / f"timed{plan.backend.suffix}")
            latency = Host().run(lowered.file, [example], repeats=RUNS).latency
        assert latency is not None
        return latency.median_ms

    return measure
