"""What an app's self-test screen wrote: read strictly, judged by its numbers, written beside the manifest and shown in the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from bundles import sample

from edgekit import bundle, device_report, manifest_file, measured, report
from edgekit.bundle import Bundle
from edgekit.cli import console, main
from edgekit.errors import InvalidFile

FIXTURES = Path(__file__).parents[1] / "fixtures"
CASES = json.loads((FIXTURES / "device_reports.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def fresh_terminal(monkeypatch):
    monkeypatch.setattr(console, "_terminal", None)


@pytest.fixture
def opened(tmp_path) -> Bundle:
    (tmp_path / "parts").mkdir()
    return bundle.write(tmp_path / "net", *sample(tmp_path / "parts"))


def told(opened: Bundle, **changes: Any) -> dict[str, Any]:
    """A report on the sample bundle's int8 file."""
    artifact = opened.manifest.artifacts[0]
    return {
        "device_report": 1,
        "app": "edgekit-ios-demo 0.1.0",
        "created": "2026-11-21T10:30:00Z",
        "bundle": {"model": "net", "created": opened.manifest.created},
        "device": {"manufacturer": "Apple", "model": "iPhone16,1", "system": "iOS 18.1", "processor": "arm64e", "memory_mb": 8000},
        "artifacts": [
            {
                "name": artifact.name,
                "sha256": artifact.sha256,
                "runtime": "Core ML, all compute units",
                "golden": {"within": True, "bit_equal": False, "max_abs": 0.01, "psnr_db": 55.0},
                "latency": {"median_ms": 4.5, "p90_ms": 5.0, "runs": 20, "threads": None, "peak_memory_mb": 60.5},
                "thermal_before": "none",
                "thermal_after": "light",
                "why_not": {},
            }
            | changes
        ],
    }


def command(opened: Bundle, table: dict[str, Any], capfd, *options: str) -> tuple[int, str, str]:
    file = opened.path.parent / "device-report-capture.json"
    file.write_text(json.dumps(table), "utf-8")
    code = main(["validate", str(opened.path), "--device-report", str(file), *options])
    return code, *capfd.readouterr()


@pytest.mark.parametrize("case", [pytest.param(case, id=case["file"]) for case in CASES["cases"]])
def test_the_shared_reports(case, tmp_path):
    file = FIXTURES / "device_reports" / case["file"]
    if case["outcome"] == "refused":
        with pytest.raises(InvalidFile) as refused:
            device_report.read(file)
        line = str(refused.value)
        assert case["where"] in line.removeprefix(str(file)) and line.isprintable() and len(line) < 400
        return
    manifest = manifest_file.from_json((FIXTURES / CASES["bundle"]).read_text("utf-8"), "manifest.json")
    checks = device_report.against(device_report.read(file), Bundle(tmp_path, manifest))
    found = {check.golden for check in checks}
    assert case["outcome"] == ("other file" if "other file" in found else "over" if "over" in found else "ok")


def test_the_schema_is_one_and_knows_the_whole_report():
    jsonschema.Draft202012Validator.check_schema(device_report.schema())
    validator = jsonschema.Draft202012Validator(device_report.schema())
    for case in CASES["cases"]:
        if case["outcome"] != "refused":
            validator.validate(json.loads((FIXTURES / "device_reports" / case["file"]).read_text("utf-8")))


def test_a_good_report_is_shown_and_kept(opened, capfd):
    code, out, err = command(opened, told(opened), capfd)
    assert code == 0 and out == ""
    assert "device  Apple iPhone16,1, iOS 18.1, 8000 MB; edgekit-ios-demo 0.1.0" in err
    assert "golden  net-int8: largest difference 0.01 (at most 0.03), 55.0 dB (at least 45), Core ML, all compute units" in err
    assert "latency net-int8: median 4.5 ms, p90 5.0 ms a tile, 20 runs, threads not told, peak 60 MB" in err
    assert "thermal net-int8: none before, light after\n" in err
    assert "NOT MEASURED  net-fp16: the app's report does not speak of it" in err and "NOT MEASURED  the budgets" in err
    found = measured.read(opened.path / "measured/apple-iphone16-1-app.json")
    int8, fp16 = found.artifacts
    assert found.device.executed_by == "app" and found.device.facts["thermal_after"] == "light"
    assert int8.golden == measured.Agreement(True, False, 0.01, 55.0) and int8.latency and int8.latency.threads is None and int8.parity is None
    assert fp16.golden is fp16.latency is None and set(fp16.why_not) == {"golden", "parity", "latency"}


def test_the_bundles_page_shows_it_labelled(opened, capfd):
    assert command(opened, told(opened), capfd)[0] == 0
    page = report.build(opened)
    assert "apple-iphone16-1-app" in page and "an app&#39;s self-test screen on the device itself" in page
    assert "55.0 dB" in page and "4.5" in page and "thermal after: light" in page


def test_json_is_one_document(opened, capfd):
    code, out, _ = command(opened, told(opened), capfd, "--json")
    document = json.loads(out)
    assert code == 0 and [check["golden"] for check in document["checks"]] == ["ok", "not measured"]
    assert document["written"].endswith("apple-iphone16-1-app.json") and document["measured"]["device"]["executed_by"] == "app"


def test_a_failed_golden_check_is_exit_1_whatever_the_app_says(opened, capfd):
    code, _, err = command(opened, told(opened, golden={"within": True, "bit_equal": False, "max_abs": 0.2, "psnr_db": 55.0}), capfd)
    assert code == 1 and "the app says within: the numbers count" in err and "over budget: net-int8" in err
    (found,) = (a for a in measured.read(opened.path / "measured/apple-iphone16-1-app.json").artifacts if a.golden)
    assert found.golden and not found.golden.within
    code, _, err = command(opened, told(opened, golden={"within": False, "bit_equal": False, "max_abs": None, "psnr_db": None}), capfd)
    assert code == 1 and "values that are not finite" in err


def test_another_file_is_exit_1_and_leaves_nothing(opened, capfd):
    code, _, err = command(opened, told(opened, sha256="f" * 64), capfd)
    assert code == 1 and "OTHER FILE  net-int8: the app's file has sha256 ffffffffffff, the bundle's" in err and "nothing was written" in err
    assert not (opened.path / "measured").exists()


def test_what_was_not_measured_says_why(opened, capfd):
    nothing = {"golden": None, "latency": None, "thermal_before": None, "why_not": {"golden": "out of memory", "latency": "out of memory"}}
    code, _, err = command(opened, told(opened, **nothing), capfd)
    assert code == 0 and "golden  net-int8: NOT MEASURED: out of memory" in err and "latency net-int8: NOT MEASURED: out of memory" in err
    assert "thermal net-int8: NOT MEASURED" in err
    code, _, err = command(opened, told(opened, **nothing), capfd, "--strict")
    assert code == 1 and "not measured: net-int8; net-fp16" in err


def test_a_hot_phone_is_pointed_out(opened, capfd):
    assert "none before, severe after; the phone slowed down" in command(opened, told(opened, thermal_after="severe"), capfd)[2]


def test_a_file_without_golden_output_cannot_be_judged(opened):
    fp16 = opened.manifest.artifacts[1]
    spoken = device_report.from_json(json.dumps(told(opened, name=fp16.name, sha256=fp16.sha256)), "report.json")
    check = device_report.against(spoken, opened)[1]
    assert (check.golden, check.line) == ("not measured", "the bundle holds no golden output for it")
    written = device_report.record(spoken, device_report.against(spoken, opened), opened)
    assert written and written[0].artifacts[1].golden is None and written[0].artifacts[1].latency


def test_a_bundle_made_again_with_the_same_bytes_is_told(opened, capfd):
    table = told(opened)
    table["bundle"]["created"] = "2025-01-01T00:00:00Z"
    code, _, err = command(opened, table, capfd)
    assert code == 0 and "note    the app's bundle is net of 2025-01-01T00:00:00Z" in err


@pytest.mark.parametrize(
    "options", [["--on", "qemu-arm64"], ["--golden-only"], ["--layers"], ["--tiles", "2"], ["--images", "x"], ["--weights", "x"]]
)
def test_it_stands_alone(opened, capfd, options):
    code, _, err = command(opened, told(opened), capfd, *options)
    assert code == 2 and f"--device-report reads what was measured on a phone, {options[0]} measures" in err


def test_files_that_are_no_reports(opened, tmp_path, capfd):
    (tmp_path / "large.json").write_bytes(b" " * (measured.LARGEST + 1))
    for name, words in (("nowhere.json", "cannot be read"), ("parts", "cannot be read"), ("large.json", "has more than")):
        assert main(["validate", str(opened.path), "--device-report", str(tmp_path / name)]) == 2
        err = capfd.readouterr().err
        assert words in err and "expected the JSON that the app's self-test screen wrote" in err


def test_names_of_phones_are_fit_for_files(opened):
    spoken = device_report.from_json(json.dumps(told(opened)), "report.json")
    for manufacturer, model, name in (
        ("", "", "phone-app"),
        ("ACME!", "Ü/../x", "acme-x-app"),
        ("漢", "字", "phone-app"),
        ("a" * 100, "b", "a" * 60 + "-app"),
    ):
        phone = replace(spoken.device, manufacturer=manufacturer, model=model)
        assert device_report.device(replace(spoken, device=phone)).name == name
