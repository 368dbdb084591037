"""PNG files written row by row, so that a picture larger than the memory can be written (PNG 3rd edition, W3C, https://www.w3.org/TR/png-3/)."""

from __future__ import annotations

import struct
import zlib
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels -> PNG's colour type: grey, grey and alpha, RGB, RGBA."""


class PngWriter:
    """Writes to `file` a picture of `channels` 1 to 4 (grey, grey and alpha, RGB, RGBA) of `bits` 8 or 16. Leaving the context ends the file.

    `icc_profile` and `exif` (without orientation) are stored as they are. Every row is filtered with "Up" and deflated at level 1 with run lengths
    only: on photographs as small as the default effort to a few per cent, at four times its speed.
    """

    def __init__(
        self, file: BinaryIO, width: int, height: int, channels: int, bits: int, icc_profile: bytes | None = None, exif: bytes | None = None
    ) -> None:
        self.bits = bits
        self._file, self._height, self._written = file, height, 0
        self._deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
        self._above = np.zeros((1, width * channels * bits // 8), np.uint8)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, _COLOUR_TYPE[channels], 0, 0, 0))
        if icc_profile:
            self._chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
        if exif:
            self._chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))

    def write(self, rows: NDArray[np.uint8 | np.uint16]) -> None:
        """Appends (n, width, channels) rows, uint8 or uint16 as `bits` says."""
        raw = np.ascontiguousarray(rows, ">u2" if rows.dtype == np.uint16 else np.uint8).view(np.uint8).reshape(len(rows), -1)
        filtered = np.empty((len(raw), 1 + raw.shape[1]), np.uint8)
        filtered[:, 0] = 2
        np.subtract(raw, np.concatenate([self._above, raw[:-1]]), out=filtered[:, 1:])
        self._above = raw[-1:].copy()
        self._written += len(raw)
        self._data(self._deflate.compress(filtered.data))

    def __enter__(self) -> PngWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            return
        if self._written != self._height:
            raise ValueError(f"{self._written} rows were written; expected {self._height}")
        self._data(self._deflate.flush())
        self._chunk(b"IEND", b"")

    def _data(self, deflated: bytes) -> None:
        if deflated:
            self._chunk(b"IDAT", deflated)

    def _chunk(self, kind: bytes, body: bytes) -> None:
        self._file.write(struct.pack(">I", len(body)) + kind)
        self._file.write(body)
        self._file.write(struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))))
