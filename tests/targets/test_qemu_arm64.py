"""ARM64 under qemu: the same numbers as on x86, from the same files, and nothing said about speed."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import pictures

from edgekit import measured
from edgekit.cli import main
from edgekit.errors import CannotRunHere, InvalidFile
from edgekit_targets import devices
from edgekit_targets.devices import arm64
from edgekit_targets.devices.host import Host
from edgekit_targets.devices.qemu_arm64 import QemuArm64

pytest.importorskip("executorch")
pytest.importorskip("litert_torch")

FP32_MOST = 1e-5


@pytest.fixture(autouse=True)
def fresh_terminal(monkeypatch):
    import edgekit.cli.console as console

    monkeypatch.setattr(console, "_terminal", None)


@pytest.fixture(scope="module")
def found(arm64_kit, tiny_bundle):
    """`edgekit validate --on qemu-arm64`, run once: its JSON document, and the manifest's bytes before and after, and what `measured/` gained."""
    from contextlib import redirect_stdout
    from io import StringIO

    manifest = tiny_bundle.path / "manifest.json"
    before, out, place = manifest.read_bytes(), StringIO(), tiny_bundle.path / "measured"
    had = set(place.iterdir()) if place.exists() else set()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setenv(arm64.FOLDER, str(arm64_kit.folder))
        assert main(tiny_bundle.validate("qemu-arm64")) == 0
    return json.loads(out.getvalue()), before, manifest.read_bytes(), set(place.iterdir()) - had


@pytest.mark.parametrize("artifact", ["tiny-executorch-fp32", "tiny-executorch-int8", "tiny-tflite-fp32", "tiny-tflite-int8"])
def test_arm64_gives_what_x86_gave(found, artifact):
    (one,) = (a for a in found[0]["measured"]["artifacts"] if a["name"] == artifact)
    assert one["golden"]["within"]
    if artifact.endswith("fp32"):
        assert one["golden"]["max_abs"] <= FP32_MOST
    else:
        assert one["golden"]["bit_equal"] and one["golden"]["max_abs"] == 0
    assert (one["parity"]["executed_by"], one["parity"]["tiles"], one["parity"]["runs_equal"]) == ("qemu-arm64", 1, True)
    assert one["parity"]["psnr_db"] > (90 if artifact.endswith("fp32") else 35)
    assert one["latency"] is None and "says nothing about a phone" in one["why_not"]["latency"]


def test_the_measurements_lie_beside_the_manifest(found, tiny_bundle):
    document, before, after, gained = found
    place = tiny_bundle.path / "measured/qemu-arm64.json"
    assert document["written"] == str(place) and json.loads(place.read_text()) == document["measured"]
    assert gained == {place}
    assert before == after
    read = measured.read(place)
    assert read.device.executed_by == "qemu-arm64" and len(read.artifacts) == 4
    assert {"neon", "dotprod", "i8mm"} <= set(read.device.facts["cpu_features"].split())
    assert "an app's own build" in read.device.facts["note"]


def test_budgets_are_not_judged_by_one_tile(arm64_kit, tiny_bundle, capfd, monkeypatch):
    monkeypatch.setenv(arm64.FOLDER, str(arm64_kit.folder))
    assert main([*tiny_bundle.validate("qemu-arm64"), "--golden-only"]) == 0
    out, err = capfd.readouterr()
    kept = json.loads(out)["measured"]["artifacts"]
    assert "golden  tiny-executorch-int8" in err and all(a["parity"] for a in kept), "the parity of an earlier validate stays"
    assert main([*tiny_bundle.validate("host"), "--tiles", "1", "--strict"]) == 1
    err = capfd.readouterr().err
    assert "NOT MEASURED  the budgets" in err and "on 1 tile, against" in err
    assert not (tiny_bundle.path / "measured/host.json").exists()


@pytest.mark.parametrize("cpu", ["neoverse-n1", "cortex-a53"])
def test_processors_with_fewer_instructions_agree(arm64_kit, tiny_bundle, cpu):
    """Neither has i8mm; the second has no dotprod. Other kernels, the same integers."""
    tiles = [(picture,) for picture in pictures(2, seed=3, side=64)]
    device = QemuArm64(arm64_kit, cpu)
    int8, fp32 = (tiny_bundle.path / f"tiny-executorch-{precision}.pte" for precision in ("int8", "fp32"))
    for file, most in ((int8, 0.0), (fp32, FP32_MOST)):
        here, there = Host().run(file, tiles).outputs, device.run(file, tiles).outputs
        assert max(float((a - b).abs().max()) for (a,), (b,) in zip(here, there, strict=True)) <= most
    features = device.facts()["cpu_features"].split()
    assert "i8mm" not in features and ("dotprod" in features) == (cpu == "neoverse-n1")


def test_a_channels_last_tile_is_read_as_it_is(arm64_kit, tiny_bundle):
    (tile,) = pictures(1, seed=5, side=64)
    device, file = QemuArm64(arm64_kit), tiny_bundle.path / "tiny-executorch-int8.pte"
    plain, last = device.run(file, [(tile,), (tile.to(memory_format=torch.channels_last),)], repeats=3).outputs
    assert torch.equal(plain[0], last[0]) and plain[0].shape == (1, 3, 128, 128)


def test_uint8_files(arm64_kit, tmp_path):
    from edgekit import rewrite
    from edgekit.models.edsr import EDSR
    from edgekit_targets import backend

    chosen = backend("executorch")
    torch.manual_seed(1)
    tile = (torch.zeros(1, 3, 32, 32),)
    network = rewrite.apply(EDSR(2, 1, 8).eval(), tile, (*chosen.rewrites, "uint8_io")).module
    tiles = [((picture * 255).round().to(torch.uint8),) for picture in pictures(2, side=32)]
    file = chosen.lower(network, tiles[0], None, (), tmp_path / "u8.pte").file
    here, there = Host().run(file, tiles).outputs, QemuArm64(arm64_kit).run(file, tiles).outputs
    for (a,), (b,) in zip(here, there, strict=True):
        assert b.dtype == torch.uint8 and b.float().std() > 0 and (a.int() - b.int()).abs().max() <= 1


def test_what_cannot_run_is_said(arm64_kit, tiny_bundle, tmp_path):
    device, tile = QemuArm64(arm64_kit), (torch.zeros(1, 3, 64, 64),)
    with pytest.raises(CannotRunHere, match=r"net.onnx: no runtime for '.onnx' under qemu; expected .pte or .tflite"):
        device.run(tmp_path / "net.onnx", [tile])
    with pytest.raises(InvalidFile, match="cannot be read"):
        device.run(tmp_path / "gone.pte", [tile])
    for suffix in (".pte", ".tflite"):
        (tmp_path / f"noise{suffix}").write_bytes(os.urandom(4096))
        with pytest.raises(InvalidFile, match="cannot load it"):
            device.run(tmp_path / f"noise{suffix}", [tile])
        backend = "executorch" if suffix == ".pte" else "tflite"
        with pytest.raises(InvalidFile, match=r"fewer bytes|does not fit"):
            device.run(tiny_bundle.path / f"tiny-{backend}-fp32{suffix}", [(torch.zeros(1, 3, 32, 32),)])


# The kit


def test_an_absent_or_other_kit_names_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(arm64.FOLDER, raising=False)
    with pytest.raises(CannotRunHere, match=r"holds no ARM64 runner; expected one: make it with `make arm64`"):
        arm64.find()
    place = tmp_path / "kit"
    place.mkdir()
    versions = arm64.Versions(arm64.installed("executorch"), arm64.installed("ai-edge-litert"), arm64.source_digest(), "3.11", "10.0.2")
    for altered, words in (({"executorch": "0.1"}, "ExecuTorch 0.1, here is"), ({"runner": "0" * 12}, "the runner's source 000000000000, here is")):
        arm64.save(place, replace(versions, **altered))
        with pytest.raises(CannotRunHere, match=words):
            arm64.find(place)
    for text in ("{", "[]", '{"qemu": "10"}'):
        (place / "kit.json").write_text(text)
        with pytest.raises(CannotRunHere, match=r"kit.json cannot be used"):
            arm64.find(place)
    arm64.save(place, versions)
    assert arm64.find(place).python == place / "sysroot/usr/bin/python3.11"
    arm64.save(place, replace(versions, qemu="7.2.19"))
    with pytest.raises(CannotRunHere, match=r"qemu is 7.2.19; expected 9 or newer"):
        QemuArm64(arm64.find(place))


def test_a_qemu_that_does_not_start_is_no_pass(arm64_kit, tiny_bundle, tmp_path):
    place = tmp_path / "kit"
    place.mkdir()
    shutil.copytree(arm64_kit.runner, place / "runner")
    arm64.save(place, arm64_kit.versions)
    with pytest.raises(CannotRunHere, match=r"qemu did not run it"):
        QemuArm64(arm64.find(place)).run(tiny_bundle.path / "tiny-executorch-fp32.pte", [(torch.zeros(1, 3, 64, 64),)])


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (
            ["validate", "BUNDLE", "--on", "qemu-arm46"],
            "no device named 'qemu-arm46'; known: adb:SERIAL, host, qemu-arm64 (did you mean 'qemu-arm64'?)",
        ),
        (["bench", "BUNDLE", "--on", "phone"], "no device named 'phone'; known: adb:SERIAL, host, qemu-arm64"),
        (["validate", "BUNDLE", "--on", "adb:"], "--on is 'adb:'; expected adb:SERIAL"),
        (["validate", "BUNDLE", "--on", "adb:serial"], "adb is not here; expected Android's platform tools on the PATH"),
        (["bench", "BUNDLE", "--on", "adb:serial"], "adb is not here; expected Android's platform tools on the PATH"),
        (["validate", "BUNDLE", "--on", "qemu-arm64"], "holds no ARM64 runner; expected one: make it with `make arm64`"),
        (["bench", "BUNDLE", "--on", "qemu-arm64"], "bench cannot run on qemu-arm64: emulated time says nothing about a phone"),
    ],
)
def test_devices_that_are_not_there_are_one_line_and_exit_2(tiny_bundle, command, line, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(arm64.FOLDER, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    code = main([str(tiny_bundle.path) if word == "BUNDLE" else word for word in command])
    out, err = capfd.readouterr()
    assert (code, out) == (2, "") and line in err and "Traceback" not in err
    assert len([text for text in err.splitlines() if text.startswith("error")]) == 1


def test_only_devices_elsewhere_write_files(arm64_kit):
    assert isinstance(QemuArm64(arm64_kit), devices.Elsewhere) and not isinstance(Host(), devices.Elsewhere)


def test_the_runner_ships_with_the_package():
    assert arm64.SOURCE.is_file() and Path(arm64.SOURCE).parent == Path(devices.__file__).parent
