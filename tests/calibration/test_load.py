"""Sets by name and folder, and what is wrong with them."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

import edgekit_calibration
from edgekit.errors import InvalidFile, UnknownName
from edgekit_calibration.make_sets import HERE
from edgekit_calibration.setfile import Entry, SetFile, file_sha256, read_set_file, write_set_file


def photo(path, size=(64, 48), seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).save(path, **options)
    return path


@pytest.fixture
def small_set(tmp_path):
    """Two of the shipped pictures as a set of their own."""
    folder = tmp_path / "mine"
    folder.mkdir()
    entries = read_set_file(HERE / "photos").picture[:2]
    for entry in entries:
        shutil.copy(HERE / "photos" / entry.file, folder)
    write_set_file(folder, SetFile("mine", "two", entries))
    return folder


def refused(folder, match):
    with pytest.raises(InvalidFile, match=match) as caught:
        edgekit_calibration.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_built_set(small_set):
    found = edgekit_calibration.load(str(small_set))
    assert found == edgekit_calibration.load(small_set)
    assert found.name == "mine" and len(found.pictures) == 2 and not found.unreadable
    assert found.pictures[0].licence == edgekit_calibration.load("photos").pictures[0].licence
    moved = small_set.rename(small_set.parent / "elsewhere")
    assert edgekit_calibration.load(moved).sha256 == found.sha256


def test_an_altered_picture(small_set):
    path = next(small_set.glob("*.webp"))
    path.write_bytes(path.read_bytes() + b"\0")
    assert path.name in refused(small_set, "altered")


def test_a_missing_picture(small_set):
    path = next(small_set.glob("*.webp"))
    path.unlink()
    assert path.name in refused(small_set, "is missing")


def test_a_listed_file_that_is_no_picture(small_set):
    (small_set / "a.webp").write_bytes(b"no picture")
    write_set_file(small_set, SetFile("mine", "", (Entry("a.webp", "", file_sha256(small_set / "a.webp"), 8, 8),)))
    refused(small_set, "is not a picture")


def test_a_picture_of_another_size_than_listed(small_set):
    photo(small_set / "a.png", (64, 48))
    write_set_file(small_set, SetFile("mine", "", (Entry("a.png", "", file_sha256(small_set / "a.png"), 64, 64),)))
    refused(small_set, "is 64x48, but set.toml says 64x64")


def test_a_picture_that_disappears_later(small_set):
    found = edgekit_calibration.load(small_set)
    found.pictures[0].path.unlink()
    with pytest.raises(InvalidFile, match="no such file"):
        found.pictures[0].tensor()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "'name' is missing"),
        ("name = 3\ndescription = ''\npicture = []", "name is 3; expected a text"),
        ("name = 'a'\ndescription = ''\npicture = []", "lists no pictures"),
        ("name = 'a'\ncolour = 'red'", "unknown key 'colour'; expected one of name, description, picture"),
        ("name = 'a'\ndescription = ''\n[[picture]]\nfile = 'a.webp'", "'origin' is missing"),
        ("name = [", "is not TOML"),
    ],
)
def test_set_files_that_say_nonsense(tmp_path, text, match):
    (tmp_path / "set.toml").write_text(text)
    assert "set.toml" in refused(tmp_path, match)


@pytest.mark.parametrize("file", ["", "/etc/hostname", "../other/a.webp", "a/../../b.webp", "C:\\a.webp"])
def test_files_outside_the_set_are_refused(small_set, file):
    write_set_file(small_set, SetFile("mine", "", (Entry(file, "", "0" * 64, 8, 8),)))
    refused(small_set, "expected a path below the set's folder")


def test_a_picture_listed_twice(small_set):
    entry = read_set_file(small_set).picture[0]
    write_set_file(small_set, SetFile("mine", "", (entry, entry)))
    refused(small_set, "listed twice")


def test_unknown_names():
    with pytest.raises(UnknownName, match="no calibration set named 'photo'; known: photos .did you mean 'photos'"):
        edgekit_calibration.load("photo")
    with pytest.raises(UnknownName, match="known: photos"):
        edgekit_calibration.load("testset")  # parity pictures are no calibration set


@pytest.mark.parametrize("path", ["./nowhere", "holiday/2024", ""])
def test_no_such_folder(path):
    refused(path, "no such folder")


def test_a_file_is_no_folder(tmp_path):
    refused(photo(tmp_path / "a.png"), "no such folder")


def test_a_plain_folder(tmp_path):
    """Everything that can be used is, in a fixed order; the rest is named, each with its reason."""
    photo(tmp_path / "b.JPG", format="JPEG")
    photo(tmp_path / "a" / "z.webp", seed=1)
    photo(tmp_path / "a.png", seed=2)
    photo(tmp_path / "käse ü.png", seed=3)
    photo(tmp_path / "icon.png", (24, 64), seed=4)
    photo(tmp_path / ".hidden.png", seed=5)
    photo(tmp_path / ".thumbnails" / "a.png", seed=5)
    (tmp_path / "notes.txt").write_text("no picture, and not named like one")
    (tmp_path / "text.jpg").write_text("named like a picture")
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "b.JPG").read_bytes()[:-300])
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    found = edgekit_calibration.load(tmp_path)
    assert [picture.name for picture in found.pictures] == ["a.png", "a/z.webp", "b.JPG", "käse ü.png"]
    assert [line.split(":")[0] for line in found.unreadable] == ["IMG_1.HEIC", "cut.jpg", "gone.png", "icon.png", "text.jpg"]
    assert "24x64 pixels; expected at least 32" in found.unreadable[3]
    assert str(tmp_path) not in "".join(found.unreadable)
    assert found.pictures[2].tensor().shape == (1, 3, 48, 64)
    assert found == edgekit_calibration.load(str(tmp_path))


def test_links_and_loops(tmp_path):
    folder = tmp_path / "photos of mine"
    photo(folder / "a" / "one.png")
    photo(tmp_path / "elsewhere" / "two.png", seed=1)
    (folder / "a" / "back").symlink_to(folder)
    (folder / "b").symlink_to(folder / "a")
    (folder / "self").symlink_to(folder / "self")
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    found = edgekit_calibration.load(folder)
    assert sorted(picture.path.name for picture in found.pictures) == ["one.png", "two.png"]
    assert len(found.unreadable) == 1 and found.unreadable[0].startswith("self.png")


def test_a_name_that_is_not_unicode(tmp_path):
    photo(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    assert len(edgekit_calibration.load(tmp_path).pictures) == 1


def test_folders_without_a_usable_picture(tmp_path):
    refused(tmp_path, "holds no photographs; expected JPEG")
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").write_bytes(b"xx")
    assert "the first: a.jpg" in refused(tmp_path, "none of 2 pictures can be used")
