"""What the report shows beside the manifest's numbers: each artifact's worst tiles as pictures, every tile's PSNR, how large the errors are, and how near
classical steps come to the clean photographs.

In a bundle this is the folder `evidence/`: evidence.json and lossless WebP pictures, at most 1.5 MB in all. No app reads it.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgekit import bundle, toml
from edgekit.errors import InvalidFile
from edgekit.json_schema import parse_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from edgekit.parity import ParitySet

VERSION = 1
FOLDER = "evidence"
INDEX = "evidence.json"

STEPS = 16
"""Differences are counted in 8-bit steps from -STEPS to STEPS; the first and the last count holds what is beyond."""

WORST = 4
"""Tiles shown per artifact."""

SMALLEST_SHOWN = 1024
"""Pixels of a tile's core from which it is shown when it is not the very worst."""

WINDOW = {4: 256, 64: 160}
"""Up to so many artifacts in a bundle -> the longest side of a picture, in output pixels. Of a larger tile the part with the largest error is shown."""
SMALLEST_WINDOW = 96

ROOM = 1_300_000
"""Bytes that the pictures of one bundle may take. Every artifact's worst tile comes before any artifact's second one."""

LARGEST_INDEX, LARGEST_PICTURE, LONGEST_SIDE = 8 * 2**20, 2**20, 512
_PICTURE_NAME = re.compile(r"[a-z0-9-]{1,80}\.webp")


@dataclass(frozen=True)
class WorstTile:
    """`tile` is an index into `Evidence.tiles`. `window` is the part of the tile's core that the pictures show: top, left, height, width, in output pixels.

    The rest are file names in the folder: the input (smaller by the scale), the reference's output and the artifact's.
    """

    tile: int
    window: tuple[int, int, int, int]
    input: str
    reference: str
    artifact: str


@dataclass(frozen=True)
class ArtifactEvidence:
    """`sha256` is the model file's. `psnr_db` has a value per tile, from 0 (also: not finite) to 100. `steps` counts the values of all tiles by their
    difference, artifact minus reference as saved in 8 bits: 2 * STEPS + 1 counts. `worst` starts with the worst tile."""

    artifact: str
    sha256: str
    psnr_db: tuple[float, ...]
    steps: tuple[int, ...]
    worst: tuple[WorstTile, ...]


@dataclass(frozen=True)
class Fidelity:
    """How near one way comes to the clean test pictures, as saved in 8 bits: a classical step, or the network (the reference, then each file)."""

    name: str
    kind: Literal["classical", "network"]
    psnr_db: float
    worst_psnr_db: float
    ssim: float


@dataclass(frozen=True)
class Evidence:
    """`fidelity` is empty where no clean picture is known. `artifacts` is empty for networks that give numbers."""

    evidence: int
    tiles: tuple[str, ...]
    artifacts: tuple[ArtifactEvidence, ...]
    fidelity: tuple[Fidelity, ...] = ()

    def of(self, artifact: str) -> ArtifactEvidence | None:
        return next((one for one in self.artifacts if one.artifact == artifact), None)


# Gathering


@dataclass(frozen=True)
class Given:
    """What one artifact gave: `outputs`, one (1, C, H, W) float32 per tile, and the sha256 of its file."""

    artifact: str
    sha256: str
    outputs: Sequence[Tensor]


def gather(
    parity_set: ParitySet,
    reference: Sequence[Tensor],
    given: Sequence[Given],
    folder: Path,
    *,
    colours: tuple[str, str] = ("rgb", "rgb"),
    fidelity: Sequence[Fidelity] = (),
) -> dict[str, Path]:
    """Fills `folder`/evidence from what the reference and the artifacts gave for the tiles. Only cores count, as in `parity.compare`.

    `given` is empty where they gave no pictures. `colours` are those of the network's first input and output (`bgr` is turned).
    Returns path in the bundle -> file, as `bundle.write` takes it.
    """
    from edgekit import metrics  # here, because reading evidence needs no torch

    place = folder / FOLDER
    place.mkdir()
    inputs = _flat(replace(parity_set, scale=1).cores([tile[0] for tile in parity_set.tiles]))
    wanted = _flat(parity_set.cores(reference)) if given else []
    got = {one.artifact: [core.nan_to_num(0.0, 1.0, 0.0) for core in _flat(parity_set.cores(one.outputs))] for one in given}
    psnr = {
        one.artifact: [round(max(0.0, metrics.psnr_db(a, b)), 3) for a, b in zip(wanted, _flat(parity_set.cores(one.outputs)), strict=True)]
        for one in given
    }
    ranked = {name: _ranked(values, wanted) for name, values in psnr.items()}
    side = next((pixels for most, pixels in WINDOW.items() if len(given) <= most), SMALLEST_WINDOW)
    worst: dict[str, list[WorstTile]] = {one.artifact: [] for one in given}
    room = ROOM
    for rank in range(WORST):
        for number, one in enumerate(given):
            if rank >= len(ranked[one.artifact]):
                continue
            index = ranked[one.artifact][rank]
            output, scale = got[one.artifact][index], parity_set.scale
            window = _window(wanted[index], output, side, scale)
            stem = f"tile-{index}-{window[0]}-{window[1]}"
            pictures = {
                f"{stem}-input.webp": _encode(_part(inputs[index], [pixels // scale for pixels in window]), colours[0]),
                f"{stem}-reference.webp": _encode(_part(wanted[index], window), colours[1]),
                f"{stem}-artifact-{number}.webp": _encode(_part(output, window), colours[1]),
            }
            new = {name: data for name, data in pictures.items() if not (place / name).exists()}
            room -= sum(map(len, new.values()))
            if room < 0:
                break
            for name, data in new.items():
                (place / name).write_bytes(data)
            worst[one.artifact].append(WorstTile(index, window, *pictures))
    found = Evidence(
        VERSION,
        tuple(parity_set.names),
        tuple(
            ArtifactEvidence(one.artifact, one.sha256, tuple(psnr[one.artifact]), _steps(wanted, got[one.artifact]), tuple(worst[one.artifact]))
            for one in given
        ),
        tuple(fidelity),
    )
    (place / INDEX).write_text(json.dumps(asdict(found), ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")
    return {f"{FOLDER}/{path.name}": path for path in sorted(place.iterdir())}


def _flat(cores: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [core for of_picture in cores for core in of_picture]


def _ranked(psnr_db: Sequence[float], cores: Sequence[Tensor]) -> list[int]:
    """The worst tile, and the worst others that are no slivers from a picture's edge, on which there is little to see."""
    worst, *others = sorted(range(len(psnr_db)), key=psnr_db.__getitem__)
    return [worst, *(i for i in others if cores[i].shape[-2] * cores[i].shape[-1] >= SMALLEST_SHOWN)][:WORST]


def _window(reference: Tensor, output: Tensor, side: int, scale: int) -> tuple[int, int, int, int]:
    """The part of at most `side` x `side` with the largest squared error, on a coarse grid; all four are multiples of `scale`."""
    import torch.nn.functional as F

    side = side // scale * scale
    height, width = (min(side, length) for length in reference.shape[-2:])
    stride = -(-32 // scale) * scale
    error = (reference - output).square().sum(1, keepdim=True)
    sums = F.avg_pool2d(error, (height, width), stride)[0, 0]
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    return row * stride, column * stride, height, width


def _part(picture: Tensor, window: Sequence[int]) -> Tensor:
    top, left, height, width = window
    return picture[..., top : top + height, left : left + width]


def _encode(picture: Tensor, colour: str) -> bytes:
    """(1, C, H, W) in [0, 1] as a lossless WebP: three channels in colour, of any other number the first alone, in grey."""
    from PIL import Image

    from edgekit import metrics

    pixels = metrics.to_uint8(picture)[0]
    pixels = (pixels.flip(0) if colour == "bgr" else pixels) if len(pixels) == 3 else pixels[:1]
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(array if len(pixels) == 3 else array[..., 0]).save(file, "WEBP", lossless=True, quality=60, method=4)
    return file.getvalue()


def _steps(reference: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[int, ...]:
    import torch

    from edgekit import metrics

    counts = torch.zeros(2 * STEPS + 1, dtype=torch.int64)
    for a, b in zip(reference, outputs, strict=True):
        difference = metrics.to_uint8(b).to(torch.int32) - metrics.to_uint8(a).to(torch.int32)
        counts += torch.bincount(difference.clamp(-STEPS, STEPS).flatten() + STEPS, minlength=2 * STEPS + 1)
    return tuple(counts.tolist())


# Reading: nothing here is covered by the manifest's digests, so nothing is believed


def read(opened: bundle.Bundle) -> Evidence | None:
    """The bundle's evidence, checked against itself and the manifest; None if the bundle has none. Raises InvalidFile."""
    where = str(opened.path / FOLDER / INDEX)
    data = bundle.read_note(opened, f"{FOLDER}/{INDEX}", LARGEST_INDEX)
    if data is None:
        return None
    table = parse_json(_text(data, where), where)
    if (version := table.get("evidence")) != VERSION:
        raise InvalidFile(f"{where}: evidence is {str(version)[:20]}; expected {VERSION}: made by another edgekit, export the bundle again")
    found = toml.build(Evidence, table, where)
    digests = {artifact.name: artifact.sha256 for artifact in opened.manifest.artifacts}
    if len({one.artifact for one in found.artifacts}) < len(found.artifacts):
        raise InvalidFile(f"{where}: an artifact stands twice; expected each once")
    for one in found.artifacts:
        if digests.get(one.artifact) != one.sha256:
            raise InvalidFile(f"{where}: is of a file '{one.artifact}' that this bundle does not hold; expected its own: export the bundle again")
        _check(one, len(found.tiles), f"{where}: {one.artifact}")
    for way in found.fidelity:
        if not (all(0 <= value <= 100 for value in (way.psnr_db, way.worst_psnr_db)) and -1 <= way.ssim <= 1):
            raise InvalidFile(f"{where}: fidelity: {way.name[:60]}: {way.psnr_db:g} dB, SSIM {way.ssim:g}; expected 0 to 100 dB, SSIM -1 to 1")
    return found


def read_picture(opened: bundle.Bundle, name: str) -> tuple[bytes, NDArray[np.uint8]]:
    """One of the pictures that the evidence names: the WebP file, and its pixels (height, width, 3). Raises InvalidFile."""
    import numpy as np
    from PIL import Image

    where = str(opened.path / FOLDER / name)
    data = bundle.read_note(opened, f"{FOLDER}/{name}", LARGEST_PICTURE)
    if data is None:
        raise InvalidFile(f"{where}: is missing; expected a picture: export the bundle again")
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as picture:
            if max(picture.size) > LONGEST_SIDE or getattr(picture, "n_frames", 1) != 1:
                raise InvalidFile(
                    f"{where}: is {picture.size[0]}x{picture.size[1]} px; expected one still picture of at most {LONGEST_SIDE} px a side"
                )
            return data, np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError) as error:
        raise InvalidFile(f"{where}: is no WebP picture ({error}); expected one: export the bundle again") from error


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFile(
            f"{where}: is not UTF-8 text (byte {error.start}); expected what `edgekit export` wrote: export the bundle again"
        ) from error


def _check(one: ArtifactEvidence, tiles: int, where: str) -> None:
    if len(one.psnr_db) != tiles or not all(0 <= value <= 100 for value in one.psnr_db):
        raise InvalidFile(f"{where}: psnr_db has {len(one.psnr_db)} values; expected {tiles}, a tile each, from 0 to 100")
    if len(one.steps) != 2 * STEPS + 1 or not all(0 <= count <= 2**53 for count in one.steps) or math.fsum(one.steps) == 0:
        raise InvalidFile(f"{where}: steps has {len(one.steps)} counts; expected {2 * STEPS + 1}, none below 0 and not all 0")
    if len(one.worst) > WORST:
        raise InvalidFile(f"{where}: shows {len(one.worst)} tiles; expected at most {WORST}")
    for shown in one.worst:
        if not 0 <= shown.tile < tiles or not all(0 <= v <= 2**20 for v in shown.window) or not all(0 < v <= LONGEST_SIDE for v in shown.window[2:]):
            raise InvalidFile(f"{where}: shows part {list(shown.window)} of tile {shown.tile}; expected one of {tiles} tiles and pixels in it")
        for name in (shown.input, shown.reference, shown.artifact):
            if not _PICTURE_NAME.fullmatch(name):
                raise InvalidFile(f"{where}: names the picture {name[:60]!r}; expected a name such as tile-3-0-0-input.webp")
