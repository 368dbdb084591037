"""A picture file's pixels, as every set is read: upright, three colours, at the file's own depth."""

from __future__ import annotations

import os
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from edgekit.errors import InvalidFile

# What people keep photographs in. Some of these Pillow cannot decode (raw files, HEIC without a plugin): they are reported, not passed over in silence.
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif", ".dng", ".jxl", ".jp2"))

MAX_PIXELS = 200_000_000  # the largest phone sensors; anything beyond is more likely a decompression bomb

# What Pillow's decoders raise for damaged files, each found by feeding it cut and altered pictures.
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError, OverflowError, ZeroDivisionError, MemoryError)


def read_pixels(path: Path, *, shrink: bool = False) -> np.ndarray:
    """The picture at `path`: (height, width, 3) RGB, uint8, or uint16 for a 16-bit grey file (a grey picture has three equal channels).

    Turned upright as EXIF says; palettes are looked up, CMYK is converted, alpha is left out (the colours stay as stored, as an enhancer
    sees them), colour profiles are not applied. `shrink` decodes a JPEG at an eighth of its size: the whole file is still read, so that a cut
    one is found, in a fraction of the time.
    Raises InvalidFile for anything that is not a whole picture of at most 200 megapixels.
    """
    try:
        if not path.is_file():  # a pipe or a device would block for ever
            raise InvalidFile(f"{path}: {'is not a plain file' if path.exists() else 'no such file'}; expected a picture")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks about EXIF and size; size is refused below
            with Image.open(path) as image:
                _refuse(path, image)
                if shrink:
                    image.draft("RGB", (image.width // 8, image.height // 8))
                return _pixels(ImageOps.exif_transpose(image))
    except InvalidFile:
        raise
    except Image.UnidentifiedImageError as error:
        kind = f"{path.suffix.lower()} file" if os.access(path, os.R_OK) else "file"
        raise InvalidFile(f"{path}: this {kind} is not a picture that Pillow can read; expected JPEG, PNG, WebP, TIFF or BMP") from error
    except (*DAMAGED, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidFile(f"{path}: cannot be read ({reason}); expected a whole picture") from error


def read_size(path: Path) -> tuple[int, int]:
    """(width, height) from the file's header, not turned. Raises InvalidFile."""
    try:
        with Image.open(path) as image:
            return image.size
    except (*DAMAGED, Image.DecompressionBombError) as error:  # UnidentifiedImageError is an OSError
        raise InvalidFile(f"{path}: is not a picture; expected one") from error


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """uint16 -> uint8, rounded; uint8 as it is."""
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _refuse(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise InvalidFile(f"{path}: {image.width}x{image.height} pixels; expected at most {MAX_PIXELS // 1_000_000} megapixels")
    # The range of such values is not known: 10 to 32 bits, or light in any unit.
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise InvalidFile(f"{path}: {image.format} with {image.mode} values; expected 8 bits, or 16 bits grey: convert it first")


def _pixels(image: Image.Image) -> np.ndarray:
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Image.convert("RGB") would cut everything above 255 to white.
        grey = np.asarray(image).astype(np.uint16)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    return np.asarray(image.convert("RGB"))
