"""Writes toolkit/docs/variants.md: what routing costs and saves on the built-in x2 models, as their bundle's manifest has it: `make variants-page`.

The bundle build/edsr-variants-android is exported if it is not there; `--fresh` makes it anew. The moderate network is the pruned one that
`make tradeoff ARGS="--only edsr"` leaves.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgekit import bundle
from edgekit.cli import main
from edgekit.manifest import Manifest, Routing
from edgekit.verdict import over_budget

PAGE = Path(__file__).with_name("variants.md")
BUNDLE = Path("build/edsr-variants-android")
HALF = Path("build/tradeoff/edsr-half.safetensors")
COMMAND = [
    "export",
    "--model",
    "edsr",
    "--variant",
    "light=edsr-mobile",
    "--variant",
    f"moderate={HALF}",
    "--target",
    "android",
    "--out",
    str(BUNDLE),
]

HEAD = """# Bundles with variants

A heavy network is worth its time where there is detail. `edgekit export` takes lighter networks for the same task along and finds the rule that gives each tile
the one it needs:

    edgekit export --model edsr --variant light=edsr-mobile --variant moderate=half.safetensors --target android --out build/edsr-variants-android
    edgekit run build/edsr-variants-android photo.jpg                       says how many tiles went where
    edgekit run build/edsr-variants-android photo.jpg --variant light       this one for every tile
    edgekit validate build/edsr-variants-android --variant light=FILE       every variant against its own network; FILE if it is no built-in one

`--variant NAME=MODEL` may be repeated, up to three, lightest first; MODEL is what `--model` takes, such as a checkpoint that `edgekit prune` made. The `--model`
itself is `heavy`. All have the same scale, colours and tiling, and share one tile and the largest halo, so that only the model file differs from tile to tile.
`--variant-unit picture` gives whole pictures to one variant.

**The score** needs no reference: the mean squared Laplacian of luma, in whole numbers, so that Python, Kotlin and Swift agree to the last bit
(`toolkit/edgekit/quality.py` has the rules and sources, `tests/fixtures/routing.json` the shared vectors). It stands for the classifying network of ClassSR
(Kong et al. 2021). Noise raises it as texture does.

**The thresholds** are found on the calibration pictures: those that save the most multiplications while the pictures lose at most `--variant-drop-db` (0.05)
against the heavy network alone, in PSNR against the clean photograph as saved in 8 bits. A picture's PSNR is over all its tiles; it counts up to 36 dB, and the
mean is over the pictures below, as in the budget line `delta_psnr_db`: above, a tenth of a decibel is not seen. The rule stands in the manifest (`routing`), and
what it gives on the test pictures with the files themselves in `routing.measured`, in the report and in `--json`.

An app opens all files of one backend and recipe and asks the rule for each tile: `Variants` and `PictureEnhancer` in both apps' cores do that, tested with the
shared vectors. The demo apps open one file at a time: `edgekit bundle` refuses to put such a bundle into them, and so do they.

## Measured

"""


def page(manifest: Manifest) -> str:
    rule = manifest.routing
    assert rule is not None, "exported with --variant"
    lines = [*networks(rule), *files(rule), *budget(manifest)]
    image = manifest.image
    sizes = f"Tiles of {image.tile[0]}x{image.tile[1]} with a halo of {image.halo}; {manifest.created[:10]}; against {manifest.reference.device}."
    return HEAD + "\n".join(
        [*lines, "", sizes + " The share of multiplications is computed from the shares of tiles; no time was measured for it.", ""]
    )


def networks(rule: Routing) -> list[str]:
    heavy = rule.heaviest.model.macs_per_pixel
    bounds = [f"below {bound / 100:g}" for bound in rule.thresholds] + [f"from {rule.thresholds[-1] / 100:g} on"]
    rows = [
        f"| {variant.name} | `{variant.model.name}` | {variant.model.parameters:,} | {variant.model.macs_per_pixel / heavy:.1%} | {bound} |"
        for variant, bound in zip(rule.variants, bounds, strict=True)
    ]
    chosen = rule.chosen
    said = f"Chosen on {chosen.tiles} tiles of calibration set `{chosen.set}`: drop {chosen.drop_db:.3f} dB, {chosen.most_drop_db:g} allowed."
    return ["| variant | network | parameters | multiplications a pixel | score |", "|---|---|---|---|---|", *rows, "", said, ""]


def files(rule: Routing) -> list[str]:
    names = [variant.name for variant in rule.variants]
    head = ["files", *(f"tiles to {name}" for name in names), "multiplications", "routed, dB", *(f"{name} alone, dB" for name in names)]
    head += ["drop mean / worst, dB"]
    rows = []
    for one in rule.measured:
        cells = [f"{one.backend} {one.recipe}", *(f"{one.shares[name]:.0%}" for name in names), f"{one.macs_share:.0%}", f"{one.routed_db:.2f}"]
        cells += [*(f"{one.alone_db[name]:.2f}" for name in names), f"{one.drop_db:+.3f} / {one.worst_drop_db:+.3f}"]
        rows.append("| " + " | ".join(cells) + " |")
    said = (
        f"On {rule.measured[0].tiles} tiles of {rule.measured[0].pictures} test pictures; PSNR against the clean photographs, mean over all pictures, smooth "
        "ones too; *drop* is that of the pictures below 36 dB, which the thresholds bound."
    )
    return [said, "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|", *rows]


def budget(manifest: Manifest) -> list[str]:
    over = [line for artifact in manifest.artifacts for line in over_budget(artifact)]
    head = "Over budget against their own network in float32, so that the export ends with status 1:"
    return ["", head, "", *(f"- {line}" for line in over)] if over else ["", "Every file is within its budget against its own network in float32."]


if __name__ == "__main__":
    if "--fresh" in sys.argv or not BUNDLE.is_dir():
        status = main([*COMMAND, "--force"])
        if status not in (0, 1):
            sys.exit(status)
    PAGE.write_text(page(bundle.read(BUNDLE).manifest), "utf-8")
