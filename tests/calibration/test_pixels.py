"""Picture files as cameras, scanners and the web write them, and what only looks like one."""

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import InvalidFile
from edgekit_calibration import Picture
from edgekit_calibration.pixels import read_pixels, read_size, to_8_bits

GRADIENT = np.stack(np.meshgrid(np.arange(48) * 5, np.arange(40) * 6), axis=2)
RGB = np.dstack([GRADIENT, np.full((40, 48), 77)]).astype(np.uint8)  # 40 high, 48 wide


def test_rgb(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    assert np.array_equal(read_pixels(tmp_path / "a.png"), RGB)
    tensor = Picture("a", tmp_path / "a.png").tensor()
    assert tensor.shape == (1, 3, 40, 48)
    assert np.array_equal((tensor[0].permute(1, 2, 0).numpy() * 255).round(), RGB)


def test_16_bit_grey_is_not_cut(tmp_path):
    values = (np.arange(40 * 48, dtype=np.uint32).reshape(40, 48) * 34).astype(
        np.uint16
    )  # 0 to 65246: Pillow's own conversion makes nearly all of it white
    for suffix in ("png", "tif"):
        Image.fromarray(values).save(tmp_path / f"a.{suffix}")
        pixels = read_pixels(tmp_path / f"a.{suffix}")
        assert pixels.dtype == np.uint16 and np.array_equal(pixels, np.repeat(values[..., None], 3, axis=2))
        tensor = Picture("a", tmp_path / f"a.{suffix}").tensor()
        assert np.allclose(tensor[0, 1].numpy(), values / 65535, atol=1e-7)
        assert np.abs(to_8_bits(pixels)[..., 0] - values / 257).max() <= 0.5


def test_16_bit_colour_keeps_its_range(tmp_path):
    values = (np.arange(4 * 5 * 3, dtype=np.uint32).reshape(4, 5, 3) * 1100).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    pixels = read_pixels(tmp_path / "a.png")
    assert np.abs(pixels / 255 - values / 65535).max() <= 1 / 255


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "YCbCr"])
def test_other_modes_become_rgb(tmp_path, mode):
    image = Image.fromarray(RGB).convert(mode)
    path = tmp_path / ("a.jpg" if mode in ("CMYK", "YCbCr") else "a.png")
    image.save(path)
    pixels = read_pixels(path)
    assert pixels.shape == (40, 48, 3) and pixels.dtype == np.uint8
    grey = RGB @ [0.299, 0.587, 0.114]
    allowed = {"1": 60, "CMYK": 15, "P": 12, "YCbCr": 6}.get(mode, 1.5)
    assert abs((pixels @ [0.299, 0.587, 0.114]).mean() - grey.mean()) < allowed
    if mode in ("L", "LA", "1"):
        assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_colours_below_transparency_stay(tmp_path):
    Image.fromarray(np.dstack([RGB, np.zeros((40, 48), np.uint8)])).save(tmp_path / "a.png")
    assert np.array_equal(read_pixels(tmp_path / "a.png"), RGB)


@pytest.mark.parametrize(("orientation", "turned"), [(1, RGB), (2, RGB[:, ::-1]), (3, RGB[::-1, ::-1]), (6, np.rot90(RGB, -1)), (8, np.rot90(RGB))])
def test_exif_orientation(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_pixels(tmp_path / "a.png"), turned)


def test_shrinking_a_jpeg(tmp_path):
    Image.fromarray(np.tile(RGB, (10, 10, 1))).save(tmp_path / "a.jpg")
    assert read_pixels(tmp_path / "a.jpg", shrink=True).shape == (50, 60, 3)
    assert read_size(tmp_path / "a.jpg") == (480, 400)


def broken_files(folder: Path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / "whole.jpg")
    data = (folder / "whole.jpg").read_bytes()
    Image.fromarray(RGB).save(folder / "whole.png")
    png = (folder / "whole.png").read_bytes()
    yield "empty.jpg", b"", "not a picture"
    yield "text.png", b"shopping list: milk, bread", "not a picture"
    yield "html.jpg", b"<!doctype html><title>404</title>", "not a picture"
    yield "half.jpg", data[: len(data) // 2], "truncated"
    yield "half.png", png[: len(png) * 2 // 3], "cannot be read"
    yield "header.png", png[:20], "cannot be read|not a picture"
    yield "hole.png", png[:60] + b"\0" * 40 + png[100:], "cannot be read"


def test_broken_files_are_named(tmp_path):
    for name, data, reason in broken_files(tmp_path):
        (tmp_path / name).write_bytes(data)
        for shrink in (False, True):
            with pytest.raises(InvalidFile, match=reason) as caught:
                read_pixels(tmp_path / name, shrink=shrink)
            assert name in str(caught.value) and "\n" not in str(caught.value)


def test_values_without_a_known_range_are_refused(tmp_path):
    Image.fromarray(np.ones((40, 40), np.float32)).save(tmp_path / "f.tif")
    Image.fromarray(np.ones((40, 40), np.int32)).save(tmp_path / "i.tif")
    for name in ("f.tif", "i.tif"):
        with pytest.raises(InvalidFile, match="convert it first"):
            read_pixels(tmp_path / name)


def test_a_bomb_is_refused(tmp_path):
    Image.new("1", (20_000, 10_100)).save(tmp_path / "a.png")
    with pytest.raises(InvalidFile, match=r"a\.png.*pixels"):
        read_pixels(tmp_path / "a.png")


def test_what_is_no_file_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InvalidFile, match="not a plain file"):
        read_pixels(tmp_path / "pipe.jpg")
    with pytest.raises(InvalidFile, match="no such file"):
        read_pixels(tmp_path / "none.jpg")


def test_damaged_at_random_raises_nothing_else(tmp_path):
    """Whatever a decoder makes of flipped and missing bytes, callers see a picture or InvalidFile."""
    rng = np.random.default_rng(1)
    image = Image.fromarray(np.tile(RGB, (2, 2, 1)))
    for suffix in ("jpg", "png", "webp", "tif", "bmp"):
        whole = tmp_path / f"whole.{suffix}"
        image.save(whole)
        data = whole.read_bytes()
        for trial in range(60):
            altered = bytearray(data)
            for place in rng.integers(0, min(len(data), 400), 4):
                altered[place] = rng.integers(256)
            path = tmp_path / f"altered.{suffix}"
            path.write_bytes(bytes(altered[: len(data) if trial % 3 else rng.integers(len(data))]))
            with suppress(InvalidFile):
                assert read_pixels(path).ndim == 3
