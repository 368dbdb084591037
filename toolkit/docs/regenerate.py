"""Measures the README's table anew on this machine and writes it, with machine and date, between its markers.

make readme                     export android, desktop, ios and ios18, then write the table
make readme ARGS=--from-build   only write the table, from the bundles under build/
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from edgekit import bundle
from edgekit.cli.verdict import COLUMNS, row
from edgekit.verdict import judge

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
START, END = "<!-- measured: begin (make readme) -->", "<!-- measured: end -->"
EXPORTS = (
    ("android", []),
    ("android", ["--recipe", "fp32", "--out", "build/edsr-android-fp32"]),
    ("ios", []),
    ("ios18", []),
    ("desktop", []),
)


def place(target: str, options: list[str]) -> Path:
    return ROOT / (options[options.index("--out") + 1] if "--out" in options else f"build/edsr-{target}")


def table() -> str:
    """Markdown of every bundle's artifacts, as the command line shows them."""
    head = ("target", *COLUMNS)
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    notes: list[str] = []
    for target, options in EXPORTS:
        manifest = bundle.read(place(target, options)).manifest
        lines += ["| " + " | ".join([target, *row(artifact)]) + " |" for artifact in manifest.artifacts]
        verdict = judge(manifest)
        if not options:
            notes.append(f"- `{target}`: ship {f'`{verdict.ship}`' if verdict.ship else 'nothing on these numbers'}: {verdict.why}.")
    manifest = bundle.read(place(*EXPORTS[0])).manifest
    parity = manifest.artifacts[0].parity
    assert parity is not None
    tile, image = manifest.image.tile, manifest.image
    notes.append(
        f"- Compared on {parity.pictures} test pictures ({parity.tiles} tiles of {tile[0]}x{tile[1]}, halo {image.halo}, {image.overhead} x the pixels) with "
        f"{manifest.reference.device}, {manifest.reference.dtype}. Milliseconds are this machine's, not a phone's. Measured {manifest.created[:10]}."
    )
    notes.append("- Core ML files were executed by our evaluator, not by Core ML; their speed was not measured.")
    return "\n".join([*lines, "", *notes])


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures the README table anew")
    parser.add_argument("--from-build", action="store_true", help="do not export anew")
    if not parser.parse_args().from_build:
        for target, options in EXPORTS:
            command = [sys.executable, "-m", "edgekit", "export", "--model", "edsr", "--target", target, "--force", *options]
            status = subprocess.run(command, cwd=ROOT, check=False).returncode
            if status not in (0, 1):
                return status
    text = README.read_text("utf-8")
    before, _, rest = text.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        print(f"{README}: the markers are missing; expected {START} and {END}", file=sys.stderr)
        return 2
    README.write_text(f"{before}{START}\n{table()}\n{END}{after}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
