"""Picture files in and out, with their colour contract: what an enhancer must not lose.

In: PNG, JPEG, WebP, TIFF, BMP and GIF stills, 8 or 16 bits, turned upright as EXIF says. Grey stays grey, alpha and an ICC profile are kept, 16 bits stay 16.
Palettes are looked up; CMYK is converted to sRGB through its profile. Out: PNG by bands in bounded memory, or JPEG and WebP through Pillow.
The descriptive EXIF (camera, time, place, author) is carried over; orientation, sizes and thumbnails would be wrong and are left out.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngImageFile
from torch import Tensor

from edgekit.errors import InvalidFile, first_line
from edgekit.png import PngWriter

READS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""Pillow's names. What it reduces to 8 bits without a word (JPEG 2000, PPM, AVIF) is missing."""

WRITES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

MAX_INPUT_MEGAPIXELS = 200

MAX_ENCODED_MEGAPIXELS = 100
"""JPEG and WebP are encoded from a picture that is whole in memory, 4 bytes a pixel and as much again in the encoder. PNG has no such limit."""

_KEPT_EXIF = {270, 271, 272, 305, 306, 315, 33432, 34665, 34853}
"""ImageDescription, Make, Model, Software, DateTime, Artist, Copyright, the Exif and the GPS directory. A TIFF's other tags describe its storage."""

Pixels = NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True)
class SourcePicture:
    """A decoded picture, upright. `pixels`: (height, width, channels), uint8 or uint16; channels 1 to 4: grey, grey and alpha, RGB, RGBA."""

    name: str
    pixels: Pixels
    icc_profile: bytes | None = None
    exif: bytes | None = None

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def bits(self) -> int:
        return 8 * self.pixels.itemsize

    @property
    def is_grey(self) -> bool:
        return self.pixels.shape[2] <= 2

    @property
    def has_alpha(self) -> bool:
        return self.pixels.shape[2] in (2, 4)

    def colour(self, rows: Sequence[int]) -> Tensor:
        """The rows `rows`, in that order: (3, len(rows), width) float32 in [0, 1], RGB. A grey picture has three equal channels."""
        planes = self._planes(rows, slice(0, 1 if self.is_grey else 3))
        return planes.expand(3, -1, -1)

    def alpha(self, rows: Sequence[int]) -> Tensor:
        """(1, len(rows), width) float32 in [0, 1]. Only if `has_alpha`."""
        return self._planes(rows, slice(-1, None))

    def _planes(self, rows: Sequence[int], channels: slice) -> Tensor:
        values = self.pixels[rows, :, channels].transpose(2, 0, 1).astype(np.float32, order="C")
        return torch.from_numpy(values).div_(255 if self.bits == 8 else 65535)


def to_pixels(planes: Tensor, bits: int) -> Pixels:
    """(C, n, width) float32 in [0, 1] -> (n, width, C) uint8 or uint16: clamped, times the largest value, plus a half, cut off."""
    scaled = planes.clamp(0, 1).mul_(255 if bits == 8 else 65535).add_(0.5)
    return scaled.permute(1, 2, 0).numpy().astype(np.uint8 if bits == 8 else np.uint16, order="C")


def open_picture(path: Path) -> SourcePicture:
    """Reads a picture file. Raises InvalidFile for anything that is not a whole, still picture of up to 200 megapixels."""
    try:
        with _as_edgekit_wants(), Image.open(path, formats=READS) as image:
            _refuse(path, image)
            _drop_damaged_exif(image)
            profile, pixels = _decode(path, image)
            return SourcePicture(path.name, pixels, profile, _exif(image))
    except InvalidFile:
        raise
    except Image.UnidentifiedImageError as error:
        raise InvalidFile(f"{path}: not a picture; expected PNG, JPEG, WebP, TIFF, BMP or GIF") from error
    except FileNotFoundError as error:
        raise InvalidFile(f"{path}: no such file; expected a picture") from error
    except Exception as error:  # a damaged file can make a decoder raise almost anything; to the person who chose the file it is all the same
        reason = first_line(error)
        raise InvalidFile(f"{path}: could not be read ({reason}); expected a whole picture file") from error


@contextmanager
def _as_edgekit_wants() -> Iterator[None]:
    """Pillow without its own limit of 89 megapixels, below what phones take (`_refuse` has ours), and without warnings on the terminal about EXIF
    that it then leaves out."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _refuse(path: Path, image: Image.Image) -> None:
    megapixels = image.width * image.height / 1e6
    if megapixels > MAX_INPUT_MEGAPIXELS:
        raise InvalidFile(f"{path}: {image.width}x{image.height} is {megapixels:.0f} megapixels; expected at most {MAX_INPUT_MEGAPIXELS}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a phone's JPEG with a depth or gain map behind the picture
        raise InvalidFile(f"{path}: has {frames} frames; expected a still picture")
    # Pillow opens colour TIFFs of 10 to 32 bits as 8 bits without a word.
    bits = max(getattr(image, "tag_v2", {}).get(258, (8,)))
    if image.mode in ("I", "F") or (bits > 8 and not (bits == 16 and image.mode.startswith("I;16"))):
        raise InvalidFile(f"{path}: {image.format} with {max(bits, 16)} bits ({image.mode}); expected 8 bits, or a 16-bit PNG: convert it first")


def _drop_damaged_exif(image: Image.Image) -> None:
    """Pillow forgives it in a JPEG and raises in a PNG or WebP, but the picture beside it is whole in either."""
    if "exif" not in image.info:  # and asking a PNG for it would decode the pixels, too early for `_decode_png16`
        return
    try:
        image.getexif()
    except SyntaxError:
        del image.info["exif"]


def _decode(path: Path, image: Image.Image) -> tuple[bytes | None, Pixels]:
    """-> (ICC profile, if it fits the pixels; pixels, upright)."""
    profile = image.info.get("icc_profile")
    if isinstance(image, PngImageFile) and _rawmode(image).endswith(";16B"):
        pixels = _decode_png16(path, image)
    else:
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode == "CMYK":
            image, profile = _cmyk_to_srgb(image, profile), None
        pixels = _array(image if image.mode.startswith("I;16") else image.convert(_plain_mode(image)))
    space = b"GRAY" if pixels.shape[2] <= 2 else b"RGB "
    return (profile if profile and profile[16:20] == space else None), pixels


def _plain_mode(image: Image.Image) -> str:
    colour = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    return colour + "A" if image.has_transparency_data else colour


def _array(image: Image.Image) -> Pixels:
    array = np.asarray(image)
    return array.astype(np.uint16 if array.itemsize == 2 else np.uint8, copy=False).reshape(image.height, image.width, -1)


def _cmyk_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if not profile:
        return image.convert("RGB")
    converted = ImageCms.profileToProfile(image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # None only when converting in place
    return converted


def _rawmode(image: PngImageFile) -> str:
    """How Pillow's PNG decoder is going to read the samples."""
    return str(image.tile[0].args) if image.tile else ""


def _decode_png16(path: Path, image: PngImageFile) -> Pixels:
    """All 16 bits. Pillow has no 16-bit colour images and keeps the upper byte of each sample; PNG's samples are big-endian, so reading the file a
    second time as little-endian gives the lower byte. Grey with alpha has as many bytes as 8-bit RGBA, so it is read as that."""
    rawmode = _rawmode(image)
    key = image.info.get("transparency")
    if rawmode == "LA;16B":
        pixels = _array(_reread(image, "RGBA")).view(">u2").astype(np.uint16)
    elif rawmode == "I;16B":
        pixels = _array(_reread(image, rawmode))
    else:
        pixels = _array(_reread(image, rawmode)).astype(np.uint16)
        pixels <<= 8
        with PngImageFile(path) as second:
            pixels |= _array(_reread(second, rawmode.replace("16B", "16L")))
    if key is not None:
        opaque = (pixels != np.asarray(key)).any(2, keepdims=True)
        pixels = np.concatenate([pixels, opaque.astype(np.uint16) * 65535], 2)
    return pixels


def _reread(image: PngImageFile, rawmode: str) -> PngImageFile:
    image.tile = [image.tile[0]._replace(args=rawmode)]
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _exif(image: Image.Image) -> bytes | None:
    exif = image.getexif()
    for tag in set(exif) - _KEPT_EXIF:
        del exif[tag]
    details = exif.get_ifd(34665)
    for size in (0xA002, 0xA003):
        details.pop(size, None)
    return exif.tobytes() if exif else None


class PictureWriter(Protocol):
    """Takes the rows of a picture from top to bottom, (n, width, channels) of `bits` 8 (uint8) or 16 (uint16)."""

    bits: int

    def write(self, rows: Pixels) -> None: ...


class _PillowWriter:
    """JPEG and WebP: collects the whole picture, 8 bits."""

    bits = 8

    def __init__(self, width: int, height: int, channels: int) -> None:
        self._canvas = Image.new(("L", "LA", "RGB", "RGBA")[channels - 1], (width, height))
        self._y = 0

    def write(self, rows: Pixels) -> None:
        self._canvas.paste(Image.fromarray(rows.squeeze(2) if rows.shape[2] == 1 else rows), (0, self._y))
        self._y += len(rows)

    def save(self, file: BinaryIO, kind: str, icc_profile: bytes | None, exif: bytes | None) -> None:
        if kind == "JPEG" and exif and len(exif) > 65533:
            exif = None  # does not fit a JPEG segment
        self._canvas.save(file, kind, quality=95, subsampling=0, icc_profile=icc_profile, exif=exif or b"")


@contextmanager
def create_picture(path: Path, like: SourcePicture, height: int, width: int) -> Iterator[PictureWriter]:
    """A new picture file of `height` x `width` with the channels, profile and EXIF of `like`; its name's suffix chooses the format.

    PNG has the bit depth of `like` and is written as the rows come; JPEG and WebP (quality 95, full colour resolution) have 8 bits.
    The file appears under its name when the context ends without an error, whole; until then an older file of that name stays.
    Raises InvalidFile if the format cannot hold the picture, or the file cannot be written.
    """
    kind = WRITES.get(path.suffix.lower())
    if reason := _unfit(kind, like, height, width):
        raise InvalidFile(f"{path}: {reason}")
    channels = like.pixels.shape[2]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            if kind == "PNG":
                with PngWriter(file, width, height, channels, like.bits, like.icc_profile, like.exif) as png:
                    yield png
            else:
                canvas = _PillowWriter(width, height, channels)
                yield canvas
                canvas.save(file, str(kind), like.icc_profile, like.exif)
        temporary.replace(path)
    except OSError as error:
        raise InvalidFile(f"{path}: could not be written ({error.strerror or error}); expected a writable folder with free space") from error
    finally:
        # Where the folder itself is missing there is nothing to remove, and no second error to report.
        with suppress(OSError):
            temporary.unlink()


def _unfit(kind: str | None, like: SourcePicture, height: int, width: int) -> str | None:
    """Why the format cannot hold the picture, and what can."""
    side, megapixels = max(height, width), height * width / 1e6
    if kind is None:
        return f"unknown picture format; expected a name that ends in {', '.join(WRITES)}"
    if kind == "PNG":
        return None
    if side > (limit := 65535 if kind == "JPEG" else 16383):
        return f"{width}x{height} is too large for {kind}; expected sides of at most {limit} px, or a name that ends in .png"
    if megapixels > MAX_ENCODED_MEGAPIXELS:
        return f"{megapixels:.0f} megapixels as {kind} need too much memory; expected at most {MAX_ENCODED_MEGAPIXELS}, or a name that ends in .png"
    if kind == "JPEG" and like.has_alpha:
        return "the picture has transparency, which JPEG cannot hold; expected a name that ends in .png or .webp"
    if kind == "WEBP" and like.is_grey and like.icc_profile:
        return "the picture is grey with a colour profile, which WebP cannot hold; expected a name that ends in .png or .jpg"
    return None
