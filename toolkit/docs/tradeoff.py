"""Quality against latency and size, measured: toolkit/docs/tradeoff.md and a plot per model. Resumable: what build/tradeoff holds is not made again.

make tradeoff                          every point that is missing, then the page
make tradeoff ARGS="--only edsr"       one model
make tradeoff ARGS=--page              only the page, from what is there

For each point: prune, recover against the float original on training crops (no ground truth), export for Android in int8, measure on test pictures. Latencies
of all files of a model are taken in turn in one run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch

from edgekit import bundle, chart, metrics, models, parity, preparation
from edgekit.cli.sets import test_set
from edgekit.enhancer import Enhancer
from edgekit.manifest import Image
from edgekit.reference import cpu_name

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build/tradeoff"
PAGE = Path(__file__).parent / "tradeoff.md"
ROUNDS, RUNS = 12, 5


@dataclass(frozen=True)
class Point:
    """`recipe` is a [prune] table's text, None for the network as it is; `minutes` of recovery, 0 for one-shot."""

    model: str
    name: str
    recipe: str | None = None
    minutes: float = 0


def inner(ratio: float) -> str:
    return f'[prune]\nratio = {ratio}\nimportance = "activation"\nmultiple = 8\nlayers = ["body.*.body.0"]\n'


def anywhere(ratio: float) -> str:
    return f'[prune]\nratio = {ratio}\nimportance = "activation"\nmultiple = 8\n'


POINTS = (
    Point("edsr", "plain"),
    Point("edsr", "half", inner(0.5), 9),
    Point("edsr", "two-thirds", inner(0.66), 10),
    Point("edsr-x4", "plain"),
    Point("edsr-x4", "half", inner(0.45), 10),
    Point("edsr-mobile", "plain"),
    Point("edsr-mobile", "third", anywhere(0.33), 3),
    Point("denoise", "plain"),
    Point("denoise", "third", anywhere(0.33), 4),
)


def run(*arguments: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "edgekit", *map(str, arguments)], cwd=ROOT, check=False)
    if done.returncode not in (0, 1):  # 1: over budget, which the page says
        raise SystemExit(done.returncode)


def make(point: Point) -> None:
    """Leaves `<model>-<name>/` (a bundle) and, for pruned points, `<model>-<name>.safetensors` with its card."""
    name = f"{point.model}-{point.name}"
    source: str | Path = point.model
    if point.recipe:
        source = WORK / f"{name}.safetensors"
        if not source.exists():
            recipe = WORK / f"{name}.toml"
            recipe.write_text(point.recipe, "utf-8")
            recover = ["--recover", ROOT / "build/crops.zip", "--max-minutes", str(point.minutes)] if point.minutes else []
            run("prune", "--model", point.model, "--recipe", recipe, "--out", source, *recover)
    if not (WORK / name / "manifest.json").exists():
        run("export", "--model", source, "--target", "android", "--out", WORK / name)


def truths(enhancer: Enhancer, module: torch.nn.Module, image: Image) -> list[float]:
    """PSNR of the float network against ground truth, as saved in 8 bits, per test picture: in tiles, as the files run."""
    pictures = preparation.cut(enhancer, test_set().pictures, image.tile, image.halo)
    with torch.no_grad():
        results = pictures.stitch([module(*tile) for tile in pictures.tiles])
    return [
        metrics.psnr_uint8_db(picture.clean, result) for picture, result in zip(pictures.pictures, results, strict=True) if picture.clean is not None
    ]


def time_together(names: list[str]) -> dict[str, float]:
    """Artifact file -> median ms, all files of the bundles in turn, a session each."""
    from edgekit_targets.devices.host import Host

    sessions = []
    for name in names:
        opened = bundle.read(WORK / name)
        tile = tuple(bundle.read_golden(opened, tensor) for tensor in opened.manifest.golden.inputs)
        sessions += [(f"{name}/{artifact.backend}", Host(), opened.path / artifact.file, tile) for artifact in opened.manifest.artifacts]
    taken: dict[str, list[float]] = {key: [] for key, *_ in sessions}
    for _ in range(ROUNDS):
        for key, host, file, tile in sessions:
            latency = host.run(file, [tile], repeats=RUNS).latency
            assert latency is not None
            taken[key].append(latency.median_ms)
    return {key: median(times) for key, times in taken.items()}


def measure(model: str) -> None:
    """Writes `<model>.json`: the rows of its table."""
    names = [f"{p.model}-{p.name}" for p in POINTS if p.model == model and (WORK / f"{p.model}-{p.name}" / "manifest.json").exists()]
    out = WORK / f"{model}.json"
    if out.exists() and [row["point"] for row in json.loads(out.read_text())["rows"]][::2] == names:
        return
    enhancer = models.load(model)
    image = bundle.read(WORK / names[0]).manifest.image
    times, original = time_together(names), truths(enhancer, enhancer.module, image)
    detailed = [number for number, db in enumerate(original) if db < parity.SMOOTH_ABOVE_DB]
    rows = []
    for name in names:
        checkpoint = WORK / f"{name}.safetensors"
        pruned = truths(enhancer, models.load(str(checkpoint)).module, image) if checkpoint.exists() else original
        lost = sum(original[number] - pruned[number] for number in detailed) / len(detailed)
        manifest = bundle.read(WORK / name).manifest
        card_file = WORK / f"{name}.json"
        card = json.loads(card_file.read_text()) if card_file.exists() and name != model else None
        for artifact in manifest.artifacts:
            assert artifact.parity is not None
            rows.append(
                {
                    "point": name,
                    "backend": artifact.backend,
                    "parameters": manifest.model.parameters,
                    "macs_per_pixel": manifest.model.macs_per_pixel,
                    "bytes": artifact.bytes,
                    "ms": times[f"{name}/{artifact.backend}"],
                    "ratio": times[f"{names[0]}/{artifact.backend}"] / times[f"{name}/{artifact.backend}"],
                    "psnr_gt_db": artifact.parity.psnr_gt_db,
                    "drop_db": sum(original) / len(original) - (artifact.parity.psnr_gt_db or 0),
                    "detailed_drop_db": lost + (artifact.parity.delta_psnr_db or 0),
                    "float_drop_db": card["drop_db"] if card else 0.0,
                    "one_shot_drop_db": card["one_shot_drop_db"] if card else None,
                    "minutes": card["recovery"]["minutes"] if card and card["recovery"] else None,
                }
            )
    out.write_text(json.dumps({"rows": rows, "machine": cpu_name(), "date": datetime.now(UTC).date().isoformat()}, indent=2), "utf-8")


def page() -> None:
    lines = [
        "# Quality against latency and size",
        "",
        "Written by `make tradeoff`. Every point is measured; none is interpolated. *drop* is what the int8 file loses against ground truth beside the float",
        "original in the same tiles, *float drop* what pruning alone loses (negative: the recovered network is better); means over all whole test",
        "pictures as saved in 8 bits. *drop, detailed* leaves out the smooth pictures, those above",
        f"{parity.SMOOTH_ABOVE_DB:g} dB, where a tenth of a decibel cannot be seen: what",
        "pruning loses on the others plus the `delta_psnr_db` of the bundle, as its budget has it. *x* is the speed beside the plain int8 file of the",
        "same runtime, all files of a model timed in turn in one run. The",
        "recovery saw no ground truth and no test picture.",
    ]
    for model in dict.fromkeys(point.model for point in POINTS):
        file = WORK / f"{model}.json"
        if not file.exists():
            lines += ["", f"## `{model}`", "", "Not measured yet: `make tradeoff`."]
            continue
        found = json.loads(file.read_text())
        lines += [
            "",
            f"## `{model}`",
            "",
            f"{found['machine']}, {found['date']}, tile 128x128.",
            "",
            "| point | runtime | parameters | MB | ms a tile | x | one-shot float drop, dB | recovery, min | float drop, dB | drop, dB | drop, detailed, dB |",
            "|---" * 11 + "|",
        ]
        for row in found["rows"]:
            one_shot = f"{row['one_shot_drop_db']:+.3f}" if row["one_shot_drop_db"] is not None else "-"
            recovery = "-" if row["point"].endswith("plain") else f"{row['minutes']:.1f}" if row["minutes"] else "none"
            lines.append(
                f"| {row['point']} | {row['backend']} | {row['parameters']:,} | {row['bytes'] / 1e6:.2f} | {row['ms']:.1f} | {row['ratio']:.2f} | "
                f"{one_shot} | {recovery} | "
                f"{row['float_drop_db']:+.3f} | {row['drop_db']:+.3f} | {row['detailed_drop_db']:+.3f} |"
            )
        plot = PAGE.with_name(f"tradeoff-{model}.svg")
        points = [(f"{row['point'].removeprefix(model + '-')} {row['backend']}", row["ms"], row["psnr_gt_db"]) for row in found["rows"]]
        plot.write_text(
            chart.scatter(f"{model}, int8 on {found['machine']}", points, "ms a tile of 128x128", "PSNR against ground truth, dB"), "utf-8"
        )
        lines += ["", f"![{model}]({plot.name})"]
    PAGE.write_text("\n".join(lines) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="one model")
    parser.add_argument("--page", action="store_true", help="only write the page")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    chosen = [point for point in POINTS if options.only in (None, point.model)]
    if not options.page:
        for point in chosen:
            make(point)
        for model in dict.fromkeys(point.model for point in chosen):
            measure(model)
    page()


if __name__ == "__main__":
    main()
