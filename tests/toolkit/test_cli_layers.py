"""`edgekit validate --layers`, as a user meets it."""

import json
from pathlib import Path

import pytest
from test_cli import fresh_terminal, photographs, run, tiny_checkpoint

from edgekit import bundle, layers
from edgekit.errors import CannotRunHere
from edgekit.manifest import Calibration
from edgekit.recipe import Quantize

pytest.importorskip("onnxruntime")
assert fresh_terminal  # a fixture, applied to every test here

TARGET = 'tile = [32, 32]\n[[artifact]]\nbackend = "onnx"\nrecipe = "int8"\n[[artifact]]\nbackend = "onnx"\nrecipe = "fp32"\n'


@pytest.fixture
def exported(capfd, tmp_path, monkeypatch):
    """(options that every validate needs); the bundle is ./b."""
    monkeypatch.chdir(tmp_path)
    checkpoint, mine = tiny_checkpoint(tmp_path), photographs(tmp_path / "mine")
    few_test_pictures(monkeypatch, mine)

    def export(text: str = TARGET) -> list[str]:
        Path("t.toml").write_text(text)
        code, _, err = run(capfd, "export", "--model", str(checkpoint), "--target", "t.toml", "--calibration", str(mine), "--out", "b")
        assert code == 0, err
        return ["validate", "b", "--weights", str(checkpoint), "--images", str(photographs(tmp_path / "test", 1))]

    return export


def few_test_pictures(monkeypatch, folder):
    import edgekit.cli.sets as sets

    monkeypatch.setattr(sets, "test_set", lambda: sets.calibration_set(str(folder)))


def test_the_table_the_files_and_the_document(capfd, exported):
    command = exported()
    code, out, err = run(capfd, *command, "--layers", "--json")
    assert code == 0, err
    int8, fp32 = json.loads(out)["layers"]
    assert json.loads(out)["manifest"]["artifacts"][0]["parity"] and json.loads(out)["verdict"]
    opened = bundle.read(Path("b"))
    for document, artifact in zip((int8, fp32), opened.manifest.artifacts, strict=True):
        written = layers.read(opened, artifact.name)
        assert written is not None and json.loads(written.to_json()) == document
        assert 1 <= len(document["tiles"]) <= layers.WORST_TILES and document["agrees_db"] > 90 and not document["why_not"]
    assert {"head.0", "body.0.body.0", "body.0.body.2", "body.1"} <= {loss["layer"] for loss in int8["layers"]}
    worst = int8["layers"][0]
    assert worst["recipe"] == f'float_layers = ["{worst["layer"]}"]'
    alone = [loss["alone_psnr_db"] for loss in int8["layers"]]
    assert alone == sorted(alone) and int8["output_psnr_db"] < alone[0]
    assert fp32["parts_at"] is None and min(loss["accumulated_db"] for loss in fp32["layers"]) > 80

    names = [artifact.name for artifact in opened.manifest.artifacts]
    assert f"layers  {names[0]}: keep the worst in float with {worst['recipe']}" in err
    assert f"layers  {names[1]}: the numbers part nowhere: SQNR is at least" in err and "layer by layer" in err
    assert (
        f"{names[0]}: {min(10, len(alone))} of {len(alone)} layers" in err
        and "worst first by what each costs alone" in err
        and f"{worst['alone_psnr_db']:.1f} / " in err
    )
    assert f"{names[1]}: {min(10, len(fp32['layers']))} of" not in err, "a float file that is fine needs no table"


def test_a_pte_is_told_apart_from_its_graph_and_needs_its_calibration(capfd, exported):
    pytest.importorskip("executorch")
    command = [*exported('tile = [32, 32]\n[[artifact]]\nbackend = "executorch"\nrecipe = "int8"\n'), "--layers", "--json"]
    code, out, err = run(capfd, *command, "--calibration", "test")
    assert code == 0, err
    (report,) = json.loads(out)["layers"]
    assert "calibrated with set 'mine' (" in report["why_not"] and "name the same with --calibration" in report["why_not"]
    assert report["layers"] == [] and "tiny-executorch-int8: NOT MEASURED: calibrated with" in err
    code, out, err = run(capfd, *command)
    assert code == 0, err
    (report,) = json.loads(out)["layers"]
    assert report["why_not"] is None and report["agrees_db"] > 45 and "not the file" in report["source"] and "not the file" in err
    assert report["layers"][0]["recipe"].startswith('float_layers = ["')


def test_a_set_that_is_not_here_is_asked_for(monkeypatch, tmp_path):
    from types import SimpleNamespace

    from edgekit.cli.layers import _Bench

    monkeypatch.chdir(tmp_path)
    described = SimpleNamespace(calibration=Calibration("mine", "1" * 64, 4), image=None)
    bench = _Bench(SimpleNamespace(path=tmp_path, manifest=described), None, {}, [], None, None)  # type: ignore[arg-type]
    with pytest.raises(CannotRunHere, match="calibrated with set 'mine', which is not here .*: name it with --calibration"):
        bench._calibrated_with(SimpleNamespace(quantize=Quantize("int8")))  # type: ignore[arg-type]


@pytest.mark.parametrize("more", [["--golden-only"], ["--golden-only", "--json"]])
def test_golden_only_leaves_out_what_layers_need(capfd, exported, more):
    code, out, err = run(capfd, "validate", "nowhere", "--layers", *more)
    assert code == 2 and out == ""
    assert [line for line in err.splitlines() if line.startswith("error")] == [
        "error: --layers compares with the network on test pictures, --golden-only leaves both out; expected one of them"
    ]


def test_other_weights_are_one_line(capfd, exported, tmp_path):
    command = exported()
    command[3] = "edsr"
    code, _, err = run(capfd, *command, "--layers")
    assert code == 2 and "the bundle was made from weights" in err and "--weights" in err
    assert not (tmp_path / "b" / "measured").exists()
