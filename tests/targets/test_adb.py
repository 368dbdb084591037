"""A phone over adb: the real adb and the real adbd, whose processor is ARM64 under qemu, in namespaces of their own (phone.py)."""

import json
import stat

import phone as phones
import pytest

from edgekit import measured
from edgekit.errors import CannotRunHere, LoweringError
from edgekit_targets.devices import arm64, jobs
from edgekit_targets.devices.adb import Adb

pytest.importorskip("executorch")
pytest.importorskip("litert_torch")


@pytest.fixture(scope="module")
def found(phone, tiny_bundle):
    """`edgekit validate --on adb:SERIAL`, run once."""
    done = phone.edgekit(*tiny_bundle.validate(f"adb:{phones.SERIAL}"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_the_phone_gives_what_x86_gave(found):
    artifacts = {a["name"]: a for a in found[0]["measured"]["artifacts"]}
    fp32, int8 = artifacts["tiny-executorch-fp32"], artifacts["tiny-executorch-int8"]
    assert int8["golden"]["bit_equal"] and fp32["golden"]["max_abs"] <= 1e-5
    for one in (fp32, int8):
        assert one["parity"]["executed_by"] == "adb" and one["parity"]["tiles"] > 1 and one["parity"]["runs_equal"]
        assert one["latency"]["runs"] == 20 and one["latency"]["median_ms"] > 0 and one["latency"]["peak_memory_mb"] > 0
        assert one["latency"]["ratio_to_reference"] is None, "the reference ran on another device"
        assert "Edgekit Desk Phone, Android 14 (API 34), arm64-v8a" in one["latency"]["device"]


def test_litert_files_are_not_measured_and_it_is_said(found):
    document, said = found
    for one in document["measured"]["artifacts"]:
        if "tflite" in one["name"]:
            assert one["golden"] is one["parity"] is one["latency"] is None
            assert all("executes .pte files only" in one["why_not"][key] for key in ("golden", "parity", "latency"))
    assert "NOT MEASURED" in said and "executes .pte files only" in said


def test_what_the_phone_is_and_how_warm_it_was(found, tiny_bundle):
    place = tiny_bundle.path / "measured/edgekit-desk-phone.json"
    assert found[0]["written"] == str(place)
    device = measured.read(place).device
    assert device.executed_by == "adb" and device.facts["soc"] == "qemu"
    assert device.facts["thermal_before"] == device.facts["thermal_after"] == "light, battery 31.2 C"
    assert {"neon", "dotprod", "i8mm"} <= set(device.facts["cpu_features"].split())


def test_bench_renews_the_latency_and_leaves_the_parity(phone, found, tiny_bundle):
    done = phone.edgekit("bench", str(tiny_bundle.path), "--on", f"adb:{phones.SERIAL}", "--rounds", "2", "--runs", "3", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {r["artifact"] for r in document["results"]} == {"tiny-executorch-fp32", "tiny-executorch-int8"}
    assert all("executes .pte files only" in reason for reason in document["not_measured"].values()) and len(document["not_measured"]) == 2
    before = {a["name"]: a for a in found[0]["measured"]["artifacts"]}
    for one in document["measured"]["artifacts"]:
        assert one["parity"] == before[one["name"]]["parity"] and one["golden"] == before[one["name"]]["golden"]
        assert (one["latency"] is None) == ("tflite" in one["name"]) and (one["latency"] is None or one["latency"]["runs"] == 6)


def test_only_the_runner_stays_on_the_phone(phone, found, arm64_kit):
    (place,) = (phone.root / "data/local/tmp/edgekit").iterdir()
    assert place.name == arm64_kit.digest()
    assert {p.name for p in place.iterdir()} == {p.name for p in arm64_kit.runner.iterdir()} | {".whole"}


def test_a_phone_that_is_not_there(phone, tiny_bundle):
    done = phone.edgekit("validate", str(tiny_bundle.path), "--on", "adb:emulator-7777")
    assert done.returncode == 2 and done.stdout == ""
    assert "no phone 'emulator-7777' is connected; adb sees: " in done.stderr and phones.SERIAL in done.stderr
    done = phone.edgekit("bench", str(tiny_bundle.path), "--on", "adb:127.0.0.1:5999")
    assert done.returncode == 2 and "no phone '127.0.0.1:5999' is connected" in done.stderr


# Phones that misbehave: a shell script stands in for adb, because a real one cannot be made to.


@pytest.fixture
def adb(tmp_path, monkeypatch):
    """Writes a stand-in for adb; `answers` is the body of its `case "$*"`."""

    def write(answers: str) -> None:
        path = tmp_path / "bin/adb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\ncase "$*" in\n{answers}\nesac\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")

    return write


@pytest.fixture
def kit(tmp_path):
    place = tmp_path / "kit"
    (place / "runner").mkdir(parents=True)
    (place / "runner/runner").write_bytes(b"")
    arm64.save(place, arm64.Versions(arm64.installed("executorch"), arm64.installed("ai-edge-litert"), arm64.source_digest(), "3.11", "10.0.2"))
    return arm64.find(place)


READY = 'devices) printf "List of devices attached\\nP1\\tdevice\\n" ;;\n*ro.product.cpu.abi) echo {abi} ;;\n*getprop*) echo Made ;;\n{more}'


def test_phones_that_are_not_ready_or_not_arm64(adb, kit):
    adb('devices) printf "List of devices attached\\nP1\\tunauthorized\\n" ;;')
    with pytest.raises(CannotRunHere, match="phone 'P1' is unauthorized; expected it ready: accept its prompt"):
        Adb("P1", kit)
    adb('devices) printf "List of devices attached\\n\\n" ;;')
    with pytest.raises(CannotRunHere, match="no phone 'P1' is connected; adb sees: none"):
        Adb("P1", kit)
    adb('devices) echo "cannot bind listener" >&2; exit 1 ;;')
    with pytest.raises(CannotRunHere, match="`adb devices` failed: cannot bind listener; expected an adb server"):
        Adb("P1", kit)
    adb(READY.format(abi="x86_64", more=""))
    with pytest.raises(CannotRunHere, match="phone 'P1' is x86_64; expected arm64-v8a, which the runner is built for"):
        Adb("P1", kit)


def test_a_phone_that_goes_away_is_not_measured(adb, kit, tmp_path):
    import torch

    adb(READY.format(abi="arm64-v8a", more='*push*) echo "error: device offline" >&2; exit 1 ;;'))
    (tmp_path / "net.pte").write_bytes(b"1")
    device = Adb("P1", kit)
    assert device.name == "made-made"
    with pytest.raises(CannotRunHere, match="`adb push` failed on phone 'P1': error: device offline; expected it connected"):
        device.run(tmp_path / "net.pte", [(torch.zeros(1),)])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"outputs": []}']
    + [
        json.dumps({"outputs": [{"dtype": dtype, "shape": shape}], "times_ms": times, "threads": threads, "peak_memory_kb": 1, "features": []})
        for dtype, shape, times, threads in (
            ("float64", [1], [], 1),
            ("float32", [-1], [], 1),
            ("float32", ["x"], [], 1),
            ("float32", [1], [float("nan")], 1),
            ("float32", [1], [-1.0], 1),
            ("float32", [1], 3, 1),
            ("float32", [1], [], 0),
        )
    ],
)
def test_a_report_that_is_not_sound_is_no_result(text, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.json").write_text(text)
    with pytest.raises(LoweringError, match="the runner left no sound report"):
        jobs.read_report(tmp_path, "net.pte")


def test_outputs_that_came_back_short_are_no_result(tmp_path):
    (tmp_path / "out").mkdir()
    report = jobs.Report((("float32", (1, 3, 4, 4)),), (), 1, None, ())
    for data in (None, b"\0" * 4, b"\0" * 200):
        if data is not None:
            (tmp_path / "out/0-0.bin").write_bytes(data)
        with pytest.raises(LoweringError, match="output 0-0.bin did not come back whole"):
            jobs.read(tmp_path, 1, report, "net.pte")
