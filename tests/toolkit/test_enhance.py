"""Whole pictures through tiles: the stitched result, every kind of picture, nothing half-written, memory that does not grow with the picture."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms
from torch import Tensor, nn

from edgekit import tiles
from edgekit.enhance import TileSpec, enhance, enhance_tensor, enhance_whole
from edgekit.errors import EdgekitError, InvalidFile
from edgekit.picture import SourcePicture, open_picture

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SPEC = TileSpec((16, 24), 4)
TWICE = TileSpec((16, 24), 4, scale=2)


def identity(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return inputs


def nearest(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0].repeat_interleave(2, 2).repeat_interleave(2, 3),)


def picture(height: int, width: int, channels: int, bits: int = 8, **more: bytes) -> SourcePicture:
    values = np.random.default_rng(0).integers(0, 2**bits, (height, width, channels))
    return SourcePicture("in.png", values.astype(np.uint8 if bits == 8 else np.uint16), **more)


def network(scale: int) -> tuple[nn.Module, Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]]:
    """Radius 3, outputs mostly within [0, 1]; and the session that runs it and insists on what a runtime insists on."""
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3 * scale**2, 5, padding=2), nn.PixelShuffle(scale), nn.Sigmoid()]
    net = nn.Sequential(*body).eval()

    def session(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        assert inputs[0].is_contiguous() and inputs[0].shape == (1, 3, 16, 24) and inputs[0].dtype == torch.float32
        with torch.no_grad():
            return (net(inputs[0]),)

    return net, session


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (127, 1), (9, 17), (16, 24), (8, 16), (67, 49)])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_stitched_is_whole(size: tuple[int, int], scale: int) -> None:
    net, session = network(scale)
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))
    rows, columns = ([tiles.reflect_index(i, n) for i in range(-4, n + 4)] for n in size)
    with torch.no_grad():
        whole = net(image[:, :, rows][..., columns])[..., 4 * scale : -4 * scale, 4 * scale : -4 * scale]
    stitched = enhance_tensor(session, TileSpec((16, 24), 4, scale), image)
    torch.testing.assert_close(stitched, whole, rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (31, 1), (30, 37)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_identity_returns_every_kind_of_picture(tmp_path: Path, size: tuple[int, int], channels: int, bits: int) -> None:
    source = picture(*size, channels, bits, icc_profile=PROFILE if channels > 2 else None)
    enhance(identity, SPEC, [source], tmp_path / "out.png")
    result = open_picture(tmp_path / "out.png")
    assert result.bits == bits and result.icc_profile == source.icc_profile
    assert np.array_equal(result.pixels, source.pixels)


def test_uint8_models_get_and_give_bytes(tmp_path: Path) -> None:
    source = picture(20, 30, 3)
    seen = []

    def session(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        seen.append(inputs[0].dtype)
        return (255 - inputs[0],)

    enhance(session, TileSpec((16, 24), 4, io="uint8"), [source], tmp_path / "out.png")
    assert set(seen) == {torch.uint8}
    assert np.array_equal(open_picture(tmp_path / "out.png").pixels, 255 - source.pixels)


def test_grey_is_the_mean_of_three_results(tmp_path: Path) -> None:
    weights = torch.tensor([0.0, 0.3, 0.9])[:, None, None]
    source = picture(9, 9, 1)
    enhance(lambda x: (x[0] * weights,), SPEC, [source], tmp_path / "out.png")
    assert np.abs(open_picture(tmp_path / "out.png").pixels - source.pixels * 0.4).max() <= 0.51


def test_bgr_models_get_bgr() -> None:
    image = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    only_first = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    result = enhance_tensor(lambda x: (x[0] * only_first,), TileSpec((16, 16), 2, colours=("bgr",), result="bgr"), image)
    assert torch.equal(result[0, 2], image[0, 2]) and not result[0, :2].any()


def test_luma_models_get_luma_and_colour_is_bicubic() -> None:
    image = torch.rand(1, 3, 21, 34, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
    spec = TileSpec((16, 24), 4, 2, colours=("luma",), result="luma")

    def bicubic(x: Tensor) -> Tensor:
        return F.interpolate(F.pad(x, (3, 3, 3, 3), mode="reflect"), scale_factor=2, mode="bicubic")[..., 6:-6, 6:-6]

    def session(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        assert inputs[0].shape == (1, 1, 16, 24)
        return (F.interpolate(inputs[0], scale_factor=2, mode="bicubic"),)

    torch.testing.assert_close(enhance_tensor(session, spec, image), bicubic(image), rtol=0, atol=1e-5)
    brighter = enhance_tensor(lambda x: (session(x)[0] + 0.1,), spec, image)
    torch.testing.assert_close(brighter, (bicubic(image) + 0.1).clamp(0, 1), rtol=0, atol=1e-5)


def test_alpha_is_enlarged_bicubically_without_seams(tmp_path: Path) -> None:
    source = picture(37, 29, 4)
    enhance(nearest, TWICE, [source], tmp_path / "out.png")
    result = open_picture(tmp_path / "out.png").pixels
    assert np.array_equal(result[..., :3], source.pixels[..., :3].repeat(2, 0).repeat(2, 1))
    alpha = torch.from_numpy(source.pixels[..., 3]).float()[None, None]
    expected = F.interpolate(F.pad(alpha, (3, 3, 3, 3), mode="reflect"), scale_factor=2, mode="bicubic")[0, 0, 6:-6, 6:-6].clamp(0, 255)
    assert np.abs(result[..., 3] - expected.numpy()).max() <= 0.51


def test_values_outside_the_range_are_clamped_never_stretched() -> None:
    result = enhance_tensor(lambda x: (x[0] * 3 - 1,), SPEC, torch.tensor([0.1, 0.5, 0.9]).view(1, 3, 1, 1))
    assert result.flatten().tolist() == pytest.approx([0, 0.5, 1])


def test_jpeg_with_rotation_and_profile_to_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    ramp = np.add.outer(np.arange(30) * 4, np.arange(40) * 3)[..., None].repeat(3, 2).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "in.jpg", exif=exif, icc_profile=PROFILE, quality=95)
    enhance(nearest, TWICE, [open_picture(tmp_path / "in.jpg")], tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as out:
        assert out.size == (60, 80) and out.info["icc_profile"] == PROFILE and 0x0112 not in out.getexif()
        assert np.abs(np.asarray(out).astype(int) - np.rot90(ramp, -1).repeat(2, 0).repeat(2, 1)).max() <= 12


def test_progress_counts_tiles(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    enhance(identity, SPEC, [picture(20, 40, 3)], tmp_path / "out.png", lambda done, total: calls.append((done, total)))
    assert calls == [(n, 9) for n in range(1, 10)]


@pytest.mark.parametrize(
    ("session", "says"),
    [
        (identity, r"the model gave \(1, 3, 16, 24\); expected \(1, 3, 32, 48\): its file and its manifest do not belong together"),
        (lambda x: (nearest(x)[0] * torch.nan,), "values that are not finite for the tile at row 0, column 0"),
    ],
)
def test_what_is_no_picture_is_not_written(tmp_path: Path, session: Callable, says: str) -> None:
    (tmp_path / "out.png").write_bytes(b"old")
    with pytest.raises(EdgekitError, match=says):
        enhance(session, TWICE, [picture(20, 20, 3)], tmp_path / "out.png")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_a_tile_without_core_is_refused() -> None:
    with pytest.raises(InvalidFile, match="leaves no pixels"):
        TileSpec((16, 16), 8)


MEMORY = """
import sys, time, torch
def peak(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) / 2**20
torch.set_num_threads(1)
before = peak()
from pathlib import Path
from edgekit.enhance import TileSpec, enhance, enhance_tensor, enhance_whole
from edgekit.picture import open_picture
spent = 0.0
def session(inputs):
    global spent
    start = time.perf_counter()
    result = (torch.nn.functional.interpolate(inputs[0], scale_factor=2),)
    spent += time.perf_counter() - start
    return result
start = time.perf_counter()
enhance(session, TileSpec((128, 128), 12, 2), [open_picture(Path(sys.argv[1]))], Path(sys.argv[2]))
print(peak() - before, time.perf_counter() - start - spent)
"""


def added_memory_gib(source: Path, out: Path) -> float:
    """What reading, enhancing x2 and writing added to a fresh process's peak after `import torch`."""
    done = subprocess.run([sys.executable, "-c", MEMORY, str(source), str(out)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


def test_twelve_megapixels_take_a_third_of_a_gibibyte(tmp_path: Path) -> None:
    """The budget is 1 GiB; 12 MP take 0.16 and 48 MP 0.63 GiB, so a third of the budget here is what still leaves room for 48 MP."""
    smooth = np.add.outer(np.arange(3000) // 16, np.arange(4000) // 20).astype(np.uint8)
    texture = np.random.default_rng(0).integers(0, 8, (3000, 4000, 3), np.uint8)
    source, out = tmp_path / "in.jpg", tmp_path / "out.png"
    Image.fromarray(smooth[..., None] + texture).save(source, quality=90)
    assert added_memory_gib(source, out) <= 0.33
    with Image.open(out) as result:
        assert result.size == (8000, 6000)


def test_two_inputs_are_cut_alike(tmp_path: Path) -> None:
    """Infrared and colours: the result has the colours' channels, though the first picture is grey."""
    infrared, visible = picture(37, 29, 1), picture(37, 29, 3)
    spec = TileSpec((16, 24), 4, colours=("grey", "rgb"))
    enhance(lambda x: ((x[0] + x[1]) / 2,), spec, [infrared, visible], tmp_path / "out.png")
    expected = (infrared.pixels.astype(float) + visible.pixels) / 2
    assert np.abs(open_picture(tmp_path / "out.png").pixels - expected).max() <= 0.51
    with pytest.raises(InvalidFile, match="is 8x8, .* is 29x37; expected the same size"):
        enhance(lambda x: x, spec, [infrared, picture(8, 8, 3)], tmp_path / "no.png")
    with pytest.raises(InvalidFile, match="got 1 pictures for a model of 2 inputs"):
        enhance(lambda x: x, spec, [infrared], tmp_path / "no.png")


@pytest.mark.parametrize(("classes", "levels"), [(1, {0, 255}), (3, {0, 127, 128, 255})])
def test_masks_are_grey_pictures(classes: int, levels: set[int], tmp_path: Path) -> None:
    source = picture(20, 31, 3)

    def session(x: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        bright = (x[0].mean(1, keepdim=True) > 0.5).float()
        return (bright if classes == 1 else torch.cat([bright * 0.2, 1 - bright, bright], 1),)

    enhance(session, TileSpec((16, 24), 4, result="mask"), [source], tmp_path / "mask.png")
    mask = open_picture(tmp_path / "mask.png").pixels
    assert mask.shape == (20, 31, 1) and set(np.unique(mask)) <= levels and len(np.unique(mask)) == 2


def test_whole_pictures_are_resized_there_and_back(tmp_path: Path) -> None:
    spec = TileSpec((24, 16), 0, scale=2)
    same = picture(24, 16, 4)
    enhance_whole(nearest, spec, [same], tmp_path / "same.png")
    result = open_picture(tmp_path / "same.png").pixels
    assert np.array_equal(result[..., :3], same.pixels[..., :3].repeat(2, 0).repeat(2, 1)), "a picture of the tile's size is not touched"
    large = picture(90, 70, 1)
    enhance_whole(nearest, spec, [large], tmp_path / "large.png")
    assert open_picture(tmp_path / "large.png").pixels.shape == (180, 140, 1)
