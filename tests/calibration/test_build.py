"""A set from a folder of one's own."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgekit_calibration
from edgekit.errors import InvalidFile
from edgekit_calibration.build import build
from edgekit_calibration.crop import TooSmall, cut
from edgekit_calibration.pixels import read_pixels


def photo(path, size, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).save(path, **options)
    return path


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "holiday"
    photo(folder / "large.jpg", (800, 600))
    photo(folder / "trip" / "small.png", (300, 210), seed=1)
    photo(folder / "tiny.png", (191, 400), seed=2)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_build(tmp_path, source):
    steps = []
    report = build(source, tmp_path / "set", size=240, progress=lambda done, total: steps.append((done, total)))
    assert report.kept == ("large.jpg", "trip/small.png")
    assert [line.split(":")[0] for line in report.unreadable] == ["broken.jpg"]
    assert report.too_small == ("tiny.png: 191x400 pixels; expected at least 192 on each side",)
    assert report.not_needed == 0 and steps[-1] == (2, 4)
    found = edgekit_calibration.load(tmp_path / "set")
    assert found.name == "set" and sorted(picture.origin for picture in found.pictures) == list(report.kept)
    assert sorted(tuple(picture.tensor().shape[2:]) for picture in found.pictures) == [(192, 192), (240, 240)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday", "set"], "nothing is left beside the set"
    assert (tmp_path / "set").stat().st_mode & 0o777 == 0o777 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_same_photographs_give_the_same_set(tmp_path, source):
    build(source, tmp_path / "one", size=192)
    source.rename(tmp_path / "moved").rename(source)
    build(source, tmp_path / "two" / "one", size=192)
    assert contents(tmp_path / "one") == contents(tmp_path / "two" / "one")


def test_the_limit_takes_a_fixed_choice(tmp_path):
    for number in range(9):
        photo(tmp_path / "in" / f"{number}.png", (192, 192), seed=number)
    report = build(tmp_path / "in", tmp_path / "out", limit=4, size=192)
    assert len(report.kept) == 4 and report.not_needed == 5
    assert report.kept not in (("0.png", "1.png", "2.png", "3.png"), ("5.png", "6.png", "7.png", "8.png"))
    assert build(tmp_path / "in", tmp_path / "again", limit=4, size=192) == report


def test_a_16_bit_and_a_turned_photograph(tmp_path):
    grey = np.repeat(np.linspace(0, 65535, 200).astype(np.uint16)[None], 200, axis=0)
    (tmp_path / "in").mkdir()
    Image.fromarray(grey).save(tmp_path / "in" / "grey.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(tmp_path / "in" / "turned.jpg", (288, 192), exif=exif)
    build(tmp_path / "in", tmp_path / "out", size=192)
    pictures = {picture.origin: picture for picture in edgekit_calibration.load(tmp_path / "out").pictures}
    values = read_pixels(pictures["grey.png"].path)
    assert values[0, 0, 0] <= 11 and values[0, -1, 0] >= 244 and np.all(np.diff(values[0, :, 0].astype(int)) >= 0)
    upright = read_pixels(tmp_path / "in" / "turned.jpg")
    assert upright.shape == (288, 192, 3)
    assert any(np.array_equal(read_pixels(pictures["turned.jpg"].path), upright[top : top + 192]) for top in range(97))


def test_reduction_removes_jpeg_blocks(tmp_path):
    """The step across the borders of 8x8 blocks, against that within them, in a smooth photograph and in the set made of it."""
    photo(tmp_path / "in" / "a.jpg", (1600, 1600), quality=70)

    def blockiness(pixels, block):
        jumps = np.abs(np.diff(pixels.mean(axis=2), axis=1)).mean(axis=0)
        at_borders = np.arange(len(jumps)) % block == block - 1
        return jumps[at_borders].mean() / jumps[~at_borders].mean()

    build(tmp_path / "in", tmp_path / "out", size=384)
    before = blockiness(read_pixels(tmp_path / "in" / "a.jpg"), 8)
    assert before > 1.2
    made = read_pixels(edgekit_calibration.load(tmp_path / "out").pictures[0].path)
    assert abs(blockiness(made, 2) - 1) < (before - 1) / 3  # 1600 to 400: blocks of 2


def test_cut():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (800, 1000, 3), dtype=np.uint8)
    assert cut(pixels, 384).size == (384, 384)  # reduced by 2 only, or it would not fit
    assert cut(pixels[:600], 384).size == (288, 288)  # 600 / 2 holds 12 times 24
    assert cut(pixels[:384], 384).size == (192, 192)
    assert cut(pixels[:380], 384).size == (360, 360)  # too small to be reduced
    with pytest.raises(TooSmall, match="1000x380 pixels; expected at least 384"):
        cut(pixels[:380], 384, must_reduce=True)
    with pytest.raises(TooSmall, match="1000x100"):
        cut(pixels[:100], 384)
    assert cut(pixels[:100], 96).size == (96, 96)


def test_cut_goes_where_it_is_told_and_else_to_typical_detail():
    pixels = np.full((800, 800, 3), 128, dtype=np.uint8)
    pixels[:400, :400] = np.random.default_rng(0).integers(0, 256, (400, 400, 3))
    assert np.asarray(cut(pixels, 96, centre=(1, 1))).std() == 0
    assert np.asarray(cut(pixels, 96, centre=(0, 0))).std() > 10
    assert np.asarray(cut(pixels, 96)).std() > 1, "not the empty three quarters"


def test_an_existing_folder_is_kept(tmp_path, source):
    build(source, tmp_path / "set", size=192)
    before = contents(tmp_path / "set")
    with pytest.raises(InvalidFile, match="set: exists already; expected a new folder, or force"):
        build(source, tmp_path / "set", size=192)
    assert contents(tmp_path / "set") == before
    photo(source / "new.png", (200, 200), seed=7)
    assert "new.png" in build(source, tmp_path / "set", size=192, force=True).kept
    assert len(contents(tmp_path / "set")) == len(before) + 1


def test_force_replaces_nothing_but_a_set(tmp_path, source):
    photo(tmp_path / "album" / "wedding.png", (200, 200))
    (tmp_path / "link").symlink_to(tmp_path / "album")
    (tmp_path / "file").write_text("x")
    for name in ("album", "link", "file"):
        with pytest.raises(InvalidFile, match="something other than a set"):
            build(source, tmp_path / name, size=192, force=True)
    for out in (source, tmp_path):
        with pytest.raises(InvalidFile, match="holds the photographs themselves"):
            build(source, out, size=192, force=True)
    assert (tmp_path / "album" / "wedding.png").exists() and (source / "large.jpg").exists()


def test_a_set_inside_its_source_is_not_its_own_source(tmp_path, source):
    first = build(source, source / "set", size=192)
    assert build(source, source / "set", size=192, force=True) == first


def test_nothing_usable_leaves_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InvalidFile, match="holds no photographs"):
        build(tmp_path / "in", tmp_path / "out")
    photo(tmp_path / "in" / "icon.png", (64, 64))
    with pytest.raises(InvalidFile, match="none of 1 pictures can be used.*icon.png: 64x64"):
        build(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InvalidFile, match="no such file|no such folder"):
        build(tmp_path / "nowhere", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_interrupted_build_leaves_the_old_set(tmp_path, source):
    build(source, tmp_path / "set", size=192)
    before = contents(tmp_path / "set")

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(source, tmp_path / "set", size=192, force=True, progress=interrupt)
    assert contents(tmp_path / "set") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday", "set"]


def test_a_place_that_cannot_be_written(tmp_path, source):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidFile, match="cannot be written"):
        build(source, tmp_path / "file" / "set", size=192)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is played by Linux' /dev/full")
def test_a_full_disk(tmp_path, source, monkeypatch):
    """The set's list goes to a device without room: OSError in the middle of writing becomes one line, and nothing stays."""
    from edgekit_calibration import build as module

    def write_to_full_disk(folder, contents):
        with Path("/dev/full").open("w") as device:
            device.write("x" * 100_000)

    monkeypatch.setattr(module, "write_set_file", write_to_full_disk)
    with pytest.raises(InvalidFile, match="set: cannot be written .No space left"):
        build(source, tmp_path / "set", size=192)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday"]


@pytest.mark.parametrize("options", [{"size": 100}, {"size": 0}, {"limit": 0}])
def test_wrong_options(tmp_path, source, options):
    with pytest.raises(ValueError, match="expected"):
        build(source, tmp_path / "set", **options)
