"""Every kind of picture file comes in upright and whole, and goes out with its bits, alpha, greyness, profile and EXIF."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from edgekit.errors import InvalidFile
from edgekit.picture import Pixels, SourcePicture, create_picture, open_picture, to_pixels

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]


def noise(height: int, width: int, channels: int, bits: int = 8) -> Pixels:
    return np.random.default_rng(0).integers(0, 2**bits, (height, width, channels)).astype(np.uint8 if bits == 8 else np.uint16)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def write(path: Path, picture: SourcePicture, step: int = 3) -> Path:
    with create_picture(path, picture, picture.height, picture.width) as file:
        for y in range(0, picture.height, step):
            rows = picture.pixels[y : y + step]
            file.write(rows if file.bits == picture.bits else to_pixels(torch.from_numpy(rows.transpose(2, 0, 1) / 65535.0), 8))
    return path


def foreign_png16(pixels: Pixels, colour_type: int, interlaced: bool, transparent: tuple[int, ...] = ()) -> bytes:
    """A 16-bit PNG that neither Pillow nor edgekit wrote: unfiltered, plain or in the seven passes of Adam7."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)] if interlaced else [(0, 0, 1, 1)]
    parts = [pixels[y::dy, x::dx] for y, x, dy, dx in passes]
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, int(interlaced))
    key = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + key + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (6, 5)])
@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
def test_eight_bits_in_and_out(tmp_path: Path, mode: str, channels: int, size: tuple[int, int]) -> None:
    pixels = noise(*size, channels)
    source = open_picture(save(tmp_path / "in.png", Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels, mode)))
    assert (source.height, source.width, source.bits) == (*size, 8)
    assert (source.is_grey, source.has_alpha) == (channels <= 2, channels in (2, 4))
    assert np.array_equal(source.pixels, pixels)
    with Image.open(write(tmp_path / "out.png", source)) as out:
        assert out.mode == mode
        assert np.array_equal(np.asarray(out).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (4, 2), (2, 3), (6, 4)])
def test_sixteen_bits_in_and_out(tmp_path: Path, colour_type: int, channels: int, interlaced: bool) -> None:
    pixels = noise(11, 13, channels, 16)
    (tmp_path / "in.png").write_bytes(foreign_png16(pixels, colour_type, interlaced))
    source = open_picture(tmp_path / "in.png")
    assert source.bits == 16
    assert np.array_equal(source.pixels, pixels)
    out = write(tmp_path / "out.png", source)
    assert out.read_bytes()[24:26] == bytes([16, colour_type])
    assert np.array_equal(open_picture(out).pixels, pixels)


@pytest.mark.parametrize(("colour_type", "key"), [(0, (700,)), (2, (700, 1, 65535))])
def test_sixteen_bit_transparent_colour(tmp_path: Path, colour_type: int, key: tuple[int, ...]) -> None:
    pixels = noise(4, 5, len(key), 16)
    pixels[2, 3] = key
    (tmp_path / "in.png").write_bytes(foreign_png16(pixels, colour_type, False, key))
    source = open_picture(tmp_path / "in.png")
    assert source.has_alpha
    assert np.argwhere(source.pixels[..., -1] == 0).tolist() == [[2, 3]]


@pytest.mark.parametrize("order", ["I;16", "I;16B"])
def test_sixteen_bit_grey_tiff(tmp_path: Path, order: str) -> None:
    pixels = noise(4, 5, 1, 16)
    image = Image.frombytes(order, (5, 4), pixels.astype("<u2" if order == "I;16" else ">u2").tobytes())
    assert np.array_equal(open_picture(save(tmp_path / "in.tiff", image)).pixels, pixels)


def test_rows_are_floats_in_any_order(tmp_path: Path) -> None:
    pixels = noise(6, 5, 4)
    source = SourcePicture("x", pixels)
    rows = [3, 0, 0, 5]
    expected = torch.from_numpy(pixels[rows]).permute(2, 0, 1) / 255
    assert torch.equal(source.colour(rows), expected[:3]) and torch.equal(source.alpha(rows), expected[3:])
    grey = SourcePicture("x", noise(6, 5, 2, 16))
    assert torch.equal(grey.colour(rows)[0], grey.colour(rows)[2])
    assert torch.equal(grey.alpha(rows)[0], torch.from_numpy(grey.pixels[rows, :, 1].astype(np.float32)) / 65535)


@pytest.mark.parametrize("bits", [8, 16])
def test_every_value_survives_the_way_through_floats(bits: int) -> None:
    values = np.arange(2**bits).astype(np.uint8 if bits == 8 else np.uint16).reshape(-1, 1, 1)
    source = SourcePicture("x", values)
    assert np.array_equal(to_pixels(source.colour(range(len(values)))[:1], bits), values)
    assert to_pixels(torch.tensor([[[-3.0, 0.4999 / 255, 0.5001 / 255, 2.0]]]), 8).flatten().tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "16.png"])
def test_exif_orientation_is_applied_once(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = (np.add.outer(np.arange(12) * 9, np.arange(20) * 5)[..., None] + [0, 20, 40]).astype(np.uint8)
    if suffix == "16.png":
        path = tmp_path / "in.png"
        plain = foreign_png16(smooth.astype(np.uint16) * 257, 2, False)
        body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
        path.write_bytes(plain[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + plain[33:])
    else:
        path = save(tmp_path / f"in.{suffix}", Image.fromarray(smooth), exif=exif)
    source = open_picture(path)
    with Image.open(path) as image:
        expected = ImageOps.exif_transpose(image)
    assert np.array_equal(source.pixels >> (source.bits - 8), np.asarray(expected))
    assert (source.height, source.width) == ((12, 20) if orientation < 5 else (20, 12))
    with Image.open(write(tmp_path / "out.png", source)) as out:
        assert 0x0112 not in out.getexif()


def test_descriptive_exif_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x0100] = "Maker", 6, 999
    exif.get_ifd(0x8769).update({0x829A: 0.25, 0xA002: 999})
    exif.get_ifd(0x8825).update({1: "N", 2: (59.0, 20.0, 0.0)})
    source = open_picture(save(tmp_path / "in.jpg", Image.fromarray(noise(8, 8, 3)), exif=exif))
    for name in ("out.png", "out.jpg", "out.webp"):
        with Image.open(write(tmp_path / name, source)) as out:
            kept = out.getexif()
            assert kept[0x010F] == "Maker" and not {0x0112, 0x0100} & set(kept)
            assert dict(kept.get_ifd(0x8769)) == {0x829A: 0.25}
            assert kept.get_ifd(0x8825)[1] == "N"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0MM\0*\xff\0\0\0"])
def test_damaged_exif_is_left_out_quietly(tmp_path: Path, exif: bytes) -> None:
    pixels = noise(8, 8, 3) // 8
    source = open_picture(save(tmp_path / "in.webp", Image.fromarray(pixels), exif=exif, lossless=True))
    assert source.exif is None and np.array_equal(source.pixels, pixels)


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp"])
def test_profile_is_kept(tmp_path: Path, name: str) -> None:
    # Any valid RGB profile stands for Display P3: the bytes are what counts.
    profile = SRGB + b"\0" * 100
    source = open_picture(save(tmp_path / "in.jpg", Image.fromarray(noise(8, 8, 3)), icc_profile=profile))
    with Image.open(write(tmp_path / name, source)) as out:
        assert out.info["icc_profile"] == profile


def test_profile_of_another_colour_space_is_dropped(tmp_path: Path) -> None:
    assert open_picture(save(tmp_path / "a.jpg", Image.fromarray(noise(8, 8, 1)[..., 0]), icc_profile=SRGB)).icc_profile is None
    assert open_picture(save(tmp_path / "b.jpg", Image.fromarray(noise(8, 8, 1)[..., 0]), icc_profile=GREY_PROFILE)).icc_profile == GREY_PROFILE


def test_other_modes_are_converted(tmp_path: Path) -> None:
    rgb = Image.fromarray(noise(9, 8, 3))
    palette = rgb.quantize(16)
    assert np.array_equal(open_picture(save(tmp_path / "p.png", palette)).pixels, np.asarray(palette.convert("RGB")))
    assert np.array_equal(open_picture(save(tmp_path / "p.gif", palette)).pixels, np.asarray(palette.convert("RGB")))
    see_through = open_picture(save(tmp_path / "t.png", palette, transparency=3))
    assert np.array_equal(see_through.pixels, np.asarray(Image.open(tmp_path / "t.png").convert("RGBA")))
    assert (see_through.pixels[..., 3] == 0).any()
    black_and_white = rgb.convert("1")
    assert np.array_equal(open_picture(save(tmp_path / "1.png", black_and_white)).pixels[..., 0], np.asarray(black_and_white.convert("L")))
    grey_key = open_picture(save(tmp_path / "k.png", rgb.convert("L"), transparency=int(np.asarray(rgb.convert("L"))[0, 0])))
    assert grey_key.is_grey and grey_key.has_alpha and grey_key.pixels[0, 0, 1] == 0
    cmyk = open_picture(save(tmp_path / "c.jpg", Image.new("CMYK", (4, 4), (0, 255, 255, 0)), quality=100))
    assert cmyk.pixels.shape == (4, 4, 3) and abs(cmyk.pixels.astype(int) - [255, 0, 0]).max() <= 3
    behind = {"save_all": True, "append_images": [Image.new("RGB", (4, 4))]}
    assert open_picture(save(tmp_path / "phone.jpg", rgb, format="MPO", **behind)).pixels.shape == (9, 8, 3)
    bitmap = open_picture(save(tmp_path / "b.bmp", rgb))
    assert np.array_equal(bitmap.pixels, np.asarray(rgb))


def refused(path: Path, says: str) -> None:
    with pytest.raises(InvalidFile, match=says) as caught:
        open_picture(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tiff", "gif", "bmp", "16.png"])
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    if kind == "16.png":
        whole = foreign_png16(noise(40, 40, 3, 16), 2, False)
    else:
        whole = save(tmp_path / f"whole.{kind}", Image.fromarray(noise(40, 40, 3))).read_bytes()
    path = tmp_path / f"cut.{kind}"
    random = np.random.default_rng(0)
    for length in (0, 1, 10, len(whole) // 4, len(whole) // 2, len(whole) * 3 // 4):
        path.write_bytes(whole[:length])
        refused(path, "not a picture|could not be read")
    for _ in range(100):
        broken = bytearray(whole)
        for position in random.integers(0, min(len(whole), 200), 4):
            broken[position] = random.integers(256)
        path.write_bytes(broken)
        try:
            open_picture(path)
        except InvalidFile as error:
            assert "\n" not in str(error)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", "not a picture; expected PNG, JPEG, WebP, TIFF, BMP or GIF")
    refused(tmp_path / "absent.png", "no such file; expected a picture")
    refused(tmp_path, "could not be read")
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue")]
    refused(save(tmp_path / "moving.gif", frames[0], save_all=True, append_images=frames[1:]), "has 2 frames; expected a still picture")
    refused(save(tmp_path / "float.tiff", Image.new("F", (4, 4))), "TIFF with 32 bits")


def test_colour_tiff_of_sixteen_bits_is_refused(tmp_path: Path) -> None:
    pack = struct.pack
    data = noise(2, 2, 3, 16).astype("<u2").tobytes()
    entries = [(256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 3, 134), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 140), (277, 3, 1, 3), (278, 3, 1, 2)]
    entries.append((279, 4, 1, len(data)))
    ifd = pack("<H", len(entries)) + b"".join(pack("<HHII", *e) for e in entries) + pack("<I", 0)
    (tmp_path / "deep.tiff").write_bytes((b"II*\0" + pack("<I", 8) + ifd).ljust(134, b"\0") + pack("<3H", 16, 16, 16) + data)
    refused(tmp_path / "deep.tiff", "TIFF with 16 bits .* expected 8 bits, or a 16-bit PNG")


def test_bombs_are_refused_and_large_pictures_are_not(tmp_path: Path) -> None:
    def bomb(width: int, height: int) -> Path:
        path = tmp_path / f"{width}.png"
        packer = zlib.compressobj(9)
        row = b"\0" + b"\0" * ((width + 7) // 8)
        data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks))
        return path

    limit = Image.MAX_IMAGE_PIXELS
    refused(bomb(20_001, 10_000), "20001x10000 is 200 megapixels; expected at most 200")
    assert open_picture(bomb(18_500, 10_000)).pixels.shape == (10_000, 18_500, 1)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("name", "channels", "size", "says"),
    [
        ("x.jpg", 4, (4, 4), r"JPEG cannot hold; expected a name that ends in \.png or \.webp"),
        ("x.webp", 3, (4, 16384), r"16384x4 is too large for WEBP; expected sides of at most 16383 px"),
        ("x.jpg", 3, (65536, 4), "4x65536 is too large for JPEG"),
        ("x.jpg", 3, (10_001, 10_000), "100 megapixels as JPEG need too much memory"),
        ("x.tiff", 3, (4, 4), r"unknown picture format; expected a name that ends in \.png, \.jpg"),
        ("absent/x.png", 3, (4, 4), "could not be written .No such file"),
    ],
)
def test_output_that_cannot_be_is_refused_at_once(tmp_path: Path, name: str, channels: int, size: tuple[int, int], says: str) -> None:
    with pytest.raises(InvalidFile, match=says) as caught:
        with create_picture(tmp_path / name, SourcePicture("x", noise(2, 2, channels)), *size):
            pytest.fail("no rows should be asked for")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_grey_with_profile_does_not_fit_webp(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="grey with a colour profile"):
        write(tmp_path / "x.webp", SourcePicture("x", noise(2, 2, 1), GREY_PROFILE))


@pytest.mark.parametrize(("name", "channels", "mode"), [("x.jpg", 1, "L"), ("x.jpeg", 3, "RGB"), ("x.webp", 3, "RGB"), ("x.webp", 4, "RGBA")])
def test_jpeg_and_webp(tmp_path: Path, name: str, channels: int, mode: str) -> None:
    flat = np.tile(np.array([200, 100, 50, 128], np.uint8)[:channels], (20, 30, 1))
    for pixels in (flat, flat.astype(np.uint16) * 257):
        with Image.open(write(tmp_path / name, SourcePicture("x", pixels))) as out:
            assert out.mode == mode
            assert np.abs(np.asarray(out).reshape(flat.shape).astype(int) - flat).max() <= 3


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"old")
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with pytest.raises(error), create_picture(path, SourcePicture("x", noise(2, 2, 3)), 2, 2) as file:
            file.write(noise(1, 2, 3))
            raise error
    with pytest.raises(ValueError, match="1 rows were written; expected 2"), create_picture(path, SourcePicture("x", noise(2, 2, 3)), 2, 2) as file:
        file.write(noise(1, 2, 3))
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"] and path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_a_full_disk_is_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(InvalidFile, match="could not be written .*; expected a writable folder with free space"):
            write(path, SourcePicture("x", noise(300, 300, 3)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in tmp_path.iterdir()] == [name] and path.read_bytes() == b"old"


def test_png_is_accepted_by_a_strict_reader(tmp_path: Path) -> None:
    """Every chunk's length and checksum, the order of chunks, one zlib stream: read here by hand."""
    pixels = noise(7, 5, 3, 16)
    data = write(tmp_path / "x.png", SourcePicture("x", pixels, SRGB, b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"), step=2).read_bytes()
    stream, kinds, deflated = io.BytesIO(data[8:]), [], b""
    while head := stream.read(8):
        length, kind = struct.unpack(">I4s", head)
        body = stream.read(length)
        assert struct.unpack(">I", stream.read(4))[0] == zlib.crc32(kind + body)
        kinds.append(kind)
        deflated += body if kind == b"IDAT" else b""
    assert kinds[:3] == [b"IHDR", b"iCCP", b"eXIf"] and kinds[-1] == b"IEND" and set(kinds[3:-1]) == {b"IDAT"}
    rows = np.frombuffer(zlib.decompress(deflated), np.uint8).reshape(7, 31)
    assert (rows[:, 0] == 2).all()
    assert np.array_equal(np.cumsum(rows[:, 1:], 0, dtype=np.uint8).view(">u2").reshape(7, 5, 3), pixels)


def test_importing_reads_no_toolchain() -> None:
    code = "import sys, edgekit.enhance; print([m for m in ('executorch', 'coremltools', 'litert_torch', 'onnx', 'tensorflow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
