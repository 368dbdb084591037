"""Training crops: squares of photographs, packed into one file so that a machine without network can train from a source checkout.

python -m edgekit_calibration.crops DIR FILE       fetch the photographs of set `photos` into DIR, write their crops to FILE

Each photograph is reduced as the sets' pictures are (`crop.reduced`: Lanczos, at least halved, so that no JPEG blocks remain) and cut into squares of 256 pixels
side by side; the ones with most detail are kept until the file is full, at least one of each photograph. The file is a zip of lossless WebP pictures.
None may show what a test picture shows: every crop is compared with every window of every test picture by perceptual hash.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from edgekit.errors import EdgekitError, InvalidFile
from edgekit_calibration.crop import reduced
from edgekit_calibration.fetch import fetch
from edgekit_calibration.picture import CalibrationSet
from edgekit_calibration.pixels import read_pixels
from edgekit_calibration.similar import SAME, distance, picture_hash
from edgekit_calibration.sources import read_sources

SIDE = 256
LEAST_SIDE = 192
MOST_BYTES = 24 * 2**20
STRIDE = 8  # between the windows of a test picture; the hash of one shifted by half of it stays below SAME
FLAT = 1.0  # steps of mean absolute gradient below which a square shows nothing whose hash means anything, and little to learn from


def grid(pixels: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """(height, width, 3) uint8 -> the squares of `side` that lie side by side in its middle."""
    height, width = pixels.shape[:2]
    top, left = height % side // 2, width % side // 2
    for y in range(top, height - side + 1, side):
        for x in range(left, width - side + 1, side):
            yield pixels[y : y + side, x : x + side]


def detail(pixels: np.ndarray) -> float:
    """Mean absolute gradient of the grey picture, in steps."""
    grey = pixels.astype(np.float32).mean(2)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def cut_crops(photographs: Iterable[np.ndarray], side: int = SIDE) -> list[np.ndarray]:
    """All squares of the photographs ((height, width, 3) uint8 or uint16), reduced first, that are not flat; the one with most detail of those that are."""
    found: list[np.ndarray] = []
    for pixels in photographs:
        squares = sorted(grid(np.asarray(reduced(pixels)), side), key=detail, reverse=True)
        found += [square for index, square in enumerate(squares) if index == 0 or detail(square) >= FLAT]
    return found


class Seen:
    """The windows of the test pictures, to find crops that show the same."""

    def __init__(self, test: CalibrationSet, side: int) -> None:
        self._windows = [
            (picture.name, picture_hash(window))
            for picture in test.pictures
            for window in windows((picture.tensor()[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8), side)
        ]

    def in_test_picture(self, crop: np.ndarray) -> str | None:
        """The test picture that shows what `crop` shows, or None."""
        own = picture_hash(crop)
        return next((name for name, other in self._windows if distance(own, other) < SAME), None)


def windows(pixels: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """The whole picture, and its squares of `side` every STRIDE pixels."""
    yield pixels
    for y in range(0, pixels.shape[0] - side + 1, STRIDE):
        for x in range(0, pixels.shape[1] - side + 1, STRIDE):
            yield pixels[y : y + side, x : x + side]


def pack(groups: Sequence[tuple[str, Sequence[np.ndarray]]], file: Path, most_bytes: int = MOST_BYTES) -> int:
    """Writes the crops of each photograph (id, its crops in falling detail) in turn, the first of each, then the second of each, until the file is full.

    Returns how many. The same crops and Pillow give the same bytes.
    """
    written, size = 0, 0
    temporary = file.with_name(file.name + ".tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        rounds = range(max((len(crops) for _, crops in groups), default=0))
        for number, name, crop in ((number, name, crops[number]) for number in rounds for name, crops in groups if number < len(crops)):
            buffer = io.BytesIO()
            Image.fromarray(crop).save(buffer, "WEBP", lossless=True, method=4, quality=75)
            if size + buffer.tell() + 512 > most_bytes:
                break
            archive.writestr(zipfile.ZipInfo(f"{name}-{number:03}.webp"), buffer.getvalue())
            written, size = written + 1, size + buffer.tell() + 256
    temporary.replace(file)
    return written


def read(file: Path) -> np.ndarray:
    """The crops of a packed file, (N, 3, side, side) uint8. Raises InvalidFile."""
    crops = []
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > 2 * MOST_BYTES:
                raise InvalidFile(f"{file}: holds more than {2 * MOST_BYTES} bytes; expected a file of training crops")
            for name in sorted(archive.namelist()):
                with Image.open(io.BytesIO(archive.read(name)), formats=["WEBP"]) as picture:
                    if picture.width != picture.height or picture.width > 1024:
                        raise InvalidFile(f"{file}: {name[:60]} is {picture.width}x{picture.height}; expected squares of {SIDE} px")
                    crops.append(np.asarray(picture.convert("RGB")))
        if not crops or len({crop.shape for crop in crops}) > 1:
            raise InvalidFile(f"{file}: holds {len(crops)} pictures of {len({crop.shape for crop in crops})} sizes; expected crops of one size")
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError, SyntaxError) as error:
        raise InvalidFile(
            f"{file}: is not a file of training crops ({error}); expected one that `make crops` wrote, or a folder of photographs"
        ) from error
    return np.stack(crops).transpose(0, 3, 1, 2)


def make(directory: Path, file: Path, test: CalibrationSet, *, say: Callable[[str], None]) -> int:
    """Fetches the photographs behind set `photos` into `directory` and packs their crops into `file`; returns how many."""
    sources = read_sources()
    originals = fetch(directory, sources=sources)
    seen = Seen(test, SIDE)
    groups = []
    for photograph in sorted(sources.photograph, key=lambda p: p.id):
        if photograph.role != "calibration":
            continue
        kept = []
        for crop in cut_crops([read_pixels(originals[photograph.id])]):
            same = seen.in_test_picture(crop)
            if same:
                say(f"left out: a crop of {photograph.id} resembles test picture {same}")
            else:
                kept.append(crop)
        groups.append((photograph.id, kept))
    file.parent.mkdir(parents=True, exist_ok=True)
    return pack(groups, file)


def main() -> int:
    from edgekit_calibration import test_set

    parser = argparse.ArgumentParser(prog="python -m edgekit_calibration.crops", description="Pack training crops into one file.")
    parser.add_argument("directory", type=Path, help="where the originals are, or shall be downloaded to")
    parser.add_argument("file", type=Path, help="the file to write, such as build/crops.zip")
    options = parser.parse_args()
    try:
        count = make(options.directory, options.file, test_set(), say=lambda line: print(line, file=sys.stderr))
    except EdgekitError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.file}: {count} crops of {SIDE}x{SIDE}, {options.file.stat().st_size / 2**20:.1f} MiB", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
