"""Training crops: which squares are cut, what a packed file holds, and that no test picture is among them."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import edgekit_calibration
from edgekit.errors import InvalidFile
from edgekit_calibration import crops
from edgekit_calibration.crop import reduced
from edgekit_calibration.crops import FLAT, SIDE, Seen, cut_crops, detail, grid, pack, read
from edgekit_calibration.pixels import read_pixels


def noise(side: int, seed: int = 0, strength: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, strength, (side, side, 3), dtype=np.uint8)


def test_squares_lie_side_by_side_in_the_middle():
    """Each pixel of this picture tells its place."""
    place = np.stack([*np.meshgrid(np.arange(50), np.arange(70), indexing="ij"), np.zeros((50, 70))], 2).astype(np.uint8)
    squares = list(grid(place, 16))
    assert len(squares) == 3 * 4 and all(square.shape == (16, 16, 3) for square in squares)
    covered = {(int(y), int(x)) for square in squares for y, x, _ in square.reshape(-1, 3)}
    assert len(covered) == 12 * 16 * 16, "no pixel twice"
    assert covered == {(y, x) for y in range(1, 49) for x in range(3, 67)}
    assert not list(grid(place[:15], 16))


def test_a_photograph_is_reduced_then_cut():
    """1100 x 900 px, halved as the sets' are, hold two squares of 256."""
    pixels = np.asarray(Image.fromarray(noise(60)).resize((1100, 900), Image.Resampling.BICUBIC))
    whole = np.asarray(reduced(pixels))
    assert whole.shape == (450, 550, 3)
    found = cut_crops([pixels])
    expected = sorted(grid(whole, SIDE), key=detail, reverse=True)
    assert len(found) == len(expected) == 2 and all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_16_bits_are_cut_to_8():
    (crop,) = cut_crops([noise(16).astype(np.uint16) * 257], 16)
    assert crop.dtype == np.uint8 and np.array_equal(crop, noise(16))


def test_flat_squares_are_left_out_and_the_best_come_first():
    strong, weak, flat = noise(16), noise(16, strength=16), np.full((16, 16, 3), 90, np.uint8)
    flat[:, 8:] = 91
    assert detail(strong) > detail(weak) > FLAT > detail(flat) > 0
    found = cut_crops([np.concatenate([flat, weak, flat, strong], 1)], 16)
    assert [np.array_equal(*pair) for pair in zip(found, (strong, weak), strict=True)] == [True, True]


def test_a_flat_photograph_gives_its_best_square():
    flat = np.zeros((16, 48, 3), np.uint8)
    flat[:, 16:32:8] = 4
    found = cut_crops([flat, noise(16)], 16)
    assert len(found) == 2 and np.array_equal(found[0], flat[:, 16:32]) and 0 < detail(found[0]) < FLAT


def groups(side: int = 32) -> list[tuple[str, list[np.ndarray]]]:
    return [("a", [noise(side, 1), noise(side, 2), noise(side, 3)]), ("b", [noise(side, 4)]), ("c", [])]


def test_what_was_packed_is_read(tmp_path):
    assert pack(groups(), tmp_path / "crops.zip") == 4
    found = read(tmp_path / "crops.zip")
    assert found.shape == (4, 3, 32, 32) and found.dtype == np.uint8
    expected = [noise(32, seed).transpose(2, 0, 1) for seed in (1, 2, 3, 4)]
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True)), "lossless, in the order of their names"
    assert [path.name for path in tmp_path.iterdir()] == ["crops.zip"], "nothing half-written stays"


def test_the_same_crops_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        pack(groups(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with zipfile.ZipFile(tmp_path / "one") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def packed(tmp_path, most_bytes: int, groups) -> list[str]:
    count, file = pack(groups, tmp_path / "x.zip", most_bytes), tmp_path / "x.zip"
    assert file.stat().st_size <= most_bytes
    with zipfile.ZipFile(file) as archive:
        assert len(archive.namelist()) == count
        return archive.namelist()


def test_a_full_file_holds_the_first_of_each_photograph_then_the_second(tmp_path):
    many = [(name, [noise(32, seed) for seed in range(5)]) for name in ("a", "b", "c")]
    order = packed(tmp_path, 10**9, many)
    assert order[:4] == ["a-000.webp", "b-000.webp", "c-000.webp", "a-001.webp"] and len(order) == 15
    for most_bytes in range(4000, 50_000, 3000):
        found = packed(tmp_path, most_bytes, many)
        assert found == order[: len(found)] and (0 < len(found) < 15 or most_bytes > 40_000)


def test_a_full_file_takes_no_smaller_crop_out_of_turn(tmp_path):
    """Else the photographs with little to show, which pack small, would fill what the others have left."""
    small = np.zeros((32, 32, 3), np.uint8)
    assert packed(tmp_path, 6000, [("a", [noise(32), small]), ("b", [noise(32, 1), small]), ("c", [small, small])]) == ["a-000.webp"]


def webp(pixels: np.ndarray, kind: str = "WEBP") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, lossless=True)
    return buffer.getvalue()


def archive(path, members: dict[str, bytes]):
    with zipfile.ZipFile(path, "w") as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "holds 0 pictures of 0 sizes; expected crops of one size$"),
        ({"a.webp": webp(noise(16)), "b.webp": webp(noise(24))}, "holds 2 pictures of 2 sizes; expected crops of one size$"),
        ({"a.webp": b"no picture"}, r"is not a file of training crops \(cannot identify image file"),
        ({"a.webp": webp(noise(16))[:-40]}, "is not a file of training crops"),
        ({"a.webp": webp(noise(16), "PNG")}, "is not a file of training crops"),
        ({"a.webp": webp(np.zeros((2, 2000, 3), np.uint8))}, "a.webp is 2000x2; expected squares of 256 px$"),
        ({"a.webp": webp(np.zeros((16, 24, 3), np.uint8))}, "a.webp is 24x16; expected squares"),
    ],
    ids=["empty", "mixed sizes", "no picture", "cut picture", "png", "huge", "oblong"],
)
def test_an_archive_of_something_else_is_refused(tmp_path, members, message):
    with pytest.raises(InvalidFile, match=rf"^{tmp_path}/x.zip: .*{message}"):
        read(archive(tmp_path / "x.zip", members))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"garbage" * 100, webp(noise(16))], ids=["empty", "header", "garbage", "picture"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, data):
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(InvalidFile, match="is not a file of training crops .*; expected one that `make crops` wrote, or a folder of photographs$"):
        read(tmp_path / "x.zip")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidFile, match="nowhere.zip: is not a file of training crops .*No such file"):
        read(tmp_path / "nowhere.zip")


def test_every_cut_and_altered_copy_is_refused_or_read(tmp_path):
    """Never another error."""
    pack(groups(16), tmp_path / "good.zip")
    good, file, random = (tmp_path / "good.zip").read_bytes(), tmp_path / "x.zip", np.random.default_rng(0)
    refused = 0
    for number in range(300):
        data = bytearray(good)
        if number % 3:
            for place in random.integers(len(good), size=1 + number % 5):
                data[place] = random.integers(256)
        else:
            del data[random.integers(len(good)) :]
        file.write_bytes(data)
        try:
            assert read(file).shape[1] == 3
        except InvalidFile:
            refused += 1
    assert refused > 100


def test_an_archive_that_unpacks_to_gigabytes_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(crops, "MOST_BYTES", 10_000)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.webp", bytes(30_000))
    with pytest.raises(InvalidFile, match="holds more than 20000 bytes"):
        read(tmp_path / "x.zip")


@pytest.fixture(scope="module")
def seen() -> Seen:
    return Seen(edgekit_calibration.test_set(), SIDE)


def large_test_pictures() -> list:
    found = [picture for picture in edgekit_calibration.test_set().pictures if min(read_pixels(picture.path).shape[:2]) >= SIDE + 16]
    assert len(found) >= 10
    return found


def window(pixels: np.ndarray, y: int, x: int) -> np.ndarray:
    return np.ascontiguousarray(pixels[y : y + SIDE, x : x + SIDE])


def test_a_planted_window_of_a_test_picture_is_found(seen):
    for picture in large_test_pictures():
        assert seen.in_test_picture(window(read_pixels(picture.path), 0, 0)) == picture.name


@pytest.mark.parametrize(("down", "right"), [(10, 10), (4, 0), (12, 4)])
def test_a_brightened_and_shifted_window_is_found(seen, down, right):
    """4 px is as far as a window can lie from the nearest one that is compared."""
    for picture in large_test_pictures():
        shifted = window(read_pixels(picture.path), down, right).astype(np.float32)
        brightened = (shifted * 1.1 + 8).clip(0, 255).astype(np.uint8)
        assert seen.in_test_picture(brightened) == picture.name, picture.name


def test_a_whole_test_picture_smaller_than_a_crop_is_found(seen):
    small = [picture for picture in edgekit_calibration.test_set().pictures if max(read_pixels(picture.path).shape[:2]) < SIDE]
    assert small
    for picture in small:
        with Image.open(picture.path) as image:
            assert seen.in_test_picture(np.asarray(image.convert("RGB").resize((SIDE, SIDE)))) == picture.name


def test_other_photographs_are_not_flagged(seen):
    flagged = []
    for picture in edgekit_calibration.load("photos").pictures:
        pixels = read_pixels(picture.path)
        if min(pixels.shape[:2]) >= SIDE:
            flagged += [(picture.name, found) for crop in grid(pixels, SIDE) if detail(crop) >= FLAT and (found := seen.in_test_picture(crop))]
    assert not flagged


def test_the_command_packs_the_photographs_behind_the_set(tmp_path, monkeypatch):
    """With one photograph of each role in place of the downloads: the test picture's own must not get in, by role or by look."""
    from edgekit_calibration.sources import read_sources

    sources, originals = read_sources(), {}
    test_picture = large_test_pictures()[0]
    planted = ""
    for photograph in sources.photograph:
        path = tmp_path / f"{photograph.id}.png"
        if photograph.role == "calibration" and not planted:
            planted = photograph.id
            Image.fromarray(window(read_pixels(test_picture.path), 0, 0)).save(path)
        else:
            Image.fromarray(np.asarray(Image.fromarray(noise(24, len(originals))).resize((SIDE, SIDE)))).save(path)
        originals[photograph.id] = path
    monkeypatch.setattr(crops, "fetch", lambda directory, *, sources: originals)
    lines: list[str] = []
    test = replace(edgekit_calibration.test_set(), pictures=(test_picture,))
    count = crops.make(tmp_path / "originals", tmp_path / "new" / "crops.zip", test, say=lines.append)
    assert any(line == f"left out: a crop of {planted} resembles test picture {test_picture.name}" for line in lines)
    with zipfile.ZipFile(tmp_path / "new" / "crops.zip") as opened:
        packed_ids = {name.rsplit("-", 1)[0] for name in opened.namelist()}
    calibration = {photograph.id for photograph in sources.photograph if photograph.role == "calibration"}
    assert planted not in packed_ids <= calibration and len(packed_ids) == count == len(calibration) - len(lines)
