"""The Kotlin core driving real .pte files: whole pictures come out as `edgekit run` makes them, byte for byte, and the self-test's report is read."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import desktop
import numpy as np
import pytest
from PIL import Image
from tiny import pictures
from typer.testing import CliRunner

from edgekit import models, pipeline, preparation, recipe
from edgekit.cli import app
from edgekit.target import Target
from edgekit_targets import backend
from edgekit_targets.devices.host import Host

TILE = (48, 64)
ARTIFACTS = ("edsr-mobile-executorch-fp32", "edsr-mobile-executorch-int8", "edsr-mobile-executorch-int8-uint8")


@pytest.fixture(scope="module")
def desk(kotlin, core, tmp_path_factory) -> desktop.Desk:
    return desktop.build(kotlin, core, tmp_path_factory.mktemp("desktop"))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> dict[str, Path]:
    """Artifact -> its bundle: the shipped edsr-mobile with tiles that are not square, with numbers and with bytes in and out."""
    folder = tmp_path_factory.mktemp("bundles")
    named = preparation.PictureSet("smooth", "0" * 64, [(str(number), picture) for number, picture in enumerate(pictures(3, side=192))])

    def export(name: str, target: Target, *recipes: str) -> Path:
        jobs = [pipeline.Job(backend("executorch"), recipe.load(precision)) for precision in recipes]
        return pipeline.export(models.load("edsr-mobile"), target, jobs, named, named, Host(), folder / name).path

    floats = export("floats", Target("desk", (), tile=TILE), "fp32", "int8")
    whole = export("bytes", Target("desk", (), tile=TILE, io="uint8"), "int8")
    return dict(zip(ARTIFACTS, (floats, floats, whole), strict=True))


@pytest.mark.parametrize("artifact", ARTIFACTS)
@pytest.mark.parametrize(("height", "width"), [(131, 203), (9, 11)], ids=["many tiles", "less than a tile"])
def test_whole_pictures_are_equal_to_pythons(desk, bundles, artifact, height, width, tmp_path):
    noisy = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(noisy[: height // 8 + 1, : width // 8 + 1]).resize((width, height), Image.Resampling.BICUBIC))
    picture = np.where(np.arange(width)[:, None] < width // 2, smooth, noisy)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    (tmp_path / "picture.rgb").write_bytes(picture.tobytes())
    bundle = bundles[artifact]

    done = CliRunner().invoke(app, ["run", str(bundle), str(tmp_path / "picture.png"), "--artifact", artifact, "--out", str(tmp_path / "python")])
    assert done.exit_code == 0, done.output
    expected = np.asarray(Image.open(tmp_path / "python/picture.png"))

    told = desk.run("enhance", bundle, artifact, str(height), str(width), tmp_path / "picture.rgb", tmp_path / "kotlin.rgb")
    assert told.returncode == 0, told.stdout
    print(told.stdout)
    got = np.frombuffer((tmp_path / "kotlin.rgb").read_bytes(), np.uint8)
    assert expected.shape == (2 * height, 2 * width, 3)
    assert np.array_equal(got.reshape(expected.shape), expected)


def damage(bundle: Path, *, known: bool) -> None:
    """Puts the first kilobytes of one file in another's place; with `known` the manifest describes it as it is then."""
    file = bundle / f"{ARTIFACTS[0]}.pte"
    file.write_bytes((bundle / f"{ARTIFACTS[1]}.pte").read_bytes()[:2000])
    if known:
        described = json.loads((bundle / "manifest.json").read_text("utf-8"))
        described["artifacts"][0] |= {"bytes": 2000, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        (bundle / "manifest.json").write_text(json.dumps(described), "utf-8")


def self_test(desk: desktop.Desk, bundle: Path, report: Path) -> dict:
    done = desk.run("self-test", bundle, report)
    assert done.returncode == 0, done.stdout
    return json.loads(report.read_text("utf-8"))


def test_the_self_tests_report_is_read(desk, bundles, tmp_path):
    bundle = shutil.copytree(bundles[ARTIFACTS[0]], tmp_path / "bundle")
    report = self_test(desk, bundle, tmp_path / "report.json")
    assert [entry["name"] for entry in report["artifacts"]] == list(ARTIFACTS[:2])
    for entry in report["artifacts"]:
        assert entry["golden"] == {"within": True, "bit_equal": True, "max_abs": 0.0, "psnr_db": 100.0}
        assert 0 < entry["latency"]["median_ms"] <= entry["latency"]["p90_ms"] and entry["latency"]["threads"] >= 1
    read = CliRunner().invoke(app, ["validate", str(bundle), "--device-report", str(tmp_path / "report.json")])
    assert read.exit_code == 0, read.output


def test_bytes_in_and_out_pass_the_self_test(desk, bundles, tmp_path):
    (entry,) = self_test(desk, bundles[ARTIFACTS[2]], tmp_path / "report.json")["artifacts"]
    assert entry["golden"]["bit_equal"] and entry["latency"]


def test_a_damaged_file_fails_the_self_test_and_the_rest_is_measured(desk, bundles, tmp_path):
    bundle = shutil.copytree(bundles[ARTIFACTS[0]], tmp_path / "bundle")
    original = shutil.copytree(bundle, tmp_path / "original")
    damage(bundle, known=False)
    broken, sound = self_test(desk, bundle, tmp_path / "report.json")["artifacts"]
    assert broken["golden"] is None and broken["latency"] is None
    assert broken["why_not"]["golden"].endswith("; not run")
    assert sound["golden"]["within"]
    read = CliRunner().invoke(app, ["validate", str(original), "--device-report", str(tmp_path / "report.json")])
    assert read.exit_code == 1, read.output
    damage(bundle, known=True)
    broken, _ = self_test(desk, bundle, tmp_path / "report.json")["artifacts"]
    assert "ExecuTorch cannot load it, error " in broken["why_not"]["golden"]


def test_what_cannot_run_is_refused_in_one_line(desk, bundles, tmp_path):
    bundle = shutil.copytree(bundles[ARTIFACTS[0]], tmp_path / "bundle")
    (tmp_path / "picture.rgb").write_bytes(bytes(3 * 4 * 4))
    words = ("4", "4", tmp_path / "picture.rgb", tmp_path / "out.rgb")
    none = desk.run("enhance", bundle, "nobody", *words)
    assert (none.returncode, none.stdout) == (2, f"error: no artifact 'nobody' in [{', '.join(ARTIFACTS[:2])}]")
    damage(bundle, known=False)
    other = desk.run("enhance", bundle, ARTIFACTS[0], *words)
    assert (other.returncode, other.stdout) == (2, f"error: {ARTIFACTS[0]}.pte is not the file that the manifest describes")
    damage(bundle, known=True)
    damaged = desk.run("enhance", bundle, ARTIFACTS[0], *words)
    assert damaged.returncode == 2 and damaged.stdout.startswith(f"error: {ARTIFACTS[0]}.pte: ExecuTorch cannot load it, error "), damaged.stdout
    (bundle / "manifest.json").write_text('{"manifest": 1}')
    broken = desk.run("enhance", bundle, ARTIFACTS[0], *words)
    assert (broken.returncode, broken.stdout) == (2, "error: manifest.json: 'image' is missing")
