"""A bundle's copy in an app: only what the platform loads, the same bytes, a sound manifest, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bundles import sample

from edgekit import bundle, embed
from edgekit.bundle import Bundle
from edgekit.cli import console, main
from edgekit.enhancer import ClassicalStep
from edgekit.errors import InvalidFile, OverBudget, UnknownName
from edgekit.manifest import BudgetLine


@pytest.fixture
def source(tmp_path) -> Bundle:
    (tmp_path / "parts").mkdir()
    return bundle.write(tmp_path / "net-phones", *sample(tmp_path / "parts"))


@pytest.fixture
def apps(tmp_path) -> Path:
    """The folders of a source checkout."""
    for name in embed.APPS:
        (tmp_path / name).mkdir()
    return tmp_path


def into(source: Bundle, app: Path, name: str = "capture", **options) -> embed.Embedded:
    kind = embed.app_at(app)
    return embed.embed(source, embed.place_of(app, kind, name), kind, **options)


def over(source: Bundle, name: str) -> Bundle:
    """The same bundle with a budget that `name` does not meet."""
    line = BudgetLine("psnr_db", 40.0, 45.0, "over")
    artifacts = tuple(replace(a, budget=(line,)) if a.name == name else a for a in source.manifest.artifacts)
    return replace(source, manifest=replace(source.manifest, artifacts=artifacts))


def files(place: Path) -> set[str]:
    return {str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()}


def test_android_gets_what_it_loads(source, apps):
    made = into(source, apps / "android-demo")
    place = apps / "android-demo/app/src/main/assets/bundles/capture"
    assert made.bundle.path == place
    assert files(place) == {"manifest.json", "net-int8.tflite", "golden/input.bin", "golden/output-reference.bin", "golden/output-net-int8.bin"}
    assert made.left_out == {"net-fp16": "a coreml file, and this app loads executorch or tflite"}
    for name in files(place) - {"manifest.json"}:
        assert (place / name).read_bytes() == (source.path / name).read_bytes()


def test_ios_gets_its_packages_and_no_golden_output_of_another_file(source, apps):
    made = into(source, apps / "ios-demo", "preview")
    assert made.bundle.path == apps / "ios-demo/App/Bundles/preview"
    assert files(made.bundle.path) == {
        "manifest.json",
        "net-fp16.mlpackage/Manifest.json",
        "net-fp16.mlpackage/Data/weights/weight.bin",
        "golden/input.bin",
        "golden/output-reference.bin",
    }


def test_a_folder_of_ones_own_gets_everything(source, tmp_path):
    made = into(source, tmp_path / "my app/models", "net")
    assert made.left_out == {} and files(made.bundle.path) == files(source.path)
    assert bundle.read(made.bundle.path).manifest == source.manifest


def test_the_manifest_is_otherwise_the_same(source, apps):
    made = into(source, apps / "android-demo")
    found, whole = (json.loads((b.path / "manifest.json").read_text("utf-8")) for b in (made.bundle, source))
    assert [a["name"] for a in found["artifacts"]] == ["net-int8"] and [g["artifact"] for g in found["golden"]["artifacts"]] == ["net-int8"]
    whole["artifacts"] = [a for a in whole["artifacts"] if a["name"] == "net-int8"]
    assert found == whole
    assert bundle.read(made.bundle.path).manifest == made.bundle.manifest


def test_chosen_artifacts(source, tmp_path):
    made = into(source, tmp_path / "app", artifacts=["net-fp16"])
    assert made.left_out == {"net-int8": "not asked for"}
    with pytest.raises(UnknownName, match="no artifact named 'net-int9'; known: net-fp16, net-int8"):
        into(source, tmp_path / "app", "other", artifacts=["net-int9"])


def test_what_the_app_cannot_load_is_refused(source, apps):
    with pytest.raises(InvalidFile, match="net-fp16: a coreml file, and this app loads executorch or tflite; expected one of net-int8"):
        into(source, apps / "android-demo", artifacts=["net-fp16"])
    only = replace(source, manifest=replace(source.manifest, artifacts=source.manifest.artifacts[:1]))
    with pytest.raises(InvalidFile, match="nothing to copy .*expected a bundle with a file for coreml"):
        into(only, apps / "ios-demo")
    assert not (apps / "ios-demo/App").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda i: replace(i, inputs=i.inputs * 2), "it has 2 inputs and 1 outputs"),
        (lambda i: replace(i, outputs=(replace(i.outputs[0], colour="mask"),)), "it works on mask"),
        (lambda i: replace(i, tiling="whole"), "it sees the whole picture, and a camera's has another size"),
    ],
)
def test_networks_that_the_demo_apps_have_no_screen_for(source, apps, change, reason):
    other = replace(source, manifest=replace(source.manifest, image=change(source.manifest.image)))
    with pytest.raises(InvalidFile, match=f"{reason}; expected one RGB or BGR picture in and one out, in tiles"):
        into(other, apps / "android-demo")
    assert files(apps / "android-demo") == set()


def test_steps_that_the_demo_apps_do_not_do(source, apps):
    other = replace(source, manifest=replace(source.manifest, after=(ClassicalStep("equalize", {}),)))
    with pytest.raises(InvalidFile, match="it has classical steps before or after the network"):
        into(other, apps / "android-demo")
    assert files(apps / "android-demo") == set()


def test_over_budget_only_with_force(source, tmp_path):
    bad = over(source, "net-int8")
    with pytest.raises(
        OverBudget, match="net-int8: psnr_db 40, budget 45; take only those within it: --artifact net-fp16, or take it .* with --force"
    ):
        into(bad, tmp_path / "app")
    assert not (tmp_path / "app").exists()
    into(bad, tmp_path / "app", artifacts=["net-fp16"])
    made = into(bad, tmp_path / "app", force=True)
    assert len(made.bundle.manifest.artifacts) == 2, "and the copy that stood there is replaced"


def test_a_copy_is_replaced_only_with_force(source, tmp_path):
    into(source, tmp_path / "app", artifacts=["net-fp16"])
    with pytest.raises(InvalidFile, match="exists; expected a free place: choose another with --as, or replace it with --force"):
        into(source, tmp_path / "app")
    assert len(bundle.read(tmp_path / "app/capture").manifest.artifacts) == 1
    (tmp_path / "app/notes").mkdir()
    (tmp_path / "app/notes/mine.txt").write_text("mine")
    with pytest.raises(InvalidFile, match="exists and is no bundle"):
        into(source, tmp_path / "app", "notes", force=True)
    with pytest.raises(InvalidFile, match="is the bundle itself"):
        into(source, source.path.parent, source.path.name, force=True)


def test_an_altered_file_is_not_copied(source, apps):
    weights = source.path / "net-fp16.mlpackage/Data/weights/weight.bin"
    weights.write_bytes(weights.read_bytes()[::-1])
    assert main(["bundle", str(source.path), "--into", str(apps / "ios-demo")]) == 2
    with pytest.raises(InvalidFile, match="changed while it was copied"):
        into(source, apps / "ios-demo")
    assert files(apps / "ios-demo") == set()


def test_the_place(apps, monkeypatch):
    with pytest.raises(InvalidFile, match="no such folder; expected the demo app of a source checkout"):
        embed.app_at(apps / "elsewhere/ios-demo")
    monkeypatch.chdir(apps / "ios-demo")
    assert embed.app_at(Path()) is embed.APPS["ios-demo"] and embed.app_at(Path("..")) is None
    for name in ("", "..", "a/b", "-x", "x" * 65, "été", "a b", "a;b", "a\n"):
        with pytest.raises(InvalidFile, match="expected preview, capture, or another plain name"):
            embed.place_of(apps, None, name)


def test_the_command(source, apps, capfd, monkeypatch):
    monkeypatch.setattr(console, "_terminal", None)
    assert main(["bundle", str(source.path), "--into", str(apps / "android-demo"), "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["artifacts"] == ["net-int8"] and Path(json.loads(out)["bundle"]).name == "capture"
    assert "left out net-fp16" in err and "NOT MEASURED  net-int8: banding" in err and "Android Studio" in err
    assert main(["bundle", str(source.path), "--into", str(apps / "mine")]) == 0
    assert (apps / "mine/net-phones/manifest.json").is_file()
