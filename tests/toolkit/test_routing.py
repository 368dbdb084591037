"""Bundles with variants: the score, the thresholds, and export, run and validate by the rule."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from edgekit import bundle, manifest_file, models, quality, routing, verdict
from edgekit.cli import console, main, sets
from edgekit.manifest import BudgetLine, Routing, RoutingChoice, Variant
from edgekit.models.edsr import EDSR
from edgekit.picture import SourcePicture
from edgekit.preparation import PictureSet
from edgekit.variants import Lighter, Trial, require_alike, thresholds

RANDOM = np.random.Generator(np.random.PCG64(5))


def score_by_hand(pixels: np.ndarray) -> int:
    """`quality`'s rules, written down a second time, a pixel after the other."""
    height, width, _ = pixels.shape
    y = [[(77 * int(r) + 150 * int(g) + 29 * int(b) + 128) >> 8 for r, g, b in row] for row in pixels]
    inner = list(product(range(1, height - 1), range(1, width - 1)))
    total = sum((4 * y[i][j] - y[i - 1][j] - y[i + 1][j] - y[i][j - 1] - y[i][j + 1]) ** 2 for i, j in inner)
    return 100 * total // len(inner) if inner else 0


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (9, 2), (3, 3), (3, 8), (7, 5), (16, 13)])
def test_scores_follow_the_written_rules(size) -> None:
    pixels = RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)
    assert quality.score(pixels) == score_by_hand(pixels)


def test_flat_and_even_ramps_score_nothing_and_a_checkerboard_scores_most() -> None:
    y, x = np.mgrid[:12, :10]
    assert quality.score(np.full((12, 10, 3), 77, np.uint8)) == 0
    assert quality.score((7 * y + 3 * x).astype(np.uint8)[..., None].repeat(3, 2)) == 0
    assert quality.score(((y + x) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)) == 100 * 1020**2


def test_noise_and_texture_raise_the_score_in_their_order() -> None:
    y, x = np.mgrid[:64, :64]
    soft = 128 + 40 * np.sin(x / 9) * np.sin(y / 7)
    scores = [
        quality.score(np.clip(soft + RANDOM.normal(0, sigma, soft.shape), 0, 255).astype(np.uint8)[..., None].repeat(3, 2)) for sigma in (0, 2, 8, 30)
    ]
    assert scores == sorted(set(scores))


@pytest.mark.parametrize(("dtype", "channels", "height"), [(np.uint8, 3, 700), (np.uint16, 4, 300), (np.uint8, 1, 258), (np.uint8, 3, 2)])
def test_a_picture_in_bands_scores_as_the_whole(dtype, channels, height) -> None:
    pixels = RANDOM.integers(0, np.iinfo(dtype).max + 1, (height, 31, channels), dtype=dtype)
    colours = pixels[..., :3] if channels >= 3 else pixels.repeat(3, 2)
    as_bytes = (colours.astype(np.float32) / np.iinfo(dtype).max * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    assert routing.picture_score(SourcePicture("p.png", pixels), "rgb") == score_by_hand(as_bytes)


def test_a_network_of_other_channels_is_scored_by_what_it_sees() -> None:
    rgb = torch.randint(0, 256, (3, 9, 11), dtype=torch.uint8)
    assert routing.score(rgb.flip(0), "bgr") == routing.score(rgb, "rgb") == routing.score(rgb / 255, "rgb")
    assert routing.score(rgb[:1], "luma") == quality.score(rgb[:1].expand(3, -1, -1).permute(1, 2, 0).numpy())


def a_rule(bounds: tuple[int, ...], names: tuple[str, ...], model) -> Routing:
    return Routing("laplacian-energy", "tile", bounds, tuple(Variant(name, model) for name in names), RoutingChoice("photos", 4, 0.05, 0.01))


def test_the_first_threshold_above_the_score_names_the_variant() -> None:
    rule = a_rule((10, 25), ("light", "moderate", "heavy"), None)
    assert [rule.variant(score) for score in (0, 9, 10, 24, 25, 10**9)] == ["light", "light", "moderate", "moderate", "heavy", "heavy"]


# Choosing the thresholds


def some_trial(variants: int, tiles: int = 24, pictures: int = 6) -> Trial:
    """Errors that grow with the score, the more the lighter the variant."""
    scores = RANDOM.integers(0, 900, tiles)
    weight = np.arange(variants, 0, -1)[:, None]
    errors = 3e5 * (1 + weight * scores / 900 * RANDOM.uniform(0.1, 0.4, (variants, tiles)))
    return Trial(scores, errors, np.arange(tiles) * pictures // tiles, np.full(pictures, tiles // pictures * 1000))


@pytest.mark.parametrize("variants", [2, 3])
@pytest.mark.parametrize("allowed", [0.0, 0.05, 0.2, 10.0])
def test_thresholds_save_the_most_that_the_drop_allows(variants, allowed) -> None:
    tried, macs = some_trial(variants), [1.0, 4.0, 16.0][-variants:]
    found, drop = thresholds(tried, macs, allowed)
    assert all(a < b for a, b in pairwise(found)) and drop <= allowed
    assert drop == pytest.approx(tried.drops_db(tried.route(found)).mean())

    def cost(bounds) -> float:
        return np.array(macs)[tried.route(bounds)].mean()

    grid = sorted({0, *(int(score) + step for score in tried.scores for step in (1, 2)), 1})
    others = [b for b in product(grid, repeat=variants - 1) if list(b) == sorted(set(b)) and tried.drops_db(tried.route(b)).mean() <= allowed]
    assert cost(found) == min(map(cost, others))
    assert allowed < 10 or cost(found) == macs[0], "everything may go to the lightest"


def test_drops_are_of_whole_pictures_and_of_what_is_seen() -> None:
    """Two pictures of two tiles: the first below 36 dB, the second above whatever its tiles get."""
    tried = Trial(np.array([1, 9, 1, 9]), np.array([[400.0, 800, 4, 4], [200, 600, 1, 1]]) * 1000, np.array([0, 0, 1, 1]), np.array([2000, 2000]))
    chosen = tried.route((5,))
    assert chosen.tolist() == [0, 1, 0, 1]
    assert tried.drops_db(chosen).tolist() == pytest.approx([10 * np.log10((400 + 600) / (200 + 600))])
    assert tried.drops_db(tried.alone(1)).tolist() == [0.0]


def test_networks_that_do_not_belong_together_are_refused() -> None:
    x2, x4, denoise = (models.load(name) for name in ("edsr-mobile", "edsr-x4", "denoise"))
    require_alike(x2, Lighter({"light": x2}))
    with pytest.raises(Exception, match="^--variant light: edsr-x4 has scale 4, edsr-mobile has 2; expected the same$"):
        require_alike(x2, Lighter({"light": x4}))
    with pytest.raises(Exception, match="--variant light: denoise has scale 1"):
        require_alike(x2, Lighter({"light": denoise}))
    with pytest.raises(Exception, match="expected one that restores one picture in tiles"):
        require_alike(replace(x2, tiling="whole"), Lighter({"light": x2}))


# A bundle


def nearest(path: Path) -> Path:
    """An EDSR's weights that repeat each pixel: as light as a network can be."""
    network = EDSR(2, blocks=1, channels=3)
    state = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    for name in ("head.0.weight", "tail.1.weight"):
        state[name][range(3), range(3), 1, 1] = 1
    state["tail.0.0.weight"][range(12), [i // 4 for i in range(12)], 1, 1] = 1
    save_file(state, path)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("variants")


@pytest.fixture
def few(monkeypatch) -> None:
    """Three test pictures and eight calibration ones, small; a terminal of this test's own."""
    monkeypatch.setattr(console, "_terminal", None)
    whole, photos = sets.test_set(), sets.calibration_set("photos")

    def part(source: PictureSet, count: int) -> PictureSet:
        return PictureSet(
            source.name, source.sha256, [(n, p[..., :192, :192].contiguous()) for (n, p), _ in zip(source.pictures, range(count), strict=False)]
        )

    monkeypatch.setattr(sets, "test_set", lambda: part(whole, 3))
    monkeypatch.setattr(sets, "calibration_set", lambda name: part(photos, 8))


@pytest.fixture
def made(few, place, capfd) -> bundle.Bundle:
    """edsr-mobile, and a network that repeats pixels for what is smooth; made once."""
    out = place / "made"
    if not out.exists():
        light = nearest(place / "nearest.safetensors")
        arguments = [
            "export",
            "--model",
            "edsr-mobile",
            "--variant",
            f"light={light}",
            "--target",
            "desktop",
            "--backend",
            "onnx",
            "--recipe",
            "fp32",
        ]
        code = main([*arguments, "--variant-drop-db", "0.3", "--tile", "64x64", "--out", str(out)])
        said = capfd.readouterr().err
        assert code in (0, 1), said
        assert "routing by tile, laplacian-energy: light below " in said and "routed onnx fp32: light " in said
    return bundle.read(out)


def test_export_makes_a_file_of_each_variant_and_the_rule(made) -> None:
    rule = made.manifest.routing
    assert rule is not None and [v.name for v in rule.variants] == ["light", "heavy"] and rule.heaviest.model == made.manifest.model
    heavy, light = made.manifest.artifacts
    assert (heavy.name, heavy.variant, light.name, light.variant) == ("edsr-mobile-heavy-onnx-fp32", "heavy", "nearest-light-onnx-fp32", "light")
    assert made.manifest.siblings(light) == {"light": light, "heavy": heavy} == made.manifest.siblings(heavy)
    assert all(a.parity and a.parity.psnr_db and a.parity.psnr_db > 90 for a in (heavy, light)), "each against its own network"
    assert {g.artifact for g in made.manifest.golden.artifacts} == {heavy.name, light.name}
    assert rule.chosen.tiles >= 16 and rule.chosen.drop_db <= 0.3
    (measured,) = rule.measured
    assert 0 < measured.shares["light"] < 1 and sum(measured.shares.values()) == pytest.approx(1)
    macs = [variant.model.macs_per_pixel for variant in rule.variants]
    assert measured.macs_share == pytest.approx(measured.shares["light"] * macs[0] / macs[1] + measured.shares["heavy"])
    assert measured.alone_db["light"] < measured.routed_db <= measured.alone_db["heavy"] + 0.01
    assert heavy.parity and measured.alone_db["heavy"] == pytest.approx(heavy.parity.psnr_gt_db, abs=0.01)


def test_what_to_ship_is_the_heaviest_with_its_variants_and_only_if_all_are_within_budget(made) -> None:
    heavy, light = (replace(a, budget=()) for a in made.manifest.artifacts)
    judged = verdict.judge(replace(made.manifest, artifacts=(heavy, light)))
    assert judged.ship == heavy.name and judged.why.startswith(f"with {light.name}, among which routing chooses: within budget")
    over = replace(light, budget=(BudgetLine("psnr_db", 30.0, 40.0, "over"),))
    judged = verdict.judge(replace(made.manifest, artifacts=(heavy, over)))
    assert (judged.ship, judged.why) == (None, "no backend has a measured file within budget of every variant")


def test_the_report_and_its_json_tell_the_rule(made, capfd) -> None:
    page = (made.path / "report.html").read_text("utf-8")
    assert 'id="variants"' in page and "Routing by tile" in page and "tiles are kept of the heaviest variant only" in page
    assert main(["report", str(made.path)]) == 0, capfd.readouterr().err


def picture(place: Path) -> Path:
    """100x150: left smooth, right noise."""
    pixels = np.full((100, 150, 3), 90, np.uint8)
    pixels[:, 75:] = np.random.Generator(np.random.PCG64(6)).integers(0, 256, (100, 75, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(place / "half.png")
    return place / "half.png"


def enhanced(made: bundle.Bundle, source: Path, *options: str, capfd) -> tuple[np.ndarray, dict]:
    out = source.parent / ("out" + "".join(options).replace("-", ""))
    assert main(["run", str(made.path), str(source), "--out", str(out), "--force", "--json", *options]) == 0
    (said,) = json.loads(capfd.readouterr().out)["results"]
    return np.asarray(Image.open(out / source.name)), said


def test_run_gives_each_tile_to_its_variant(made, tmp_path, capfd) -> None:
    source = picture(tmp_path)
    routed, said = enhanced(made, source, capfd=capfd)
    light, alone = enhanced(made, source, "--variant", "light", capfd=capfd)
    heavy, _ = enhanced(made, source, "--variant", "heavy", capfd=capfd)
    assert "routed" not in alone and alone["artifact"] == "nearest-light-onnx-fp32"
    core = made.manifest.image.tile[0] - 2 * made.manifest.image.halo
    rows, columns = -(-100 // core), -(-150 // core)
    assert said["routed"]["light"] >= rows and said["routed"]["heavy"] >= rows and sum(said["routed"].values()) == rows * columns
    count = 0
    for y, x in product(range(rows), range(columns)):
        part = np.s_[y * core * 2 : (y + 1) * core * 2, x * core * 2 : (x + 1) * core * 2]
        assert (routed[part] == light[part]).all() or (routed[part] == heavy[part]).all()
        count += bool((routed[part] == light[part]).all())
    assert count == said["routed"]["light"], "smooth tiles differ between the two"
    assert (routed[:, : 2 * core] == light[:, : 2 * core]).all() and (routed[:, -20:] == heavy[:, -20:]).all()


def test_a_whole_picture_is_routed_where_the_rule_says_so(made, tmp_path, capfd) -> None:
    rule = made.manifest.routing
    assert rule is not None
    pieces = {
        file: made.path / file
        for file in (*(a.file for a in made.manifest.artifacts), *(p.relative_to(made.path).as_posix() for p in made.path.glob("golden/*")))
    }
    other = bundle.write(tmp_path / "by-picture", replace(made.manifest, routing=replace(rule, unit="picture")), pieces)
    routed, said = enhanced(other, picture(tmp_path), capfd=capfd)
    heavy, _ = enhanced(made, picture(tmp_path), "--variant", "heavy", capfd=capfd)
    assert said["routed"] == {"light": 0, "heavy": 1} and (routed[:, -20:] == heavy[:, -20:]).all()
    Image.fromarray(np.full((40, 30, 3), 50, np.uint8)).save(tmp_path / "flat.png")
    assert enhanced(other, tmp_path / "flat.png", capfd=capfd)[1]["routed"] == {"light": 1, "heavy": 0}


def test_validate_runs_every_variant_again_against_its_own_network(made, place, capfd) -> None:
    light = place / "nearest.safetensors"
    assert main(["validate", str(made.path), "--variant", f"light={light}", "--json"]) in (0, 1)
    again = json.loads(capfd.readouterr().out)["manifest"]
    assert [a["parity"]["psnr_db"] for a in again["artifacts"]] == pytest.approx(
        [a.parity.psnr_db for a in made.manifest.artifacts if a.parity], abs=0.5
    )
    assert made.manifest.routing and again["routing"]["measured"][0]["shares"] == made.manifest.routing.measured[0].shares
    for arguments, line in (
        (
            ["--variant", "light=edsr-mobile"],
            r"the bundle was made from weights \w+, got \w+ \(edsr-mobile\); expected the same: name them with --variant light=FILE",
        ),
        (["--variant", "tiny=edsr-mobile"], "no variant named 'tiny'; known: light"),
        (["--layers", "--variant", f"light={light}"], "--layers follows one network, and this bundle has variants"),
    ):
        assert main(["validate", str(made.path), *arguments]) == 2
        assert re.search(line, capfd.readouterr().err)


def test_an_app_gets_all_variants_and_the_demo_apps_none(made, tmp_path, capfd) -> None:
    assert main(["bundle", str(made.path), "--into", str(tmp_path), "--as", "copy", "--artifact", "edsr-mobile-heavy-onnx-fp32", "--force"]) == 0
    assert len(bundle.read(tmp_path / "copy").manifest.artifacts) == 2, capfd.readouterr().err
    (tmp_path / "android-demo").mkdir()
    assert main(["bundle", str(made.path), "--into", str(tmp_path / "android-demo"), "--force"]) == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "its files are variants, among which a rule chooses tile by tile; expected one RGB or BGR picture in" in said


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--variant", "light"], "--variant is 'light'; expected NAME=MODEL"),
        (["--variant", "heavy=edsr-mobile"], "--variant is 'heavy=edsr-mobile'; expected NAME=MODEL with a name of its own"),
        (["--variant", "light=edsr-x4"], "--variant light: edsr-x4 has scale 4, edsr has 2; expected the same"),
        (["--variant", "light=edsr-mobile", "--recipe", "auto"], "--variant with a recipe that searches or prunes"),
        (["--variant", "light=edsr-mobile", "--variant-unit", "row"], "--variant-unit is 'row'; expected tile or picture"),
        (["--variant", "light=nowhere.pth"], "nowhere.pth"),
    ],
)
def test_bad_variants_are_one_line(options, line, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "_terminal", None)
    assert main(["export", "--model", "edsr", "--target", "android", *options]) == 2
    said = capfd.readouterr().err
    assert line in " ".join(said.split()) and "Traceback" not in said and not list(tmp_path.iterdir())


def broken(made: bundle.Bundle, change) -> str:
    table = json.loads(manifest_file.to_json(made.manifest))
    change(table)
    with pytest.raises(Exception, match="expected") as refused:
        manifest_file.from_json(json.dumps(table), "manifest.json")
    return str(refused.value)


def test_a_rule_that_does_not_fit_its_files_is_refused(made) -> None:
    assert "the last is edsr-mobile; expected the manifest's model, other" in broken(made, lambda m: m["model"].update(name="other"))
    assert "the network is no plain one in tiles" in broken(made, lambda m: m["image"].update(tiling="whole"))
    assert 'routing.unit is "row"' in broken(made, lambda m: m["routing"].update(unit="row")).replace("'", '"')
