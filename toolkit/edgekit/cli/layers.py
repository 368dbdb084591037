"""`edgekit validate --layers`: where each file of a bundle loses accuracy, on the test tiles that it is worst on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgekit import layers, metrics, preparation, rewrite
from edgekit.cli.console import ProgressLines, quiet, say, terminal
from edgekit.cli.sets import calibration_set
from edgekit.errors import CannotRunHere, EdgekitError, LoweringError, MissingToolchain
from edgekit.preparation import PictureSet, from_io, to_io
from edgekit.validation import require_weights
from edgekit_targets import backend
from edgekit_targets.devices.host import Host
from edgekit_targets.toolchain import part

if TYPE_CHECKING:
    from edgekit.bundle import Bundle
    from edgekit.enhancer import Enhancer
    from edgekit.layers import Report
    from edgekit.manifest import Artifact

MOST_TILES = 64
"""Tiles, spread over the test pictures, among which the worst are looked for, besides the one that the last measurement found worst."""

SHOWN = 10

SAME_DB = 40.0
"""From which PSNR on a graph that was made again gives the file's output: other rounding costs less, another calibration or a pruned network more."""


def measure(opened: Bundle, enhancer: Enhancer, pictures: PictureSet, calibration: str | None) -> list[Report]:
    """One report per artifact, each also written to measured/layers-<artifact>.json. `opened` may hold newer parities than its manifest on disk.

    `calibration` (a name or folder) is needed where the bundle's set is not a built-in one. Raises InvalidFile if `enhancer` is not the bundle's.
    """
    require_weights(opened.manifest.model, enhancer)
    image = opened.manifest.image
    prepared = preparation.cut(enhancer, pictures.pictures, image.tile, image.halo)
    chosen = _spread(prepared.names, {a.parity.worst_tile for a in opened.manifest.artifacts if a.parity})
    tiles = {prepared.names[i]: prepared.tiles[i] for i in chosen}
    found = []
    with ProgressLines() as progress, torch.no_grad():
        expected = []
        for number, tile in enumerate(tiles.values()):
            progress("layers: reference", number, len(tiles))
            expected.append(enhancer.module(*tile))
        bench = _Bench(opened, enhancer, tiles, expected, calibration, progress)
        for artifact in opened.manifest.artifacts:
            found.append(bench.report(artifact))
    for report in found:
        layers.write(opened.path, report)
    return found


def _spread(names: Sequence[str], besides: set[str]) -> list[int]:
    step = max(1, -(-len(names) // MOST_TILES))
    return sorted({*range(0, len(names), step), *(i for i, name in enumerate(names) if name in besides)})


class _Bench:
    """What the artifacts' measurements share."""

    def __init__(
        self,
        opened: Bundle,
        enhancer: Enhancer,
        tiles: dict[str, tuple[Tensor, ...]],
        expected: list[Tensor],
        calibration: str | None,
        progress: ProgressLines,
    ) -> None:
        self._opened, self._enhancer, self._tiles, self._expected = opened, enhancer, tiles, expected
        self._calibration, self._progress = calibration, progress

    def report(self, artifact: Artifact) -> Report:
        try:
            with quiet():
                return self._measured(artifact)
        except (CannotRunHere, LoweringError, MissingToolchain) as reason:
            return layers.not_measured(artifact, reason)

    def _measured(self, artifact: Artifact) -> Report:
        file, io = self._opened.path / artifact.file, artifact.inputs[0].dtype
        names = list(self._tiles)
        given = self._run(artifact, [tuple(to_io(t, io) for t in tile) for tile in self._tiles.values()])
        worst = (
            layers.worst_tiles(self._expected, given)
            if given
            else list(range(0, len(names), max(1, len(names) // layers.WORST_TILES)))[: layers.WORST_TILES]
        )
        done = artifact.facts.get("rewrites")
        rewrites = tuple(done) if isinstance(done, dict) else backend(artifact.backend).rewrites
        pixels = "uint8_io" in rewrites
        example = tuple(torch.zeros_like(t) for t in self._tiles[names[0]])
        as_network = tuple(to_io(t, io) if pixels else t for t in example)
        graph = rewrite.apply(self._enhancer.module, example, rewrites).module
        stage = f"{artifact.name}: layers"
        self._progress(stage, 0, 0)
        read = part(artifact.backend, "intermediates").Intermediates(
            file, graph, as_network, artifact.quantize, lambda: self._calibrated_with(artifact)
        )
        pairs = [tuple(to_io(t, io) for t in self._tiles[names[i]]) for i in worst]
        measured = layers.measure(
            layers.reference_graph(graph, as_network),
            read,
            [(tile if pixels else tuple(from_io(t) for t in tile), tile) for tile in pairs],
            alone=artifact.precision not in layers.TOLERANCE_DB,
            progress=lambda done, total: self._progress(stage, done, total),
        )
        agrees = min(metrics.psnr_db(given[i], output) for i, output in zip(worst, measured.outputs, strict=True)) if given else None
        if not read.is_file and agrees is not None and agrees < SAME_DB:
            raise CannotRunHere(
                f"the graph made again from the recipe gives another output than the file ({agrees:.1f} dB, expected {SAME_DB:g}): "
                "it was pruned at export, calibrated with other pictures, or damaged by its conversion"
            )
        return layers.report(artifact, read, measured, [names[i] for i in worst], agrees)

    def _run(self, artifact: Artifact, tiles: Sequence[tuple[Tensor, ...]]) -> list[Tensor] | None:
        device, outputs = Host(), []
        try:
            for number, tile in enumerate(tiles):
                self._progress(f"{artifact.name}: finding the worst tiles", number, len(tiles))
                outputs.append(from_io(device.run(self._opened.path / artifact.file, [tile]).outputs[0][0]))
        except CannotRunHere:
            return None
        return outputs

    def _calibrated_with(self, artifact: Artifact) -> list[tuple[Tensor, ...]]:
        """The tiles that `edgekit export` gave the backend. Raises CannotRunHere where the set is not at hand."""
        noted, image = self._opened.manifest.calibration, self._opened.manifest.image
        assert artifact.quantize is not None
        if noted is None:
            raise CannotRunHere("the manifest names no calibration set; export the bundle again")
        try:
            pictures = calibration_set(self._calibration or noted.name)
        except EdgekitError as reason:
            raise CannotRunHere(f"calibrated with set '{noted.name}', which is not here ({reason}): name it with --calibration") from reason
        if pictures.sha256 != noted.sha256:
            raise CannotRunHere(
                f"calibrated with set '{noted.name}' ({noted.sha256[:12]}), got '{pictures.name}' ({pictures.sha256[:12]}); name the same with --calibration"
            )
        tiles = preparation.calibration_tiles(pictures, self._enhancer, image.tile, image.halo, artifact.quantize.tiles)
        return [tuple(to_io(t, artifact.inputs[0].dtype) for t in tile) for tile in tiles]


def show(report: Report) -> None:
    """The table of one artifact: the worst layers, and what follows."""
    from rich.table import Table

    if report.layers and (report.tolerance_db is None or report.parts_at is not None):
        order = "worst first by what each costs alone" if report.tolerance_db is None else "worst first"
        table = Table(title=f"{report.artifact}: {min(SHOWN, len(report.layers))} of {len(report.layers)} layers, {order}", title_justify="left")
        first = "alone: output PSNR dB" if report.tolerance_db is None else "local SQNR dB, worst"
        for column in ("layer", "operator", first, "own SQNR dB", "accumulated SQNR dB", "stays float with"):
            table.add_column(column, justify="left" if column in ("layer", "operator", "stays float with") else "right", overflow="fold")
        for loss in report.layers[:SHOWN]:
            table.add_row(
                loss.layer,
                loss.kind,
                _pair(loss.alone_psnr_db, loss.alone_mean_psnr_db) if loss.local_db is None else f"{loss.local_db:.1f}",
                _pair(loss.own_db, loss.own_mean_db),
                _pair(loss.accumulated_db, loss.accumulated_mean_db),
                loss.recipe or "-",
            )
        terminal().print(table)
        say(f"worst / mean of {len(report.tiles)} tiles: {', '.join(report.tiles)}; executed: {report.source}{_agrees(report)}")
        if report.not_shown:
            say(f"not shown by the file (merged, split or renamed): {', '.join(report.not_shown)}")
    say(f"layers  {report.artifact}: {report.verdict()}")


def _pair(worst: float | None, mean: float | None) -> str:
    return "-" if worst is None or mean is None else f"{worst:.1f} / {mean:.1f}"


def _agrees(report: Report) -> str:
    return "" if report.agrees_db is None else f", {report.agrees_db:.1f} dB from the file as it runs"
