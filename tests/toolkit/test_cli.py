"""The command line as a user meets it: exit codes, one line per error, JSON alone on stdout, and a fast --help."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgekit.cli import main
from edgekit.models.edsr import EDSR
from edgekit_targets.devices import host


def run(capfd, *arguments: str) -> tuple[int, str, str]:
    """(exit status, stdout, stderr) of a command run in this process."""
    code = main(list(arguments))
    out, err = capfd.readouterr()
    return code, out, err


@pytest.fixture(autouse=True)
def fresh_terminal(monkeypatch):
    """The console keeps a duplicate of stderr; each test has its own stderr."""
    import edgekit.cli.console as console

    monkeypatch.setattr(console, "_terminal", None)


@pytest.mark.parametrize(
    "arguments,line",
    [
        (
            ["export", "--model", "edsr", "--target", "andriod"],
            "no target named 'andriod'; known: android, desktop, ios, ios18, tensorrt (did you mean 'android'?)",
        ),
        (
            ["export", "--model", "edrs", "--target", "android"],
            "no model named 'edrs'; known: denoise, edsr, edsr-mobile, edsr-x4, lowlight (did you mean 'edsr'?)",
        ),
        (["export", "--model", "edsr", "--target", "android", "--recipe", "int9"], "no recipe named 'int9'"),
        (
            ["export", "--model", "edsr", "--target", "android", "--backend", "onnx"],
            "target 'android' has no artifact for onnx; expected one of executorch, tflite",
        ),
        (["export", "--model", "edsr", "--target", "android", "--backend", "tensorflow"], "no backend named 'tensorflow'"),
        (["export", "--model", "edsr", "--target", "android", "--tile", "12"], "--tile is '12'; expected HEIGHTxWIDTH"),
        (["export", "--model", "edsr", "--target", "android", "--recipe", "fp16", "--backend", "executorch"], "fp16"),
        (["export", "--model", "nowhere.safetensors", "--target", "android"], "nowhere.safetensors"),
        (["export", "--model", "edsr", "--target", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["export", "--model", "edsr", "--target", "android", "--calibration", "nowhere"], "nowhere"),
        (["export", "--model", "edsr", "--target", "android", "--reference", "nowhere"], "nowhere: is no reference"),
        (["export", "--target", "android"], "--model"),
        (["validate", "nowhere"], "nowhere"),
        (["bench", "nowhere"], "nowhere"),
        (["run", "nowhere", "picture.png"], "nowhere"),
        (["train", "edrs", "--out", "x"], "no model named 'edrs'"),
        (["train", "edsr", "--out", "x", "--data", "nowhere.zip"], "nowhere.zip: is not a file of training crops"),
        (["train", "edsr", "--out", "x", "--device", "tpu"], "--device is 'tpu'; expected cpu or cuda"),
        (["train", "edsr", "--out", "x", "--patch", "8"], "--patch"),
        (["reference", "--model", "edrs", "--out", "x"], "no model named 'edrs'"),
        (["reference", "--model", "edsr", "--out", "x", "--device", "tpu"], "--device is 'tpu'; expected cpu or cuda"),
        (["reference", "--model", "edsr", "--out", "x", "--device", "cpu", "--images", "nowhere"], "nowhere"),
        (["targets", "andriod"], "did you mean 'android'"),
        (["fly"], "fly"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, line, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capfd, *arguments)
    assert code == 2
    assert line in err and "Traceback" not in err
    assert len([text for text in err.splitlines() if text.startswith("error")]) == 1
    assert out == "" and list(tmp_path.iterdir()) == []


def test_unknown_keys_name_file_key_and_choices(capfd, tmp_path):
    target = tmp_path / "mine.toml"
    target.write_text('tile = [64, 64]\n[[artifact]]\nbackend = "executorch"\nrecipe = "int8"\ndelegate = "xnpack"\n')
    code, _, err = run(capfd, "export", "--model", "edsr", "--target", str(target))
    assert code == 2 and "mine.toml: [[artifact]] 1: delegate is 'xnpack'; expected one of portable, xnnpack" in err
    target.write_text('tiles = [64, 64]\n[[artifact]]\nbackend = "executorch"\nrecipe = "int8"\n')
    code, _, err = run(capfd, "export", "--model", "edsr", "--target", str(target))
    assert code == 2 and "mine.toml: unknown key 'tiles'; expected one of" in err


def test_lists_are_json_alone_on_stdout(capfd):
    for command in (["models"], ["targets"], ["recipes"], ["calibration", "list"], ["calibration"], ["targets", "android"], ["doctor"]):
        code, out, _ = run(capfd, *command, "--json")
        assert code == 0 and json.loads(out)
    names = {row["name"] for row in json.loads(run(capfd, "recipes", "--json")[1])}
    assert {"fp32", "fp16", "int8", "int8-dynamic", "int8-weights", "palettized-6", "palettized-4"} <= names


def test_help_loads_nothing_heavy_and_shows_every_command():
    loaded = "import sys; from edgekit.cli import main; main(['--help']); sys.exit(','.join({n.split('.')[0] for n in sys.modules} & set(sys.argv[1:])) or None)"
    heavy = (
        "torch",
        "numpy",
        "PIL",
        "executorch",
        "coremltools",
        "tensorflow",
        "ai_edge_litert",
        "litert_torch",
        "onnx",
        "onnxruntime",
        "spandrel",
        "scipy",
    )
    found = subprocess.run([sys.executable, "-c", loaded, *heavy], capture_output=True, text=True, check=False)
    assert (found.stderr.strip(), found.returncode) == ("", 0), "every command starts as slowly as --help does"
    text = subprocess.run([sys.executable, "-m", "edgekit", "--help"], capture_output=True, text=True, check=True).stdout
    commands = "export validate bench run reference report compare bundle prune train doctor models targets recipes calibration"
    assert all(name in text for name in commands.split())


def test_the_version_is_printed_alone(capfd):
    assert run(capfd, "--version") == (0, f"edgekit {version('edgekit')}\n", "")


def test_without_a_command_it_shows_them(capfd):
    code, out, err = run(capfd)
    assert (code, err) == (0, "") and out == run(capfd, "--help")[1] and "Commands:" in out


def tiny_checkpoint(folder: Path) -> Path:
    torch.manual_seed(0)
    path = folder / "tiny.safetensors"
    save_file(EDSR(2, blocks=1, channels=8).state_dict(), path)
    return path


def photographs(folder: Path, count: int = 2) -> Path:
    from PIL import Image

    folder.mkdir()
    for index in range(count):
        noise = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(index))
        smooth = torch.nn.functional.interpolate(noise[None], size=(192, 192), mode="bicubic")[0].clamp(0, 1)
        Image.fromarray((smooth * 255).round().byte().permute(1, 2, 0).numpy()).save(folder / f"{index}.png")
    return folder


def test_a_checkpoint_all_the_way_to_an_enhanced_picture(capfd, tmp_path, monkeypatch):
    """export, validate, bench and run on a tiny network through a real runtime."""
    monkeypatch.chdir(tmp_path)
    checkpoint, pictures = tiny_checkpoint(tmp_path), photographs(tmp_path / "mine")
    target = tmp_path / "tiny.toml"
    target.write_text(
        'tile = [64, 64]\n[[artifact]]\nbackend = "onnx"\nrecipe = "fp32"\n[[artifact]]\nbackend = "coreml"\nrecipe = "fp16"\n[budgets.restore]\npsnr_db = 60.0\n'
    )
    command = ["export", "--model", str(checkpoint), "--target", str(target), "--calibration", str(pictures), "--out", "bundle"]
    code, out, err = run(capfd, *command, "--json")
    assert code == 0, err
    document = json.loads(out)
    fp32, core_ml = document["manifest"]["artifacts"]
    assert fp32["parity"]["max_abs"] <= 1e-4 and fp32["parity"]["executed_by"] == "host" and fp32["latency"]["median_ms"] > 0
    if sys.platform != "darwin":
        assert core_ml["parity"]["executed_by"] == "evaluator" and core_ml["parity"]["psnr_db"] > 60 and "parity" not in core_ml["why_not"]
        assert core_ml["latency"] is None and "measure on the iPhone or a Mac" in core_ml["why_not"]["latency"]
        headroom = next(line for line in core_ml["budget"] if line["name"] == "fp16_headroom")
        assert headroom["status"] == "ok" and headroom["measured"] > 100
    assert document["verdict"]["ship"] == fp32["name"], "what has a latency comes before what has none"
    expected = {"manifest.json", "golden", "export.log", "evidence", "report.html", fp32["file"], core_ml["file"]}
    assert {p.name for p in Path("bundle").iterdir()} >= expected

    page = Path("bundle/report.html").read_text("utf-8")
    assert "Worst tiles" in page and page.count('class="wipe"') >= 4

    code, _, err = run(capfd, *command)
    assert code == 2 and "--force" in err
    with monkeypatch.context() as patch:
        patch.delitem(host.RUNTIMES, ".mlpackage")
        code, _, err = run(capfd, *command, "--force", "--strict")
    assert code == 1 and "not measured" in err and "NOT MEASURED" in err

    code, out, err = run(capfd, "validate", "bundle", "--golden-only", "--json")
    assert code == 0 and {c["status"] for c in json.loads(out)["golden"]} == {"ok", "not measured"}
    code, out, err = run(capfd, "validate", "bundle", "--weights", str(checkpoint), "--images", str(pictures), "--json")
    assert code == 0 and json.loads(out)["manifest"]["artifacts"][0]["parity"]["psnr_db"] > 90
    code, _, err = run(capfd, "validate", "bundle", "--weights", "edsr")
    assert code == 2 and "made from weights" in err

    code, out, _ = run(capfd, "bench", "bundle", "--rounds", "2", "--runs", "2", "--json")
    timed = json.loads(out)
    assert code == 0 and (timed["results"][0]["artifact"], timed["results"][0]["latency"]["runs"]) == (fp32["name"], 4)
    if sys.platform != "darwin":
        assert "not its speed" in timed["not_measured"][core_ml["name"]]

    code, out, err = run(capfd, "run", "bundle", str(pictures / "0.png"), "--out", "better", "--json")
    assert code == 0, err
    from PIL import Image

    with Image.open(json.loads(out)["results"][0]["result"]) as result:
        assert result.size == (384, 384)
    code, _, err = run(capfd, "run", "bundle", str(pictures / "0.png"), "--out", "better")
    assert code == 2 and "exists" in err

    (Path("bundle") / fp32["file"]).write_bytes(b"altered")
    for command in (["validate", "bundle"], ["bench", "bundle"], ["run", "bundle", str(pictures / "1.png")]):
        code, _, err = run(capfd, *command)
        assert code == 2 and fp32["file"] in err


def test_over_budget_is_exit_1_and_the_files_stay(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = tiny_checkpoint(tmp_path)
    target = tmp_path / "strict.toml"
    target.write_text('tile = [64, 64]\n[[artifact]]\nbackend = "onnx"\nrecipe = "int8"\n[budgets.restore]\npsnr_db = 99.0\n')
    pictures = photographs(tmp_path / "mine")
    code, _, err = run(capfd, "export", "--model", str(checkpoint), "--target", str(target), "--calibration", str(pictures), "--out", "b")
    assert code == 1 and "over budget: tiny-onnx-int8: psnr_db" in err and "budget 99" in err
    assert (tmp_path / "b" / "manifest.json").exists()


def test_a_missing_toolchain_gives_the_pip_line(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in [m for m in sys.modules if m.startswith("edgekit_targets.onnx.")]:
        monkeypatch.delitem(sys.modules, name)
    pictures = photographs(tmp_path / "mine")
    code, _, err = run(
        capfd,
        "export",
        "--model",
        str(tiny_checkpoint(tmp_path)),
        "--target",
        "desktop",
        "--calibration",
        str(pictures),
        "--tile",
        "64x64",
        "--out",
        "b",
    )
    assert code == 2 and 'pip install "edgekit[onnx]"' in err
    assert not (tmp_path / "b").exists()


def test_training_is_bounded_resumable_and_writes_a_card(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures = photographs(tmp_path / "mine")
    command = ["train", "edsr-mobile", "--data", str(pictures), "--out", "w", "--steps", "2", "--batch", "1", "--patch", "16", "--json"]
    code, out, err = run(capfd, *command)
    assert code == 0, err
    card = json.loads(out)
    assert card["steps"] == 2 and card["pictures"] >= 24 and card["crops"] == 2 and card["data"] == "photographs of the user's folder 'mine'"
    assert card["test"]["psnr_db"] - card["test"]["bicubic_db"] == pytest.approx(card["test"]["gain_db"]) and "over bicubic" in err
    assert json.loads((tmp_path / "w" / "edsr-mobile.json").read_text()) == card and (tmp_path / "w" / "edsr-mobile.safetensors").exists()
    code, _, err = run(capfd, *command)
    assert code == 2 and "--force" in err
    code, out, _ = run(capfd, *command[:5], "w", "--steps", "3", *command[8:], "--force")
    assert code == 0 and json.loads(out)["steps"] == 3, "resumed from step 2"


def test_training_from_packed_crops(capfd, tmp_path, monkeypatch):
    from edgekit_calibration.crops import pack
    from edgekit_calibration.pixels import read_pixels

    monkeypatch.chdir(tmp_path)
    pictures = [(path.stem, [read_pixels(path)]) for path in sorted(photographs(tmp_path / "mine", 3).iterdir())]
    pack(pictures, tmp_path / "crops.zip")
    command = ["train", "edsr-mobile", "--data", "crops.zip", "--out", "w", "--batch", "1", "--patch", "16", "--json"]
    code, out, err = run(capfd, *command, "--steps", "1")
    assert code == 0, err
    card = json.loads(out)
    assert (card["crops"], card["init"]) == (3, None) and card["data"].startswith("3 crops of crops.zip")
    code, _, err = run(capfd, *command, "--steps", "2", "--seed", "1", "--force")
    assert code == 2 and "was started with seed 0, got 1" in err
    code, _, err = run(capfd, *command, "--force", "--patch", "96")
    assert code == 2 and "training crops are 96 px at the network's input; expected at least the patch of 96 px" in err
    code, _, err = run(capfd, *command, "--steps", "1", "--out", "w2", "--init", "edsr")
    assert code == 2 and "none of its" in err and "fits EDSRMobile" in err


def test_a_captured_reference_is_used_and_another_is_refused(capfd, tmp_path, monkeypatch):
    """reference, then export, then validate with it; the same folder does not pass for another network."""
    monkeypatch.chdir(tmp_path)
    checkpoint, pictures = tiny_checkpoint(tmp_path), photographs(tmp_path / "mine")
    target = tmp_path / "tiny.toml"
    target.write_text('tile = [64, 64]\n[[artifact]]\nbackend = "onnx"\nrecipe = "fp32"\n[budgets.restore]\npsnr_db = 60.0\n')
    capture = ["reference", "--model", str(checkpoint), "--target", str(target), "--device", "cpu", "--out", "captured", "--json"]
    code, out, err = run(capfd, *capture)
    assert code == 0, err
    record = json.loads(out)
    assert record["kind"] == "cpu" and record["tile"] == [64, 64] and record["tiles"] >= 24 and "stands in for the CUDA reference" in err
    assert {timing["side"] for timing in record["timings"]} == {64, 128}
    code, _, err = run(capfd, *capture)
    assert code == 2 and "captured: holds a reference; expected a free name, or --force" in err

    export = ["export", "--model", str(checkpoint), "--target", str(target), "--calibration", str(pictures), "--out", "bundle", "--json"]
    code, out, err = run(capfd, *export, "--reference", "captured")
    assert code == 0, err
    told = json.loads(out)["manifest"]["reference"]
    assert told["device"].endswith("(CPU stand-in, captured)") and told["captured"] == record["captured"]
    assert told["flags"]["agreement"]["max_abs"] < 1e-4 and told["flags"]["agreement"]["values"] == record["tiles"] * 512 * 3

    save_file(EDSR(2, blocks=1, channels=8).state_dict(), tmp_path / "other.safetensors")
    code, _, err = run(capfd, *export[:2], "other.safetensors", *export[3:], "--force", "--reference", "captured")
    assert code == 2 and "was captured from weights" in err and "edgekit reference --model other" in err
    code, _, err = run(capfd, *export, "--force", "--reference", "captured", "--tile", "48x48")
    assert code == 2 and "was captured on" in err and "without --reference" in err
