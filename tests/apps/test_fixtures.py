"""The golden vectors hold for Python too, checked by other means than those that wrote them: Pillow, scikit-image, NumPy's padding, edgekit.enhance."""

from __future__ import annotations

import base64
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from skimage.color import ycbcr2rgb

from edgekit import manifest_file, metrics, tiles
from edgekit.bundle import encode_golden
from edgekit.enhance import TileSpec, enhance
from edgekit.errors import InvalidFile
from edgekit.picture import SourcePicture, open_picture, to_pixels
from edgekit.preparation import to_io
from edgekit.routing import Router

FOLDER = Path(__file__).parents[1] / "fixtures"


@cache
def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def cases(name: str, key: str = "cases") -> list[Any]:
    found = read(name)[key]
    return [pytest.param(case, id=str(case.get("name") or case.get("file") or number)) for number, case in enumerate(found)]


def array(text: str, dtype: str = "u1", shape: tuple[int, ...] = (-1,)) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype).reshape(shape)


# The files as a whole


def test_writing_them_again_gives_the_same_bytes(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    from write import __main__ as write
    from write import manifests

    files = write.all_files()
    assert len(files) > 100
    for name, data in files.items():
        assert (FOLDER / name).read_bytes() == data, f"{name} is not what `make fixtures` writes"
    kept = {f"manifests/{name}.json" for name in manifests.REAL}
    found = {str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*.json")}
    assert found == files.keys() | kept, "a fixture that nobody writes"


def test_they_stay_small():
    assert sum(p.stat().st_size for p in FOLDER.rglob("*.json")) < 1.5e6


# Tiling


@pytest.mark.parametrize("plan", cases("tiling", "plans"))
def test_tiling(plan):
    made = tiles.plan(plan["height"], plan["width"], tuple(plan["tile"]), plan["halo"], plan["multiple_of"])
    assert [[t.y, t.x, t.height, t.width] for t in made] == plan["cores"]
    assert (made.rows, made.columns) == (plan["rows"], plan["columns"])
    covered = np.zeros((plan["height"], plan["width"]), int)
    for y, x, height, width in plan["cores"]:
        covered[y : y + height, x : x + width] += 1
    assert (covered == 1).all(), "each pixel stands in one core"
    halo = plan["halo"]
    for side, sources, length in ((plan["height"], plan["source_rows"], plan["tile"][0]), (plan["width"], plan["source_columns"], plan["tile"][1])):
        mirrored = np.pad(np.arange(side), (halo, halo + length), "reflect")
        core = length - 2 * halo
        assert sources == [mirrored[i * core : i * core + length].tolist() for i in range(-(-side // core))]


@pytest.mark.parametrize("given", cases("tiling", "refused"))
def test_tiling_refuses(given):
    with pytest.raises((InvalidFile, ValueError)):
        tiles.plan(given["height"], given["width"], tuple(given["tile"]), given["halo"], given["multiple_of"])


# Colour


def samples(plane: dict[str, Any], rows: int, columns: int, offset: int = 0) -> np.ndarray:
    """As a camera's documentation says it: sample (r, c) is the byte at r * row stride + c * pixel stride."""
    data = array(plane["data"])
    return np.array([[data[r * plane["row_stride"] + c * plane["pixel_stride"] + offset] for c in range(columns)] for r in range(rows)], np.uint8)


def ycbcr(case: dict[str, Any]) -> np.ndarray:
    """(height, width, 3) uint8, chroma repeated."""
    height, width = case["height"], case["width"]
    half = (height + 1) // 2, (width + 1) // 2
    y = samples(case["planes"][0], height, width)
    if case["format"] == "yuv420":
        u, v = (samples(plane, *half) for plane in case["planes"][1:])
    else:
        first, second = (samples(case["planes"][1], *half, offset=offset) for offset in (0, 1))
        u, v = (second, first) if case["format"] == "nv21" else (first, second)
    return np.stack([y, *(np.kron(p, np.ones((2, 2), np.uint8))[:height, :width] for p in (u, v))], -1)


def in_floats(picture: np.ndarray, matrix: str, range_: str) -> np.ndarray:
    """By the libraries where they know the matrix, and by the coefficients that ITU-R BT.709 prints."""
    if (matrix, range_) == ("bt601", "full"):
        return np.asarray(Image.fromarray(picture, "YCbCr").convert("RGB")).astype(float)
    if (matrix, range_) == ("bt601", "video"):
        return np.clip(ycbcr2rgb(picture.astype(float)) * 255, 0, 255)
    y, u, v = np.moveaxis(picture.astype(float), -1, 0)
    if range_ == "video":
        y, u, v = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
    else:
        u, v = u - 128, v - 128
    return np.clip(np.stack([y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u], -1), 0, 255)


@pytest.mark.parametrize("case", cases("colour"))
def test_colour(case):
    expected = array(case["rgb"], shape=(case["height"], case["width"], 3))
    if case["format"] == "bgra":
        plane = case["planes"][0]
        found = np.stack([samples(plane, case["height"], case["width"], offset=offset) for offset in (2, 1, 0)], -1)
        assert (found == expected).all()
        return
    found = in_floats(ycbcr(case), case["matrix"], case["range"])
    assert np.abs(found - expected).max() <= 1, "whole numbers stay within one step of floats"


def test_colour_covers_what_cameras_give():
    kinds = {(c["format"], c["matrix"], c["range"]) for c in read("colour")["cases"]}
    assert len({kind for kind in kinds if kind[0] != "bgra"}) == 3 * 2 * 2
    planes = [(c, plane) for c in read("colour")["cases"] for plane in c["planes"]]
    assert any(plane["row_stride"] > 2 * c["width"] for c, plane in planes)
    assert {plane["pixel_stride"] for c, plane in planes if c["format"] == "yuv420"} == {1, 2}
    assert any(len(array(plane["data"])) % plane["row_stride"] for _, plane in planes), "a plane whose last row is cut short"
    assert any(c["height"] % 2 and c["width"] % 2 for c, _ in planes)


def test_grey_stays_grey():
    for ranges in read("colour")["matrices"].values():
        assert ranges["full"]["y"] == 65536
        assert round(219 * ranges["video"]["y"] / 65536) == 255


# Geometry


@pytest.mark.parametrize("case", cases("geometry", "rotations"))
def test_rotation(case):
    picture = Image.fromarray(array(case["rgb"], shape=(case["height"], case["width"], 3)))
    turned = picture.rotate(-case["degrees"], expand=True)
    out = ImageOps.mirror(turned) if case["mirror"] else turned
    assert out.size == (case["out_width"], case["out_height"])
    assert out.tobytes() == base64.b64decode(case["out_rgb"])


@pytest.mark.parametrize("case", cases("geometry", "crops"))
def test_crop(case):
    y, x, height, width = case["rect"]
    aspect_w, aspect_h = case["aspect"]
    assert height == case["height"] or width == case["width"], "one side stays whole"
    assert 0 <= case["height"] - height - 2 * y <= 1 and 0 <= case["width"] - width - 2 * x <= 1, "it stands in the middle"
    wider, higher = (height * aspect_w - width * aspect_h) / aspect_h, (width * aspect_h - height * aspect_w) / aspect_w
    if min(height, width) > 1:
        assert max(wider, higher) < 1, "a pixel more would leave the aspect"


# Numbers of the model's input and output


def channels(case: dict[str, Any], key: str) -> torch.Tensor:
    return torch.tensor(case[key], dtype=torch.float32).view(-1, 1, 1)


def tensor_of(case: dict[str, Any]) -> torch.Tensor:
    """(3, height, width), in the file's order of channels."""
    shape = (3, case["height"], case["width"]) if case["layout"] == "NCHW" else (case["height"], case["width"], 3)
    found = torch.from_numpy(array(case["tensor"], "<f4" if case["dtype"] == "float32" else "u1", shape).copy())
    return found if case["layout"] == "NCHW" else found.permute(2, 0, 1)


def rgb_of(case: dict[str, Any]) -> torch.Tensor:
    """(3, height, width) uint8."""
    return torch.from_numpy(array(case["rgb"], shape=(case["height"], case["width"], 3)).copy()).permute(2, 0, 1)


@pytest.mark.parametrize("case", cases("pixels"))
def test_pixels_to_numbers(case):
    planes = rgb_of(case)
    planes = planes.flip(0) if case["colour"] == "bgr" else planes
    expected = planes if case["dtype"] == "uint8" else (planes.float() / 255 - channels(case, "mean")) / channels(case, "std")
    assert torch.equal(tensor_of(case), expected)


@pytest.mark.parametrize("case", cases("pixels", "back"))
def test_numbers_to_pixels(case):
    planes = tensor_of(case)
    if case["dtype"] == "float32":
        planes = (planes * channels(case, "std") + channels(case, "mean")).nan_to_num(0.0, torch.inf, -torch.inf)
        planes = torch.from_numpy(to_pixels(planes, 8)).permute(2, 0, 1)
    planes = planes.flip(0) if case["colour"] == "bgr" else planes
    assert torch.equal(planes, rgb_of(case))


# Manifests


@pytest.mark.parametrize("case", cases("manifests"))
def test_manifests(case):
    text = (FOLDER / "manifests" / case["file"]).read_text("utf-8")
    if not (case["good"] or case.get("beyond")) or case.get("unknown_keys"):
        with pytest.raises(InvalidFile) as refused:
            manifest_file.from_json(text, "M.json")
        assert case.get("where", "unknown key") in str(refused.value) and len(str(refused.value)) < 400
        return
    manifest = manifest_file.from_json(text, "M.json")
    if case.get("beyond"):
        assert manifest.sampler or manifest.apply or manifest.before or manifest.after
        return
    expect = case["expect"]
    image = manifest.image
    found = {"model": manifest.model.name, "scale": image.scale, "tile": [*image.tile], "halo": image.halo}
    found |= {"multiple_of": image.multiple_of, "tiling": image.tiling}
    found["artifacts"] = [
        {"name": a.name, "file": a.file, "backend": a.backend, "recipe": a.recipe, "variant": a.variant, "bytes": a.bytes, "sha256": a.sha256}
        | {"input": tensor(a.inputs[0]), "output": tensor(a.outputs[0])}
        for a in manifest.artifacts
    ]
    found["golden"] = [{"artifact": g.artifact, "max_abs": g.max_abs, "min_psnr_db": g.min_psnr_db} for g in manifest.golden.artifacts]
    rule = manifest.routing
    found["routing"] = rule and {"unit": rule.unit, "thresholds": [*rule.thresholds], "variants": [variant.name for variant in rule.variants]}
    assert found == expect


def tensor(spec: Any) -> dict[str, Any]:
    return {"name": spec.name, "shape": [*spec.shape], "layout": spec.layout, "dtype": spec.dtype, "range": [*spec.range]}


def test_enough_manifests_are_broken():
    found = read("manifests")["cases"]
    assert sum(not case["good"] for case in found) >= 25 and sum(case["good"] for case in found) >= 10
    assert len({case["why"] for case in found if not case["good"]}) == sum(not case["good"] for case in found)


# Stitched pictures


def network(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    (tile,) = inputs
    around = F.pad(tile, (1, 1, 1, 1))
    height, width = tile.shape[-2:]
    north, south, west, east = (around[..., y : y + height, x : x + width] for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)))
    blurred = (north + south + west + east) * 0.125 + tile * 0.5
    quads = torch.stack([blurred, tile, tile, blurred], 2).flatten(1, 2)
    return (F.pixel_shuffle(quads, 2),)


@pytest.mark.parametrize("case", cases("stitched"))
def test_stitched_as_edgekit_enhances(case, tmp_path):
    picture = SourcePicture("case", array(case["rgb"], shape=(case["height"], case["width"], 3)))
    spec = TileSpec(tuple(case["tile"]), case["halo"], scale=read("stitched")["scale"])
    enhance(network, spec, [picture], tmp_path / "out.png")
    assert open_picture(tmp_path / "out.png").pixels.tobytes() == base64.b64decode(case["out_rgb"])


def test_a_halo_of_one_hides_the_seams_of_that_network():
    """And without a halo they show: the vectors tell a wrong halo from a right one."""
    for case in read("stitched")["cases"]:
        picture = SourcePicture("case", array(case["rgb"], shape=(case["height"], case["width"], 3)))
        whole = F.pad(picture.colour(range(picture.height))[None], (1, 1, 1, 1), "reflect") if min(case["height"], case["width"]) > 1 else None
        if whole is None:
            continue
        untiled = network((whole,))[0][0, :, 2:-2, 2:-2]
        same = to_pixels(untiled, 8).tobytes() == base64.b64decode(case["out_rgb"])
        assert same == (case["halo"] > 0)


# Routing


@pytest.mark.parametrize("case", cases("routing", "scores"))
def test_scores(case):
    """By torch's convolution, in float64."""
    rgb = array(case["rgb"], shape=(case["height"], case["width"], 3)).astype(np.int64)
    y = (rgb @ [77, 150, 29] + 128) >> 8
    kernel = torch.tensor([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=torch.float64)
    inner = F.conv2d(torch.from_numpy(y).double()[None, None], kernel[None, None]) if min(y.shape) > 2 else torch.zeros(1)
    assert case["score"] == int(inner.square().sum()) * 100 // inner.numel()


def test_scores_cover_flat_and_rough():
    scores = [case["score"] for case in read("routing")["scores"]]
    assert scores.count(0) > 8 and max(scores) == 104_040_000 and len(set(scores)) > 12


@pytest.mark.parametrize("case", cases("routing", "rules"))
def test_rules(case):
    for score, route in zip(case["scores"], case["routes"], strict=True):
        above = [name for name, bound in zip(case["variants"], case["thresholds"], strict=False) if score < bound]
        assert route == (above[0] if above else case["variants"][-1])


@pytest.mark.parametrize("case", cases("routing", "pictures"))
def test_routed_as_edgekit_enhances(case, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    from write.routing import rule_of

    runs: list[str] = []

    def light(inputs):
        runs.append("light")
        return (F.interpolate(inputs[0], scale_factor=2.0),)

    def heavy(inputs):
        runs.append("heavy")
        return network(inputs)

    sessions = {"light": light, "heavy": heavy}
    router = Router(rule_of(tuple(case["thresholds"]), ("light", "heavy"), case["unit"]), sessions, "rgb")
    picture = SourcePicture("case.png", array(case["rgb"], shape=(case["height"], case["width"], 3)))
    spec = TileSpec(tuple(case["tile"]), case["halo"], scale=read("routing")["scale"])
    enhance(router.session_for(picture), spec, [picture], tmp_path / "out.png")
    assert open_picture(tmp_path / "out.png").pixels.tobytes() == base64.b64decode(case["out_rgb"])
    assert (runs if case["unit"] == "tile" else runs[:1]) == case["routes"] and len(set(runs)) == len(set(case["routes"]))
    assert router.counts == {name: case["routes"].count(name) for name in ("light", "heavy")}


# The preview's scheduler

SLOWER = {"none": 1, "light": 1, "moderate": 2, "severe": 6}


@pytest.mark.parametrize("case", cases("scheduler"))
def test_scheduler_keeps_its_promises(case):
    """What any keep-latest scheduler must hold, whatever it decides."""
    arrived, started, shown, state, busy, waiting = [], [], [], "none", None, None
    for event in case["events"]:
        now, dropped_before = event["at_ms"], len(arrived) - len(shown) - (busy is not None) - (waiting is not None)
        if event["event"] == "frame":
            arrived.append(event["id"])
        elif event["event"] == "done":
            shown.append(now)
            busy = None
        elif event["event"] == "thermal":
            state = event["state"]
            waiting = waiting if state in SLOWER else None
        if event["then"] == "start":
            assert state in SLOWER and busy is None
            assert event["id"] == arrived[-1] or (event["id"] == waiting and event["event"] != "frame")
            interval = -(-1000 * SLOWER[state] // case["goal_fps"])
            assert not started or now - started[-1] >= interval - interval // 4
            started.append(now)
            busy, waiting = event["id"], None
        elif event["then"] == "wait":
            waiting = event["id"]
        elif event["then"] == "skip":
            assert busy is None or state not in SLOWER
        assert event["dropped"] == len(arrived) - len(shown) - (busy is not None) - (waiting is not None) >= dropped_before
        assert event["shown"] == len(shown)
        assert event["fps"] == len([at for at in shown if now - 1000 < at <= now])


def test_scheduler_cases_say_what_their_names_say():
    by_name = {case["name"]: case["events"] for case in read("scheduler")["cases"]}
    assert len(by_name) >= 12
    for name in ("steady at the goal", "jitter at the goal drops nothing"):
        assert by_name[name][-1]["dropped"] == 0
    assert by_name["steady at the goal"][-1]["fps"] == 30
    assert 0 < by_name["more jitter than the slack"][-1]["dropped"] < 20
    twice = by_name["a camera of twice the goal"][-1]
    assert twice["fps"] in (29, 30) and twice["dropped"] > 30
    slow = by_name["a slow model keeps the latest"]
    assert all(now["then"] == "start" for now in slow if now["event"] == "done" and now["at_ms"] < 1300), "a waiting frame starts at once"
    paused = [event for event in by_name["pause and resume"] if 500 < event["at_ms"] < 1300]
    assert any(event["event"] == "frame" for event in paused) and all(event["then"] in ("skip", "idle", "none") for event in paused)
    states = {event["state"] for events in by_name.values() for event in events if event["event"] == "thermal"}
    assert states == {"none", "light", "moderate", "severe", "critical", "emergency", "shutdown"}


# The self-test's numbers


@pytest.mark.parametrize("case", cases("selftest", "compare"))
def test_selftest_compares(case):
    expected, got = (torch.from_numpy(array(case[key], "<f4").copy()) for key in ("expected", "got"))
    assert case["bit_equal"] == torch.equal(expected.view(torch.int32), got.view(torch.int32))
    if not bool((expected + got).isfinite().all()):
        assert (case["within"], case["max_abs_found"], case["psnr_db"]) == (False, None, None)
        return
    assert case["max_abs_found"] == float((expected.double() - got.double()).abs().max())
    in_range = all(float(t.min()) >= 0 and float(t.max()) <= 1 for t in (expected, got))
    if in_range:
        assert case["psnr_db"] == pytest.approx(metrics.psnr_db(expected, got), abs=read("selftest")["psnr_tolerance_db"])
    assert case["within"] == (case["max_abs_found"] <= case["max_abs"] and case["psnr_db"] >= case["min_psnr_db"])
    assert case["psnr_db"] <= 100


@pytest.mark.parametrize("case", cases("selftest", "inputs"))
def test_golden_inputs(case):
    """As edgekit itself gives the golden input to a file."""
    values = torch.from_numpy(array(case["values"], "<f4", (1, 3, case["height"], case["width"])).copy())
    given = to_io(values, case["dtype"])
    assert encode_golden(given, case["layout"]) == base64.b64decode(case["tensor"])


@pytest.mark.parametrize("case", cases("selftest", "times"))
def test_selftest_times(case):
    for key, share in (("median_ms", 0.5), ("p90_ms", 0.9)):
        below = sum(t < case[key] for t in case["ms"])
        assert case[key] in case["ms"] and below <= share * len(case["ms"]) < below + case["ms"].count(case[key]) + (share == 0.9)
