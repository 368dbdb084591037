"""The bundle: the same after a round trip, whole at every moment, and refused as soon as one byte is not what the manifest says."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sys
from copy import deepcopy
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest
import torch
from bundles import sample

from edgekit import bundle, json_schema, manifest, manifest_file
from edgekit.errors import InvalidFile


@pytest.fixture
def made(tmp_path):
    (tmp_path / "parts").mkdir()
    described, files = sample(tmp_path / "parts")
    return bundle.write(tmp_path / "out", described, files)


def parts(tmp_path: Path, seed: int):
    folder = tmp_path / f"parts{seed}"
    folder.mkdir()
    return sample(folder, seed=seed)


def refused(path: Path) -> str:
    with pytest.raises(InvalidFile) as caught:
        bundle.read(path)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 400
    return line


def edit(made: bundle.Bundle, change) -> str:
    """Alters the manifest's JSON and returns the refusal, without the path."""
    file = made.path / "manifest.json"
    table = json.loads(file.read_text("utf-8"))
    table = change(table) or table
    file.write_text(json.dumps(table), "utf-8")
    return refused(made.path).removeprefix(f"{file}: ").removeprefix(str(made.path) + "/")


# The manifest


def test_round_trip(made):
    opened = bundle.read(made.path)
    assert opened == made
    assert opened.manifest.artifacts[0].facts == {"rewrites": {"clamp": 1}, "note": "Zürich 漢"}
    assert sorted(p.relative_to(made.path).as_posix() for p in made.path.rglob("*") if p.is_file()) == [
        "golden/input.bin",
        "golden/output-net-int8.bin",
        "golden/output-reference.bin",
        "manifest.json",
        "net-fp16.mlpackage/Data/weights/weight.bin",
        "net-fp16.mlpackage/Manifest.json",
        "net-int8.tflite",
    ]


def test_the_json_is_the_schemas_and_readable(made):
    text = (made.path / "manifest.json").read_text("utf-8")
    table = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(manifest.schema())
    jsonschema.Draft202012Validator(manifest.schema()).validate(table)
    assert list(table)[:3] == ["manifest", "target", "edgekit"] and text.endswith("}\n") and "Zürich" in text
    assert table["artifacts"][1]["parity"] is None and table["artifacts"][1]["why_not"]["parity"].endswith("not measured")
    assert table["image"]["tile"] == [8, 16] and table["image"]["edge_rule"] == "reflect"


def test_an_older_manifest_without_the_later_keys_of_parity_still_reads(made):
    file = made.path / "manifest.json"
    table = json.loads(file.read_text("utf-8"))
    measured = table["artifacts"][0]["parity"]
    required = manifest.schema()["$defs"]["parity"]["required"]
    later = [key for key in measured if key not in required]
    assert {"seam_steps", "ciede2000_mean", "channel_shift"} <= set(later)
    table["artifacts"][0]["parity"] = {key: measured[key] for key in required}
    file.write_text(json.dumps(table), "utf-8")
    read = bundle.read(made.path).manifest.artifacts[0].parity
    assert read.psnr_db == measured["psnr_db"] and {getattr(read, key) for key in later} == {None}


def rules(rule: Any):
    if isinstance(rule, dict):
        yield rule
        for key, value in rule.items():
            for inner in value.values() if key in ("properties", "$defs") else value if isinstance(value, list) else [value]:
                yield from rules(inner)


def test_the_schema_uses_only_what_check_knows():
    for rule in rules(manifest.schema()):
        assert rule.keys() <= json_schema.KEYWORDS, rule.keys() - json_schema.KEYWORDS
        assert "pattern" not in rule or "description" in rule


def test_the_schema_and_the_types_name_the_same_keys():
    definitions, seen = manifest.schema()["$defs"], []

    def compare(cls: type, rule: dict[str, Any]) -> None:
        while "$ref" in rule or "anyOf" in rule:
            rule = definitions[rule["$ref"].removeprefix("#/$defs/")] if "$ref" in rule else rule["anyOf"][0]
        assert rule["additionalProperties"] is False
        keys, required = list(rule["properties"]), rule["required"]
        optional = {f.name for f in fields(cls) if f.default is not MISSING or f.default_factory is not MISSING}
        assert required == keys[: len(required)] and set(keys[len(required) :]) <= optional, "keys that older manifests lack"
        assert {f.name for f in fields(cls)} == rule["properties"].keys(), cls
        seen.append(cls)
        for name, hint in get_type_hints(cls).items():
            for inner in (hint, *get_args(hint)):
                if is_dataclass(inner):
                    prop = rule["properties"][name]
                    compare(inner, prop.get("items", prop))

    compare(manifest.Manifest, manifest.schema())
    assert len(set(seen)) == 24


def mutate(value: Any, rng: random.Random) -> Any:
    """One change somewhere in the JSON: a value of another type or size, a key gone, renamed or added."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        choice = rng.random()
        if choice < 0.08:
            del value[key]
        elif choice < 0.12:
            value[key + "x"] = value.pop(key)
        elif choice < 0.16:
            value["extra"] = 1
        else:
            value[key] = mutate(value[key], rng)
        return value
    if isinstance(value, list) and value and rng.random() < 0.9:
        index = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value + value[index:] if rng.random() < 0.5 else value[:index]
        value[index] = mutate(value[index], rng)
        return value
    return rng.choice(
        [None, True, False, 0, -1, 1, 2.0, 0.5, -0.5, 1e300, "", "x", "host", "a/b", "../x", "f" * 64, "0" * 64 + "\n", [], [1], {}, {"a": 1}]
    )


def test_check_agrees_with_jsonschema(made):
    """Our own few lines against the reference implementation, on 2000 altered manifests."""
    original = json.loads((made.path / "manifest.json").read_text("utf-8"))
    reference, rng, verdicts = jsonschema.Draft202012Validator(manifest.schema()), random.Random(0), {True: 0, False: 0}
    for _ in range(2000):
        table = mutate(deepcopy(original), rng)
        try:
            json_schema.check(table, manifest.schema(), "manifest.json")
            ours = True
        except InvalidFile as error:
            assert len(str(error)) < 400
            ours = False
        assert ours == reference.is_valid(table), table
        verdicts[ours] += 1
    assert min(verdicts.values()) > 100, verdicts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(manifest=2), "is of schema version 2, made by a newer edgekit; expected 1: pip install --upgrade edgekit"),
        (lambda t: t.update(manifest=0), "manifest is 0; expected 1"),
        (lambda t: t.update(manifest=True), "manifest is True; expected 1"),
        (lambda t: t.pop("model") and None, "'model' is missing"),
        (lambda t: t.update(colour=1), "unknown key 'colour'; expected one of manifest, target, edgekit, "),
        (lambda t: t["artifacts"][0].update(bytes="many"), "artifacts[0].bytes is 'many'; expected integer"),
        (lambda t: t["artifacts"][0]["parity"].update(finite=1), "artifacts[0].parity.finite is 1; expected boolean"),
        (
            lambda t: t["artifacts"][0]["parity"].update(executed_by="me"),
            "artifacts[0].parity.executed_by is 'me'; expected one of host, evaluator, ",
        ),
        (lambda t: t["artifacts"][1]["why_not"].clear(), "artifacts[1].why_not: 'parity' is missing"),
        (lambda t: t.update(artifacts=[]), "artifacts has 0 values; expected 1"),
        (lambda t: t["image"].update(tile=[8]), "image.tile has 1 values; expected 2"),
        (lambda t: t.update(created="yesterday"), "created is 'yesterday'; expected a time in UTC such as 2026-"),
        (lambda t: t["artifacts"][0].update(name="net-fp16"), "the artifact name 'net-fp16' stands twice"),
        (lambda t: t["artifacts"][0].update(file=t["artifacts"][1]["file"]), "the file 'net-fp16.mlpackage' stands twice"),
        (lambda t: t["golden"]["artifacts"][0].update(artifact="other"), "golden output of 'other'; expected one of net-fp16, net-int8"),
        (lambda t: t["golden"]["inputs"][0].update(shape=[1, 3, 8, 8]), "golden/input.bin: float32 of shape [1, 3, 8, 8] has 768 bytes, got 1536"),
        (lambda t: [1, 2], "is [1, 2]; expected an object"),
    ],
)
def test_a_wrong_manifest_names_the_place(made, change, message):
    assert edit(made, lambda t: change(t) or t).startswith(message)


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", "a/../../x", "a\\b", ".hidden", "golden/..", "", "a//b", "a\n", "C:x"])
def test_names_that_leave_the_folder(made, name):
    assert "artifacts[0].file is" in edit(made, lambda t: t["artifacts"][0].update(file=name))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"manifest": 1, "manifest": 1}', "the key 'manifest' stands twice"),
        ('{"manifest": NaN}', "the number NaN is not finite"),
        ('{"manifest": 1e999}', "the number 1e999 is not finite"),
        ('{"manifest": ' + "9" * 5000 + "}", "the number 99999999999999999999 is too large"),
        ('{"manifest": "\\ud800"}', "text that is not Unicode"),
        ("[" * 100_000, "is not JSON as expected"),
        ("", "is not JSON as expected"),
        ("\ufeff{}", "is not JSON as expected"),
    ],
)
def test_hostile_json(made, text, message):
    (made.path / "manifest.json").write_text(text, "utf-8")
    assert message in refused(made.path)


def test_other_bytes_as_manifest(made):
    (made.path / "manifest.json").write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text (byte 0)" in refused(made.path)
    with (made.path / "manifest.json").open("wb") as file:
        file.truncate(bundle.LARGEST_MANIFEST + 1)
    assert "has more than 16777216 bytes" in refused(made.path)


def test_to_json_refuses_what_cannot_be_read_back(made):
    for broken in (
        replace(made.manifest, created="now"),
        replace(made.manifest, artifacts=()),
        replace(made.manifest, toolchain={"a": float("nan")}),
    ):
        with pytest.raises(ValueError, match="this manifest cannot be written"):
            manifest_file.to_json(broken)


# The files


def test_altered_files(made):
    for name in ("net-int8.tflite", "golden/input.bin", "net-fp16.mlpackage/Manifest.json"):
        file = made.path / name
        good = file.read_bytes()
        file.write_bytes(bytes([good[0] ^ 1]) + good[1:])
        assert "has sha256" in refused(made.path) and "export it again" in refused(made.path)
        file.write_bytes(good[:-1])
        assert "bytes, the manifest says" in refused(made.path)
        file.unlink()
        refused(made.path)
        file.write_bytes(good)
        bundle.read(made.path)


def test_a_renamed_or_additional_file_in_a_folder(made):
    inside = made.path / "net-fp16.mlpackage"
    (inside / "Manifest.json").rename(inside / "manifest.json")
    assert "net-fp16.mlpackage: has sha256" in refused(made.path)
    (inside / "manifest.json").rename(inside / "Manifest.json")
    (inside / "empty").touch()
    assert "net-fp16.mlpackage: has sha256" in refused(made.path)


def test_links_and_pipes(made, tmp_path):
    outside = shutil.copytree(made.path, tmp_path / "outside")
    for name in ("net-int8.tflite", "net-fp16.mlpackage", "golden", "net-fp16.mlpackage/Data", "net-fp16.mlpackage/Manifest.json", "manifest.json"):
        place, kept = made.path / name, tmp_path / "kept"
        place.rename(kept)
        place.symlink_to(outside / name)
        refused(made.path)
        place.unlink()
        if kept.is_file():
            os.mkfifo(place)
            refused(made.path)
            place.unlink()
        kept.rename(place)
    bundle.read(made.path)


def test_what_is_no_bundle(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path, tmp_path / "file", tmp_path / "a\0b", tmp_path / ("x" * 300)):
        refused(path)
    assert "expected a bundle that `edgekit export` made" in refused(tmp_path)


def test_a_link_to_a_bundle_is_one(made, tmp_path):
    (tmp_path / "link").symlink_to(made.path)
    assert bundle.read(tmp_path / "link").manifest == made.manifest


def test_folder_digest_is_what_sha256sum_gives(made):
    folder = made.path / "net-fp16.mlpackage"
    command = r"""find . -type f -printf '%P\n' | LC_ALL=C sort | while read -r f; do printf '%s\0%s\n' "$f" "$(sha256sum < "$f" | cut -c1-64)"; done | sha256sum"""
    by_shell = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert bundle.sha256_of(folder) == by_shell.split()[0]
    assert bundle.size_of(folder) == 2000


def test_golden_tensors(made, tmp_path):
    given, reference = made.manifest.golden.inputs[0], made.manifest.golden.reference[0]
    own = made.manifest.golden.artifacts[0].outputs[0]
    assert (own.shape, own.layout, own.dtype, own.bytes) == ((1, 16, 32, 3), "NHWC", "uint8", 16 * 32 * 3)
    enhanced = bundle.read_golden(made, reference)
    assert bundle.read_golden(made, given).shape == (1, 3, 8, 16)
    assert torch.equal(bundle.read_golden(made, own), (enhanced * 255).to(torch.uint8)) and bundle.read_golden(made, own).is_contiguous()
    assert bundle.encode_golden(torch.tensor([1.0, -2.0]), "NCHW").hex() == "0000803f000000c0"
    backwards = enhanced.to(memory_format=torch.channels_last)
    assert bundle.encode_golden(backwards, "NCHW") == bundle.encode_golden(enhanced, "NCHW")


# Writing


def test_replaced_only_with_force(made, tmp_path):
    described, files = parts(tmp_path, 1)
    with pytest.raises(InvalidFile, match=r"out: exists; expected a free place: choose another with --out, or replace it with --force"):
        bundle.write(made.path, described, files)
    assert bundle.read(made.path) == made
    assert bundle.write(made.path, described, files, force=True) == bundle.read(made.path) != made
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "parts", "parts1"]


def test_nobodys_folder_is_replaced(tmp_path):
    described, files = parts(tmp_path, 1)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "manifest.json").write_text('{"manifest_version": 3, "name": "a browser extension"}')
    (tmp_path / "file").write_text("text")
    for place in ("home", "file", "parts1"):
        with pytest.raises(InvalidFile, match=r"exists and is no bundle; expected a free place"):
            bundle.write(tmp_path / place, described, files, force=True)
    assert (tmp_path / "home" / "manifest.json").is_file()
    (tmp_path / "empty").mkdir()
    bundle.write(tmp_path / "empty", described, files)


def test_a_damaged_bundle_can_be_replaced(made, tmp_path):
    (made.path / "net-int8.tflite").unlink()
    described, files = parts(tmp_path, 1)
    bundle.write(made.path, described, files, force=True)
    assert bundle.read(made.path).manifest == described


def test_folders_above_are_made_and_modes_are_plain(tmp_path):
    described, files = parts(tmp_path, 1)
    made = bundle.write(tmp_path / "a" / "b", described, files)
    (tmp_path / "plain").mkdir()
    assert stat.S_IMODE(made.path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_files_that_do_not_fit_the_manifest_are_a_bug(tmp_path):
    described, files = parts(tmp_path, 1)
    with pytest.raises(ValueError, match=r"files do not agree with its manifest: .*golden/input\.bin"):
        bundle.write(tmp_path / "out", described, {k: v for k, v in files.items() if k != "golden/input.bin"})
    for name in ("../x", "/tmp/x", ""):
        with pytest.raises(ValueError, match="expected a relative path"):
            bundle.write(tmp_path / "out", described, {**files, name: files["net-int8.tflite"]})
    assert [p.name for p in tmp_path.iterdir()] == ["parts1"]


SMALL_DISK = """
import sys, resource
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from bundles import sample
from edgekit import bundle
from edgekit.errors import InvalidFile
described, files = sample(Path(sys.argv[2]), seed=2, bytes_per_file=200_000)
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    bundle.write(Path(sys.argv[3]), described, files, force=True)
except InvalidFile as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_bundle(made, tmp_path):
    """A limit on file sizes stands in for the full disk: both fail in the middle of a copy."""
    (tmp_path / "big").mkdir()
    command = [sys.executable, "-c", SMALL_DISK, str(Path(__file__).parent), str(tmp_path / "big"), str(made.path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out == f"{made.path}: cannot be written (File too large); nothing was changed: free some space, or choose another place with --out\n"
    assert bundle.read(made.path) == made
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big", "out", "parts"]


def test_places_that_cannot_be_written(tmp_path):
    described, files = parts(tmp_path, 1)
    (tmp_path / "file").touch()
    for place in (Path("/proc/edgekit/out"), tmp_path / "file" / "out", tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(InvalidFile):
            bundle.write(place, described, files)


def test_an_interrupted_copy_leaves_nothing(made, tmp_path, monkeypatch):
    described, files = parts(tmp_path, 1)
    monkeypatch.setattr(bundle, "_flush", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        bundle.write(made.path, described, files, force=True)
    assert bundle.read(made.path) == made and sorted(p.name for p in tmp_path.iterdir()) == ["out", "parts", "parts1"]


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_without_an_exchange_the_old_bundle_comes_back(made, tmp_path, monkeypatch):
    """The fallback's one gap: the process died between its two renames."""
    described, files = parts(tmp_path, 1)
    monkeypatch.setattr(bundle, "_exchange", lambda one, other: False)
    bundle.write(made.path, described, files, force=True)
    assert bundle.read(made.path).manifest == described and sorted(p.name for p in tmp_path.iterdir()) == ["out", "parts", "parts1"]
    prefix = f".out.edgekit-{dead_pid()}-0123abcd"
    made.path.rename(tmp_path / f"{prefix}.old")
    (tmp_path / f"{prefix}.new").mkdir()
    assert bundle.read(made.path).manifest == described
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "parts", "parts1"]


def test_a_failed_second_rename_puts_the_old_bundle_back(made, tmp_path, monkeypatch):
    described, files = parts(tmp_path, 1)
    monkeypatch.setattr(bundle, "_exchange", lambda one, other: False)
    rename = Path.rename
    monkeypatch.setattr(
        Path, "rename", lambda self, to: (_ for _ in ()).throw(OSError(5, "Input/output error")) if self.suffix == ".new" else rename(self, to)
    )
    with pytest.raises(InvalidFile, match=r"Input/output error\); nothing was changed"):
        bundle.write(made.path, described, files, force=True)
    monkeypatch.undo()
    assert bundle.read(made.path) == made and sorted(p.name for p in tmp_path.iterdir()) == ["out", "parts", "parts1"]


def test_only_the_dead_ones_leftovers_are_cleared(made, tmp_path):
    dead, alive, other = (tmp_path / f".out.edgekit-{pid}-aa.new" for pid in (dead_pid(), os.getppid(), "x"))
    for folder in (dead, alive, other):
        (folder / "half").mkdir(parents=True)
    bundle.check_free(made.path, force=True)
    assert (dead.exists(), alive.exists(), other.exists()) == (False, True, True)


def test_this_system_exchanges_in_one_step(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    (other / "x").mkdir(parents=True)
    assert bundle._exchange(one, other) == sys.platform.startswith("linux")
    if sys.platform.startswith("linux"):
        assert (one / "x").exists() and not (other / "x").exists()
