"""measured/<device>.json: written whole, read strictly, renewed in parts, and the manifest untouched."""

import json
from dataclasses import replace

import jsonschema
import pytest
from bundles import sample

from edgekit import bundle, measured
from edgekit.errors import InvalidFile
from edgekit.manifest import ArtifactLatency

PHONE = measured.MeasuredDevice("pixel-8", "adb", {"description": "Google Pixel 8", "thermal_before": "none"})


@pytest.fixture
def opened(tmp_path):
    (tmp_path / "parts").mkdir()
    described, files = sample(tmp_path / "parts")
    return bundle.write(tmp_path / "bundle", described, files)


def artifacts(opened, **values):
    """The bundle's two files as measured: the first with `values`, the second not at all."""
    int8, fp16 = opened.manifest.artifacts
    reasons = dict.fromkeys(("golden", "parity", "latency"), "not tried")
    return [
        measured.MeasuredArtifact(int8.name, int8.file, int8.sha256, **values, why_not={k: v for k, v in reasons.items() if k not in values}),
        measured.MeasuredArtifact(fp16.name, fp16.file, fp16.sha256, why_not=reasons),
    ]


def full(opened):
    int8 = opened.manifest.artifacts[0]
    return artifacts(opened, golden=measured.Agreement(True, True, 0.0, 100.0), parity=replace(int8.parity, executed_by="adb"), latency=int8.latency)


def test_it_comes_back_as_it_was_written(opened):
    manifest = (opened.path / "manifest.json").read_bytes()
    written, place = measured.record(opened, PHONE, full(opened))
    assert place == opened.path / "measured/pixel-8.json" and measured.read(place) == written
    assert (opened.path / "manifest.json").read_bytes() == manifest
    assert bundle.read(opened.path).manifest == opened.manifest
    assert [p.name for p in place.parent.iterdir()] == ["pixel-8.json"]
    jsonschema.Draft202012Validator(measured.schema()).validate(json.loads(place.read_text()))


def test_what_was_not_tried_again_stays_but_not_of_another_file(opened):
    first, _ = measured.record(opened, PHONE, full(opened))
    slower = ArtifactLatency(99.0, 100.0, 6, 4, "Google Pixel 8", None, None)
    again = artifacts(opened, latency=slower)
    second, _ = measured.record(opened, PHONE, again, kept=("golden", "parity"))
    assert second.artifacts[0].latency == slower
    assert (second.artifacts[0].parity, second.artifacts[0].golden) == (first.artifacts[0].parity, first.artifacts[0].golden)
    assert second.artifacts[0].why_not == {}
    other = [replace(again[0], sha256="2" * 64), again[1]]
    third, _ = measured.record(opened, PHONE, other, kept=("golden", "parity"))
    assert third.artifacts[0].parity is None and third.artifacts[0].why_not == {"golden": "not tried", "parity": "not tried"}


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("measured",), 2, "is of schema version 2, made by a newer edgekit"),
        (("measured",), 0, "expected 1"),
        (("device", "name"), "../up", "expected small letters, digits and -"),
        (("device", "executed_by"), "host", "expected one of qemu-arm64, adb"),
        (("artifacts",), [], "has 0 values"),
        (("artifacts", 0, "latency", "median_ms"), -1, "expected at least 0"),
        (("artifacts", 0, "golden", "within"), 1, "expected boolean"),
        (("artifacts", 0, "parity"), None, "'parity' is missing"),
        (("artifacts", 0, "seen"), True, "unknown key 'seen'"),
    ],
)
def test_damaged_files_are_refused_by_name(opened, path, value, line):
    _, place = measured.record(opened, PHONE, full(opened))
    table = json.loads(place.read_text())
    at = table
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    place.write_text(json.dumps(table))
    with pytest.raises(InvalidFile) as error:
        measured.read(place)
    assert str(place) in str(error.value) and line in str(error.value)
    with pytest.raises(InvalidFile):
        measured.record(opened, PHONE, full(opened), kept=("parity",))
    measured.record(opened, PHONE, full(opened))  # a whole new measurement replaces it


@pytest.mark.parametrize("text", [b"\xff", b"{", b'{"measured": NaN}', b"[]"])
def test_what_is_no_json_is_refused(opened, text):
    place = opened.path / "x.json"
    place.write_bytes(text)
    with pytest.raises(InvalidFile, match=r"x\.json"):
        measured.read(place)


def test_an_unwritable_place_leaves_the_old_file(opened, monkeypatch):
    _, place = measured.record(opened, PHONE, full(opened))
    before = place.read_bytes()

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgekit.measured.os.fsync", full_disk)
    with pytest.raises(InvalidFile, match="cannot be written \\(No space left on device\\)"):
        measured.record(opened, PHONE, artifacts(opened))
    assert place.read_bytes() == before and [p.name for p in place.parent.iterdir()] == [place.name]
