"""The demo app's self-test over adb: the real adb and adbd (phone.py), where scripts stand in for Android's `pm` and `am` and for the app itself, which
copies a report to its place as the app would. The app itself is tested in tests/apps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import phone as phones
import pytest

from edgekit import bundle, embed, measured
from edgekit_targets.devices import arm64, demo_app

pytest.importorskip("executorch")
pytest.importorskip("litert_torch")

ON = f"adb:{phones.SERIAL}"
AM = """#!/bin/sh
echo "$@" >> /data/local/tmp/am.log
for word; do role="$word"; done
if [ -e /data/local/tmp/refuses ]; then
  echo "Starting: Intent {{ cmp={activity} }}"
  echo "Error type 3"
  echo "Error: Activity class {{{activity}}} does not exist."
  exit
fi
( sleep 0.2; printf '{{"half' > {folder}/device-report-$role.json
  sleep 0.7; cp /data/local/tmp/next.json {folder}/part && mv {folder}/part {folder}/device-report-$role.json ) > /dev/null 2>&1 &
echo "Status: ok"
"""


class DemoApp:
    """On the phone's disk, seen from outside."""

    def __init__(self, phone: phones.Phone, opened: bundle.Bundle) -> None:
        self.folder = phone.root / demo_app.FOLDER.lstrip("/")
        self.temporary = phone.root / "data/local/tmp"
        self.programs = phone.root / "usr/local/bin"
        self.opened = opened

    def install(self) -> None:
        self.folder.mkdir(parents=True)
        phones.script(self.programs / "pm", {"path": f"package:/data/app/{demo_app.PACKAGE}/base.apk"})
        (self.programs / "am").write_text(AM.format(activity=demo_app.ACTIVITY, folder=demo_app.FOLDER))
        (self.programs / "am").chmod(0o755)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("next.json", "refuses", "am.log"):
            (self.temporary / name).unlink(missing_ok=True)
        for name in ("pm", "am"):
            (self.programs / name).unlink(missing_ok=True)

    def report(self, created: str = "2026-11-21T10:30:00Z", model: str | None = None, **changes: Any) -> str:
        """On every file of the bundle; `changes` are of the first one."""
        made = self.opened.manifest
        artifacts = [
            {"name": a.name, "sha256": a.sha256, "runtime": f"{a.backend} 1.0", "why_not": {}, "thermal_before": "none", "thermal_after": "light"}
            | {"golden": {"within": True, "bit_equal": True, "max_abs": 0.0, "psnr_db": 100.0}}
            | {"latency": {"median_ms": 3.5, "p90_ms": 4.0, "runs": 20, "threads": 4, "peak_memory_mb": 9.0}}
            for a in made.artifacts
        ]
        artifacts[0] |= changes
        device = {"manufacturer": "Edgekit", "model": "Desk Phone", "system": "Android 14 (API 34)", "processor": "qemu", "memory_mb": 4096}
        about = {"model": model or made.model.name, "created": made.created}
        return json.dumps({"device_report": 1, "app": "test 1", "created": created, "bundle": about, "device": device, "artifacts": artifacts})

    def will_say(self, text: str) -> None:
        (self.temporary / "next.json").write_text(text)

    def said(self, role: str, text: str) -> None:
        (self.folder / f"device-report-{role}.json").write_text(text)


@pytest.fixture(scope="module")
def whole(tiny_bundle, tmp_path_factory):
    """A copy: the original's measured/ belongs to other tests."""
    return embed.embed(bundle.read(tiny_bundle.path), tmp_path_factory.mktemp("whole") / "tiny", None).bundle.path


@pytest.fixture(scope="module")
def quick(whole, tmp_path_factory):
    """Without the files that the shell's runner would time."""
    names = ["tiny-tflite-fp32", "tiny-tflite-int8"]
    return embed.embed(bundle.read(whole), tmp_path_factory.mktemp("quick") / "tiny", None, names).bundle.path


@pytest.fixture
def app(phone, quick):
    app = DemoApp(phone, bundle.read(quick))
    app.remove()
    yield app
    app.remove()


def bench(phone, path: Path, *options: str):
    return phone.edgekit("bench", str(path), "--on", ON, "--rounds", "1", "--runs", "1", "--json", *options)


def test_self_test_is_started_awaited_and_read(phone, app, whole):
    app.opened = bundle.read(whole)
    app.install()
    app.said("preview", app.report(created="2020-01-01T00:00:00Z"))
    app.will_say(app.report())
    done = bench(phone, whole, "--self-test", "--as", "preview")
    assert done.returncode == 0, done.stderr
    assert (app.temporary / "am.log").read_text() == f"start -W -S -n {demo_app.ACTIVITY} --ez run true --es role preview\n"
    document = json.loads(done.stdout)
    assert [told["device_report"]["created"] for told in document["app"]] == ["2026-11-21T10:30:00Z"], "not the old one, and not half of the new one"
    assert document["results"] and document["measured"]["device"]["executed_by"] == "adb", "the runner's latencies stand beside it"
    found = measured.read(whole / "measured/edgekit-desk-phone-app.json")
    assert found.device.executed_by == "app" and all(a.latency and a.latency.median_ms == 3.5 for a in found.artifacts)
    assert (whole / "measured/edgekit-desk-phone.json").exists()


def test_a_first_report(phone, app, quick):
    app.install()
    app.will_say(app.report(golden={"within": True, "bit_equal": False, "max_abs": 0.9, "psnr_db": 9.0}))
    done = bench(phone, quick, "--self-test")
    assert done.returncode == 1 and "over budget: tiny-tflite-fp32: largest difference 0.9" in done.stderr
    assert json.loads(done.stdout)["app"], "the document comes all the same"


def test_without_the_runner_the_app_is_still_asked(phone, app, quick, tmp_path):
    app.install()
    app.will_say(app.report())
    environment = phone.environment.copy()
    phone.environment[arm64.FOLDER] = str(tmp_path)
    try:
        done = bench(phone, quick, "--self-test")
        assert done.returncode == 0, done.stderr
        assert "NOT MEASURED  tiny-tflite-fp32: by the shell's runner" in done.stderr and json.loads(done.stdout)["app"]
        assert bench(phone, quick).returncode == 2, "and without a self-test it is what the command needs"
    finally:
        phone.environment.update(environment)


def test_reports_that_lie_there_are_collected(phone, app, quick):
    app.install()
    app.said("capture", app.report(sha256="f" * 64))
    app.said("preview", app.report(model="edsr-mobile"))
    app.said("broken", '{"device_report": 1')
    app.said("$(reboot)", app.report())
    done = bench(phone, quick)
    assert done.returncode == 0, done.stderr
    assert "'preview' is edsr-mobile: another model's bundle" in done.stderr and "OTHER FILE  tiny-tflite-fp32" in done.stderr
    assert "NOT MEASURED  in the app, as 'broken'" in done.stderr and "reboot" not in done.stderr
    assert len(json.loads(done.stdout)["app"]) == 1


def test_no_app_no_report(phone, app, quick):
    done = bench(phone, quick)
    assert done.returncode == 0 and "NOT MEASURED  in an app: edgekit.demo is not installed" in done.stderr and "app" not in json.loads(done.stdout)
    done = bench(phone, quick, "--self-test")
    assert done.returncode == 2 and "edgekit.demo is not installed on phone" in done.stderr and done.stdout == ""
    app.install()
    done = bench(phone, quick)
    assert done.returncode == 0 and "NOT MEASURED  in the app: its self-test has not run; --self-test runs it" in done.stderr


def test_an_app_that_does_not_start(phone, app, quick):
    app.install()
    (app.temporary / "refuses").touch()
    done = bench(phone, quick, "--self-test")
    assert done.returncode == 2 and "the self-test did not start on phone" in done.stderr and "does not exist." in done.stderr


def test_options_that_do_not_go_together(phone, app, quick):
    done = phone.edgekit("bench", str(quick), "--self-test")
    assert done.returncode == 2 and "--self-test runs an app on a phone, --on is 'host'" in done.stderr
    app.install()
    done = bench(phone, quick, "--self-test", "--as", "a; reboot")
    assert done.returncode == 2 and "--as is 'a; reboot'; expected preview, capture" in done.stderr
    assert not (app.temporary / "am.log").exists()


# What only a stand-in for adb can do: a report that never comes, a phone that goes away.


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """An AdbShell whose adb answers by the body of a `case "$*"`."""
    from edgekit_targets.devices.adb_shell import AdbShell

    def make(answers: str) -> AdbShell:
        path = tmp_path / "bin/adb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\ncase "$*" in\ndevices) printf "List\\nP1\\tdevice\\n" ;;\n{answers}\nesac\n')
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
        return AdbShell("P1")

    return make


def test_a_report_that_never_comes(shell):
    from edgekit.errors import CannotRunHere

    phone = shell('*cat*) echo "cat: device-report-capture.json: No such file or directory" >&2; exit 1 ;;\n*am\\ start*) echo "Status: ok" ;;')
    with pytest.raises(CannotRunHere, match="the self-test of 'capture' left no fresh report on phone 'P1' within 1 s; expected it unlocked"):
        demo_app.self_test(phone, "capture", seconds=1)
    phone = shell('*cat*) printf old ;;\n*am\\ start*) echo "Status: ok" ;;')
    with pytest.raises(CannotRunHere, match="left no fresh report"):
        demo_app.self_test(phone, "capture", seconds=1)


def test_a_phone_that_goes_away(shell):
    from edgekit.errors import CannotRunHere

    phone = shell('*cat*) echo "error: device offline" >&2; exit 1 ;;')
    with pytest.raises(CannotRunHere, match="does not show /sdcard/.*/device-report-capture.json: error: device offline"):
        demo_app.self_test(phone, "capture")
