"""Classical steps against scikit-image and against their formulas."""

import json
from pathlib import Path

import bundles
import numpy as np
import pytest
import torch
from skimage import data, exposure

from edgekit import bundle, classical, evidence, manifest_file
from edgekit.cli import console, main, sets
from edgekit.enhancer import CLASSICAL, ClassicalStep
from edgekit.errors import InvalidFile
from edgekit.picture import SourcePicture, create_picture, open_picture
from edgekit.preparation import PictureSet

WEIGHTS = Path(__file__).parents[1] / "networks" / "weights" / "adjust.safetensors"
CAMERA = data.camera()[100:420:2, 60:480:2]
CAT = data.chelsea()[60:140, 100:190]


def plane_of(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255)


def test_equalization_is_scikit_images() -> None:
    found = classical.equalized(plane_of(CAMERA)).numpy()
    assert np.abs(found - exposure.equalize_hist(CAMERA)).max() < 1e-5


def test_regions_and_limit_are_those_of_the_formula() -> None:
    plane = plane_of(CAMERA[:45, :37])
    height, width, regions, limit = 45, 37, 3, 2.0
    levels = np.round(plane.numpy() * 255).astype(int)
    maps = np.zeros((regions, regions, 256))
    for i in range(regions):
        for j in range(regions):
            inside = [levels[y, x] for y in range(height) for x in range(width) if (y * regions // height, x * regions // width) == (i, j)]
            counts = np.bincount(inside, minlength=256).astype(float)
            most = limit * len(inside) / 256
            counts = np.minimum(counts, most) + np.maximum(counts - most, 0).sum() / 256
            maps[i, j] = np.cumsum(counts) / len(inside)
    expected = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v, h = (min(max((k + 0.5) * regions / side - 0.5, 0), regions - 1) for k, side in ((y, height), (x, width)))
            i, j, a, b = int(v), int(h), v % 1, h % 1
            corners = ((i, j, (1 - a) * (1 - b)), (i, j + 1, (1 - a) * b), (i + 1, j, a * (1 - b)), (i + 1, j + 1, a * b))
            expected[y, x] = sum(weight * maps[m, n, levels[y, x]] for m, n, weight in corners if weight)
    assert np.abs(classical.equalized(plane, regions, limit).numpy() - expected).max() < 1e-5


def test_clahe_is_close_to_scikit_images() -> None:
    side = CAMERA.shape[0] // 4, CAMERA.shape[1] // 4
    theirs = exposure.equalize_adapthist(CAMERA, kernel_size=side, clip_limit=4 / 256)
    ours = classical.equalized(plane_of(CAMERA), 4, 4.0).numpy()
    before = np.corrcoef(CAMERA.ravel(), theirs.ravel())[0, 1]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > max(0.97, before)


def test_the_bilateral_filter_is_its_formula() -> None:
    """Not scikit-image's: the table of distances in its 0.26 is off its centre by one pixel."""
    picture = CAT[:20, :17].astype(np.float64) / 255
    sigma, sigma_colour, reach = 1.3, 0.1, 4
    around = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    expected = np.zeros_like(picture)
    for y, x in np.ndindex(20, 17):
        window = around[y : y + 2 * reach + 1, x : x + 2 * reach + 1]
        down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        weight = np.exp(-(down**2 + across**2) / (2 * sigma**2)) * np.exp(-((window - picture[y, x]) ** 2).sum(2) / (2 * sigma_colour**2))
        expected[y, x] = (weight[:, :, None] * window).sum((0, 1)) / weight.sum()
    found = classical.bilateral(torch.from_numpy(picture).float().permute(2, 0, 1), sigma, sigma_colour).permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() < 1e-5 and np.abs(found - picture).max() > 0.02


def test_the_bilateral_filter_removes_noise_and_keeps_edges() -> None:
    edge = torch.zeros(3, 40, 40)
    edge[:, :, 20:] = 0.8
    noisy = edge + 0.05 * torch.randn(edge.shape, generator=torch.Generator().manual_seed(0))
    made = classical.bilateral(noisy, 2, 0.2)
    assert (made - edge).square().mean() < 0.2 * (noisy - edge).square().mean()
    assert (made[:, :, 20] - made[:, :, 19]).mean() > 0.75


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 1), (np.uint16, 2), (np.uint8, 3), (np.uint16, 4)])
def test_channels_depth_and_alpha_stay(name, dtype, channels) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (70, 41, channels), dtype=dtype)
    made = classical.processed(SourcePicture("a.png", pixels), [ClassicalStep(name, CLASSICAL[name])]).pixels
    assert (made.dtype, made.shape) == (pixels.dtype, pixels.shape) and not np.array_equal(made, pixels)
    if channels in (2, 4):
        assert np.array_equal(made[:, :, -1], pixels[:, :, -1])


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (130, 3)])
def test_small_and_flat_pictures_stay_finite(name, shape) -> None:
    for value in (0.0, 0.5, 1.0):
        made = classical.apply(ClassicalStep(name, CLASSICAL[name]), torch.full((3, *shape), value))
        assert made.isfinite().all() and made.min() >= 0 and made.max() <= 1


def test_a_file_gets_steps_on_its_way(tmp_path) -> None:
    steps = [ClassicalStep("clahe", CLASSICAL["clahe"]), ClassicalStep("equalize", {})]
    source = SourcePicture("a.png", CAT.astype(np.uint16) * 257)
    for name in ("b.png", "b.jpg"):
        with classical.then(steps, tmp_path / name) as made, create_picture(made, source, *CAT.shape[:2]) as file:
            file.write(source.pixels)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.jpg", "b.png"]
    expected = classical.processed(source, steps).pixels
    assert np.array_equal(open_picture(tmp_path / "b.png").pixels, expected)
    assert np.abs(open_picture(tmp_path / "b.jpg").pixels.astype(int) - (expected >> 8)).mean() < 3
    with pytest.raises(RuntimeError), classical.then(steps, tmp_path / "c.png") as made:
        made.write_bytes(b"half")
        raise RuntimeError
    assert len(list(tmp_path.iterdir())) == 2
    with classical.then([], tmp_path / "c.png") as made:
        assert made == tmp_path / "c.png"


def test_a_picture_too_large_is_refused() -> None:
    with pytest.raises(InvalidFile, match="big.png: 25 megapixels; expected at most 24"):
        classical.require_small("big.png", 25_000_000)


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ({"name": "sharpen", "parameters": {}}, "name"),
        ({"name": "equalize", "parameters": {"limit": 2}}, "before: equalize: its parameters are limit; expected none"),
        ({"name": "clahe", "parameters": {"regions": 8}}, "before: clahe: its parameters are regions; expected regions, limit"),
        ({"name": "clahe", "parameters": {"regions": 2.5, "limit": 2}}, "expected whole regions"),
        ({"name": "bilateral", "parameters": {"sigma_space": 2, "sigma_colour": 0}}, "sigma_colour is 0; expected more than 0"),
        ({"name": "bilateral", "parameters": {"sigma_space": 50, "sigma_colour": 0.1}}, "at most 5 px"),
    ],
)
def test_manifests_with_other_steps_are_refused(step, line, tmp_path) -> None:
    table = json.loads(manifest_file.to_json(bundles.sample(tmp_path)[0]))
    good = {"name": "clahe", "parameters": {"regions": 4, "limit": 3}}
    read = manifest_file.from_json(json.dumps(table | {"before": [good], "after": [good, good]}), "m")
    assert read.before == (ClassicalStep("clahe", {"regions": 4, "limit": 3}),) and len(read.after) == 2
    with pytest.raises(InvalidFile, match=line):
        manifest_file.from_json(json.dumps(table | {"before": [step]}), "m")
    table["image"]["outputs"][0]["colour"] = "mask"
    with pytest.raises(InvalidFile, match="after: steps on a mask"):
        manifest_file.from_json(json.dumps(table | {"after": [good]}), "m")


def test_a_bundle_with_steps_runs_them(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "_terminal", None)
    whole = sets.test_set()
    few = [(name, picture[..., :96, :96].contiguous()) for (name, picture), _ in zip(whole.pictures, range(2), strict=False)]
    monkeypatch.setattr(sets, "test_set", lambda: PictureSet("few", whole.sha256, few))
    export = ["export", "--model", str(WEIGHTS), "--target", "desktop", "--backend", "onnx", "--recipe", "fp32", "--tile", "64x64"]
    assert main([*export, "--before", "sharpen", "--out", "x"]) == 2 and "no classical step named 'sharpen'" in capfd.readouterr().err
    steps = ["--before", "bilateral", "--after", "clahe", "--after", "equalize"]
    for name, options in (("plain", []), ("stepped", steps)):
        assert main([*export, *options, "--out", name]) in (0, 1), capfd.readouterr().err
    assert "Against the clean pictures, the network in float32 " in capfd.readouterr().err
    opened = bundle.read(tmp_path / "stepped")
    ways = (evidence.read(opened) or pytest.fail("no evidence")).fidelity
    assert [way.kind for way in ways] == ["classical"] * (len(ways) - 2) + ["network"] * 2 and ways[-1].name == opened.manifest.artifacts[0].name
    assert ways[-1].psnr_db == pytest.approx(ways[-2].psnr_db, abs=0.01), "the file's numbers, applied, are the network's"
    page = (tmp_path / "stepped" / "report.html").read_text("utf-8")
    assert "Beside classical steps" in page and "The result gets CLAHE" in page and "NOT APPLICABLE: this file gives numbers" in page
    assert all(places > 0 for places in opened.manifest.artifacts[0].facts["rewrites"].values())

    source = SourcePicture("a.png", CAT)
    first = classical.processed(source, [ClassicalStep("bilateral", CLASSICAL["bilateral"])])
    for name, one in (("a.png", source), ("b.png", first)):
        with create_picture(tmp_path / name, one, one.height, one.width) as file:
            file.write(one.pixels)
    assert main(["run", "stepped", "a.png", "--out", "stepwise"]) == 0, capfd.readouterr().err
    assert main(["run", "plain", "b.png", "--out", "made"]) == 0, capfd.readouterr().err
    last = [ClassicalStep("clahe", CLASSICAL["clahe"]), ClassicalStep("equalize", {})]
    expected = classical.processed(open_picture(tmp_path / "made" / "b.png"), last).pixels
    assert np.array_equal(open_picture(tmp_path / "stepwise" / "a.png").pixels, expected)
    assert [path.name for path in (tmp_path / "stepwise").iterdir()] == ["a.png"]
