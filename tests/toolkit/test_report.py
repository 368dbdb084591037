"""The report: everything measured is on the page, nothing else is claimed, and no text of a bundle becomes markup."""

from __future__ import annotations

import json
import random
import re
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles import sample
from PIL import Image
from reports import BAD_TILE, full, outputs_of, parity_set

from edgekit import bundle, evidence, layers, measured, metrics, parity, report
from edgekit.backend import Delegation
from edgekit.cli import main
from edgekit.errors import InvalidFile
from edgekit.manifest import BudgetLine, Manifest, Parity, ParityReference
from edgekit.report import charts, labels, table
from edgekit.report.facts import lines
from edgekit.report.page import calibrated
from edgekit.report.pictures import amplification

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"' onload=alert(1) {{ 7 * 7 }} {% raw %}"


@pytest.fixture(autouse=True)
def fresh_terminal(monkeypatch):
    """The console keeps a duplicate of stderr; each test has its own stderr."""
    import edgekit.cli.console as console

    monkeypatch.setattr(console, "_terminal", None)


class Page(HTMLParser):
    """Tags, attributes, and the text of each table row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._skip = self._cell = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._skip = tag in ("script", "style")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        self._skip = self._skip and tag not in ("script", "style")
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self._skip:
            return
        self.text += data
        if self._cell and self.rows:
            self.rows[-1][-1] += data.strip()

    def row(self, label: str) -> list[str]:
        return next(cells[1:] for cells in self.rows if cells and cells[0].startswith(label))


def harmless(html: str) -> Page:
    """One script, ours; no handler; nothing that could be fetched."""
    page = Page(html)
    assert page.tags.count("script") == 1 and not {"iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    addresses = [value for _, name, value in page.attributes if name in ("src", "href", "srcset", "action", "data", "xlink:href")]
    assert addresses and all(value.startswith(("data:", "#")) for value in addresses)
    assert "url(" not in html and "@import" not in html
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:;")
    return page


# The page


def test_the_verdict_stands_on_top_and_every_number_in_the_table(tmp_path):
    opened = full(tmp_path)
    html = report.build(opened)
    page = harmless(html)
    assert html.startswith("<!doctype html>") and html.index("<h1>") < html.index("<table") < html.index("Worst tiles</h2>")
    assert "Ship net-int8: within budget" in " ".join(page.text.split())
    assert page.row("PSNR, mean") == ["47.50", "NOT MEASURED"] and page.row("Size") == ["0.00", "0.00"]
    assert page.row("Drop against ground truth, mean") == ["+0.050", "NOT MEASURED"]
    assert page.row("Latency, median") == ["28.3", "NOT MEASURED"] and page.row("Beside the reference") == ["4.00", "NOT MEASURED"]
    assert page.row("Operators delegated") == ["40 of 41", "NOT MEASURED"] and page.row("Largest difference") == ["5.1", "NOT MEASURED"]
    assert "at least 45" in html and "at most 10" in html, "limits in the row's own unit"
    for field in fields(Parity):
        assert field.name in (*table.TOLD_ELSEWHERE, *table.silent(opened.manifest.artifacts)) or page.row(labels.metric(field.name).label)


def test_what_was_not_measured_says_so_with_its_reason_and_is_never_good(tmp_path):
    page = Page(report.build(full(tmp_path)))
    assert page.row("Budget") == ["NOT MEASURED in 1 of 2", "NOT MEASURED"]
    assert ".mlpackage runs on macOS only; not measured" in page.text and "net-fp16 parity" in page.text
    assert "NOT MEASURED: this file was not run" in page.text and "net-int8, 1 of its 2 limits: Banding" in page.text
    described, _ = sample_manifest(tmp_path / "blind")
    alone = replace(described, artifacts=(described.artifacts[1],))
    text = Page(report.build(bundle.Bundle(tmp_path / "blind", alone))).text
    assert "Ship nothing on these numbers" in text and "within" not in Page(report.build(bundle.Bundle(tmp_path / "blind", alone))).row("Budget")[0]


def sample_manifest(folder: Path) -> tuple[Manifest, dict[str, Path]]:
    folder.mkdir(parents=True)
    return sample(folder)


def test_a_bundle_without_evidence_says_what_is_absent(tmp_path):
    described, files = sample_manifest(tmp_path / "parts")
    opened = bundle.write(tmp_path / "out", described, files)
    page = harmless(report.build(opened))
    assert "NOT RECORDED: this bundle holds no evidence of its tiles" in page.text and "svg" not in page.tags
    assert "NOT MEASURED: what each layer loses" in page.text


def test_over_budget_is_told_on_top(tmp_path):
    def worse(m: Manifest) -> Manifest:
        line = replace(m.artifacts[0].budget[0], measured=40.0, status="over")
        return replace(m, artifacts=(replace(m.artifacts[0], budget=(line,)),))

    described, _ = sample_manifest(tmp_path / "parts")
    page = Page(report.build(bundle.Bundle(tmp_path / "parts", worse(described))))
    assert (
        "Ship nothing on these numbers" in page.text and "net-int8: psnr_db 40, budget 45" in page.text and page.row("Budget") == ["OVER in 1 of 1"]
    )


def test_hostile_texts_stay_texts(tmp_path):
    def hostile(m: Manifest) -> Manifest:
        one = m.artifacts[0]
        assert one.parity and one.latency and m.calibration
        bad = replace(
            one,
            backend=HOSTILE,
            delegate=HOSTILE,
            recipe=HOSTILE,
            delegation=Delegation(HOSTILE, 1, 2, 1, {HOSTILE: HOSTILE}),
            parity=replace(one.parity, worst_tile=HOSTILE, reference=ParityReference(HOSTILE, HOSTILE)),
            latency=replace(one.latency, device=HOSTILE),
            budget=(*one.budget, replace(one.budget[0], name=HOSTILE)),
            quantized=(HOSTILE,),
            facts={
                HOSTILE: {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]},
                "ranges": {HOSTILE: [0, 1]},
                "estimator": HOSTILE,
                "calibration_tiles": HOSTILE,
            },
        )
        return replace(
            m,
            target=HOSTILE,
            edgekit=HOSTILE,
            created=HOSTILE,
            toolchain={HOSTILE: HOSTILE},
            model=replace(m.model, name=HOSTILE, source=HOSTILE, licence=HOSTILE),
            artifacts=(bad, replace(m.artifacts[1], why_not={"parity": HOSTILE, "latency": HOSTILE})),
            calibration=replace(m.calibration, name=HOSTILE),
            reference=replace(m.reference, device=HOSTILE, flags={HOSTILE: HOSTILE}),
        )

    described, files = sample_manifest(tmp_path / "parts")
    described = hostile(described)
    tiles = parity_set((HOSTILE, f"b{HOSTILE}"))
    given = [evidence.Given(described.artifacts[0].name, described.artifacts[0].sha256, outputs_of(tiles, noise=0.01))]
    files |= evidence.gather(tiles, outputs_of(tiles), given, tmp_path / "parts")
    for name, path in files.items():
        target = tmp_path / "out" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            target.write_bytes(path.read_bytes())
    opened = bundle.Bundle(tmp_path / "out", described)
    page = harmless(report.build(opened))
    assert page.text.count("{{ 7 * 7 }}") > 20 and "49" not in page.row("Measured on")[0]
    harmless(report.compare(opened, opened))


def test_charts_of_layers_are_pictures_unless_their_numbers_are_there(tmp_path):
    opened = full(tmp_path)
    html = report.build(opened)
    assert 'src="data:image/svg+xml;base64,' in html and "document.title" not in html
    note = opened.path / "sensitivity-tflite.json"
    rows = [{"layer": HOSTILE, "worst_psnr_db": 44.6, "spared": True}, {"layer": "body.0", "worst_psnr_db": 60, "spared": False}]
    note.write_text(json.dumps({"precision": "int8", "layers": rows}))
    page = harmless(report.build(opened))
    assert "image/svg" not in report.build(opened) and "44.6" in page.text and "alone in int8" in page.text and "body.0" in page.text
    for bad in ("{}", "[]", '{"precision": "int8", "layers": [{"layer": 1}]}', "\udcff"):
        note.write_text(bad, errors="surrogateescape")
        with pytest.raises(InvalidFile, match="sensitivity-tflite.json"):
            report.build(opened)


def test_an_activations_range_is_shown_where_a_backend_tells_it(tmp_path):
    def told(m: Manifest) -> Manifest:
        one = replace(m.artifacts[0], facts={"calibration_tiles": 64, "ranges": {"head.0": [-0.5, 1.25], "odd": ["x"]}})
        return replace(m, artifacts=(one, m.artifacts[1]))

    page = Page(report.build(full(tmp_path, change=told)))
    assert page.row("head.0") == ["-0.5", "1.25"] and "1 activation ranges" in page.text
    silent = Page(
        report.build(full(tmp_path / "b", change=lambda m: replace(m, artifacts=(replace(m.artifacts[0], facts={"calibration_tiles": 64}),))))
    )
    assert "NOT RECORDED: this backend does not write them" in silent.text


def test_a_gate_that_the_page_never_heard_of_gets_its_row(tmp_path):
    """New fields of Parity and new budget lines appear without a change here."""

    def more(m: Manifest) -> Manifest:
        one = m.artifacts[0]
        return replace(m, artifacts=(replace(one, budget=(*one.budget, BudgetLine("moire_px", 3.0, 2.0, "over"))), m.artifacts[1]))

    page = Page(report.build(full(tmp_path, change=more)))
    assert page.row("Moire") == ["3", "NOT MEASURED"] and "px, at most 2" in page.text
    silent = table.silent(full(tmp_path / "b").manifest.artifacts)
    assert all(labels.metric(key).label in page.text for key in silent), "what nobody measured is named"


def test_measures_of_other_devices_and_layers(tmp_path):
    opened = full(tmp_path)
    one = opened.manifest.artifacts[0]
    there = measured.MeasuredDevice("pixel-9", "adb", {"description": HOSTILE})
    rows = [
        measured.MeasuredArtifact(
            one.name, one.file, one.sha256, measured.Agreement(True, False, 0.01, 50.0), None, one.latency, {"parity": "not asked"}
        ),
        measured.MeasuredArtifact("net-fp16", "net-fp16.mlpackage", "2" * 64, None, None, None, {"golden": "x", "parity": "x", "latency": "x"}),
    ]
    measured.record(opened, there, rows)
    losses = tuple(layers.LayerLoss(f"body.{i}", "conv2d", i, 30.0, 31.0, 32.0, 33.0, 40.0 + i, 41.0, None) for i in range(30))
    layers.write(opened.path, layers.Report(one.name, one.sha256, "int8", "XNNPACK", ("a#0",), losses, (), 40.0, 90.0))
    page = harmless(report.build(opened))
    assert page.row("net-int8") == ["50.0 dB", "NOT MEASURED", "28.3 ms"] and "net-fp16: what was measured here was another file" in page.text
    assert "body.29" in page.text and "6 more layers" in page.text
    layers.write(opened.path, layers.Report(one.name, "3" * 64, "int8", "XNNPACK", ("a#0",), losses, (), 40.0, 90.0))
    assert "body.29" not in report.build(opened), "another file's layers are not shown"
    (opened.path / "measured" / "pixel-9.json").write_text("{}")
    with pytest.raises(InvalidFile, match="pixel-9.json"):
        report.build(opened)


# Numbers


def test_a_number_unknown_to_the_table_is_shown_under_its_own_key():
    assert (labels.metric("seam_psnr_db").label, labels.metric("seam_psnr_db").unit) == ("Seam psnr", "dB")
    assert (labels.metric("ciede2000").label, labels.metric("ciede2000").text(1.23456)) == ("Ciede2000", "1.235")
    assert labels.metric("db").unit == ""


def test_a_budget_says_on_which_side_is_good():
    assert labels.limit("psnr_db", 50.0, 45.0, "ok") == "at least 45" and labels.limit("max_abs", None, 0.02, "not measured") == "at most 5.1"
    assert labels.limit("seam", 0.5, 1.0, "ok") == "at most 1" == labels.limit("seam", 2.0, 1.0, "over")
    assert labels.limit("seam", 2.0, 1.0, "ok") == "at least 1" and labels.limit("seam", None, 1.0, "not measured") == "1"


def test_rounding_never_turns_a_difference_around():
    drop = labels.METRICS["delta_psnr_db"]
    assert (drop.text(-0.00001), drop.text(0.058), drop.text(-0.1)) == ("+0.000", "+0.058", "−0.100")
    assert drop.difference(0.1, 0.1) == "0" and labels.METRICS["size_mb"].difference(1.0, 2.5) == "+1.50"
    from edgekit.report.page import share

    assert (share(1.0), share(0.99999), share(0.0), share(1e-9)) == ("100.00 %", "more than 99.99 %", "0.00 %", "less than 0.01 %")


def test_amplified_differences_stay_in_the_picture():
    for largest in range(256):
        gain = amplification(largest)
        assert (gain == 0) == (largest == 0) and (gain * largest <= 127 or gain == 1)
    assert (amplification(1), amplification(2), amplification(200)) == (64, 32, 1)


def test_deep_and_long_facts_end():
    deep: dict = {}
    inner = deep
    for _ in range(500):
        inner["x"] = {}
        inner = inner["x"]
    assert len(list(lines(deep))) == 1
    assert all(len(text) < 700 for _, text in lines({"long": "y" * 10**6, "many": list(range(10**5))}))


def test_charts_hold_what_they_are_given():
    steps = [0] * (2 * evidence.STEPS + 1)
    steps[evidence.STEPS] = 10
    one = charts.histogram(steps, "a <b>")
    assert str(one).count("<rect") == 1 and "a &lt;b&gt;" in one
    assert str(charts.histogram([1] * len(steps), "")).count("<rect") == len(steps)
    for values in ([100.0], [0.0, 100.0], [50.0] * 3000):
        assert 1 <= str(charts.tile_chart(values, 40.0, "")).count("<circle") <= charts.MOST_POINTS


# Evidence


def test_evidence_is_what_parity_measured(tmp_path):
    tiles = parity_set()
    wanted, got = outputs_of(tiles), outputs_of(tiles, noise=0.004)
    files = evidence.gather(tiles, wanted, [evidence.Given("net-int8", sample_manifest(tmp_path / "s")[0].artifacts[0].sha256, got)], tmp_path)
    measured = parity.compare(tiles, wanted, got, ParityReference("CPU", "float32"), "host", True)
    opened = full(tmp_path / "b")
    found = evidence.read(opened)
    assert found is not None and set(files) == {f"evidence/{p.name}" for p in (opened.path / "evidence").iterdir()}
    own = found.artifacts[0]
    assert min(own.psnr_db) == pytest.approx(measured.worst_psnr_db, abs=1e-3) and found.tiles[own.worst[0].tile] == measured.worst_tile
    assert sum(own.psnr_db) / len(own.psnr_db) == pytest.approx(measured.psnr_db, abs=1e-3)
    assert own.worst[0].tile == BAD_TILE and sum(own.steps) == 2 * 3 * 96 * 96
    cores = [core for cores in tiles.cores(got) for core in cores]
    data, pixels = evidence.read_picture(opened, own.worst[0].artifact)
    assert data[:4] == b"RIFF" and np.array_equal(pixels, metrics.to_uint8(cores[BAD_TILE])[0].permute(1, 2, 0).numpy())
    assert evidence.read_picture(opened, own.worst[0].input)[1].shape == (24, 24, 3)


def test_large_tiles_are_shown_where_the_error_is(tmp_path):
    picture = torch.rand(1, 3, 640, 640, generator=torch.Generator().manual_seed(0))
    tiles = parity.prepare([("a", picture)], lambda clean: (clean[..., ::2, ::2],), 2, (320, 320), 0)
    wanted = [torch.full((1, 3, 640, 640), 0.5)]
    got = [wanted[0].clone()]
    got[0][..., 500:520, 30:50] = 1.0
    evidence.gather(tiles, wanted, [evidence.Given("x", "0" * 64, got)], tmp_path)
    shown = json.loads((tmp_path / "evidence" / "evidence.json").read_text())["artifacts"][0]["worst"]
    top, left, height, width = shown[0]["window"]
    assert top <= 500 and top + height >= 520 and left <= 30 and left + width >= 50 and (height, width) == (256, 256)
    assert all(value % 2 == 0 for value in (top, left))


def test_evidence_stays_small_and_every_file_has_its_worst_tile(tmp_path):
    noise = [(f"{i}", torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(i))) for i in range(3)]
    tiles = parity.prepare(noise, lambda clean: (clean,), 1, (512, 512), 0)
    wanted = [tile[0] for tile in tiles.tiles]
    given = [
        evidence.Given(
            str(n), "0" * 64, [w + 0.1 * torch.rand(w.shape, generator=torch.Generator().manual_seed(n * 10 + i)) for i, w in enumerate(wanted)]
        )
        for n in range(5)
    ]
    files = evidence.gather(tiles, wanted, given, tmp_path)
    assert sum(path.stat().st_size for path in files.values()) < 1_500_000
    assert all(one["worst"] for one in json.loads(files["evidence/evidence.json"].read_text())["artifacts"])


def test_outputs_that_are_not_finite_are_the_worst(tmp_path):
    tiles = parity_set()
    got = outputs_of(tiles)
    got[1] = torch.full_like(got[1], float("nan"))
    evidence.gather(tiles, outputs_of(tiles), [evidence.Given("x", "0" * 64, got)], tmp_path)
    one = json.loads((tmp_path / "evidence" / "evidence.json").read_text())["artifacts"][0]
    assert one["psnr_db"][1] == 0 and one["worst"][0]["tile"] == 1 and one["psnr_db"][0] == 100


def test_grey_pictures_and_bgr(tmp_path):
    grey = parity.prepare([("a", torch.rand(1, 3, 32, 32))], lambda clean: (clean[:, :1],), 1, (32, 32), 0)
    outputs = [torch.rand(1, 2, 32, 32)]
    evidence.gather(grey, outputs, [evidence.Given("x", "0" * 64, outputs)], tmp_path)
    (tmp_path / "b").mkdir()
    blue = parity.prepare([("a", torch.zeros(1, 3, 8, 8))], lambda clean: (clean,), 1, (8, 8), 0)
    output = torch.zeros(1, 3, 8, 8)
    output[:, 0] = 1
    evidence.gather(blue, [output], [evidence.Given("x", "0" * 64, [output])], tmp_path / "b", colours=("bgr", "bgr"))
    with Image.open(tmp_path / "b" / "evidence" / "tile-0-0-0-reference.webp") as picture:
        assert picture.convert("RGB").getpixel((0, 0)) == (0, 0, 255)


def altered(opened: bundle.Bundle, change) -> str:
    file = opened.path / "evidence" / "evidence.json"
    table = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(change(table) or table), "utf-8")
    return refused(opened)


def refused(opened: bundle.Bundle) -> str:
    with pytest.raises(InvalidFile) as caught:
        report.build(bundle.read(opened.path))
    line = str(caught.value)
    assert "\n" not in line and "evidence" in line
    return line


@pytest.mark.parametrize(
    "change,said",
    [
        (lambda t: t.update(evidence=2), "expected 1"),
        (lambda t: t.update(extra=1), "unknown key 'extra'"),
        (lambda t: t.pop("tiles"), None),
        (lambda t: t.update(artifacts=[1]), "expected a table"),
        (lambda t: t.update(artifacts=t["artifacts"] * 2), "stands twice"),
        (lambda t: t["artifacts"][0].update(artifact="other"), "does not hold"),
        (lambda t: t["artifacts"][0].update(sha256="1" * 64), "does not hold"),
        (lambda t: t["artifacts"][0]["psnr_db"].pop(), "a tile each"),
        (lambda t: t["artifacts"][0]["psnr_db"].__setitem__(0, -1), "from 0 to 100"),
        (lambda t: t["artifacts"][0]["steps"].append(0), "expected 33"),
        (lambda t: t["artifacts"][0].update(steps=[0] * 33), "not all 0"),
        (lambda t: t["artifacts"][0].update(worst=t["artifacts"][0]["worst"] * 2), "at most 4"),
        (lambda t: t["artifacts"][0]["worst"][0].update(tile=999), "one of 8 tiles"),
        (lambda t: t["artifacts"][0]["worst"][0].update(tile=-1), "one of 8 tiles"),
        (lambda t: t["artifacts"][0]["worst"][0].update(window=[0, 0, 0, 9]), "pixels in it"),
        (lambda t: t["artifacts"][0]["worst"][0].update(window=[0, 0, 46, 48]), "expected both to be 48x46"),
        (lambda t: t["artifacts"][0]["worst"][0].update(input="../../etc/passwd"), "names the picture"),
        (lambda t: t["artifacts"][0]["worst"][0].update(input="/etc/passwd"), "names the picture"),
        (lambda t: t["artifacts"][0]["worst"][0].update(input="absent.webp"), "is missing"),
        (lambda t: [t], "expected an object"),
    ],
)
def test_evidence_that_is_not_believed(change, said, tmp_path):
    opened = full(tmp_path)
    line = altered(opened, lambda table: result if isinstance(result := change(table), list) and table in result else None)
    assert said is None or said in line


@pytest.mark.parametrize(
    "text", ["", "x", "[" * 10**5, '{"evidence": NaN}', '{"evidence": 1' + "0" * 5000 + "}", '{"evidence": 1, "tiles": ["\\ud800"]}', "\xff"]
)
def test_evidence_that_is_no_json(text, tmp_path):
    opened = full(tmp_path)
    (opened.path / "evidence" / "evidence.json").write_bytes(text.encode("latin-1"))
    refused(opened)


def test_pictures_that_are_none(tmp_path):
    opened = full(tmp_path)
    picture = sorted((opened.path / "evidence").glob("*-input.webp"))[0]
    good = picture.read_bytes()
    for bad in (b"", b"RIFF", good[: len(good) // 2], b"x" * 100):
        picture.write_bytes(bad)
        assert "is no WebP picture" in refused(opened)
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    assert "is no WebP picture" in refused(opened)
    Image.new("RGB", (2000, 8)).save(picture, "WEBP")
    assert "at most 512 px a side" in refused(opened)
    picture.write_bytes(good + b"\0" * 2**20)
    assert "has more than" in refused(opened)
    outside = tmp_path / "outside.webp"
    outside.write_bytes(good)
    picture.unlink()
    picture.symlink_to(outside)
    refused(opened)
    picture.unlink()
    picture.write_bytes(good)
    report.build(bundle.read(opened.path))
    (opened.path / "evidence").rename(tmp_path / "moved")
    (opened.path / "evidence").symlink_to(tmp_path / "moved")
    assert "leads out of the bundle" in refused(opened)


def test_any_damage_gives_a_page_or_one_line(tmp_path):
    opened, rng = full(tmp_path), random.Random(0)
    places = sorted((opened.path / "evidence").iterdir())
    outcomes = {True: 0, False: 0}
    for _ in range(300):
        file = rng.choice(places)
        good = file.read_bytes()
        bad = bytearray(good)
        for _ in range(rng.choice([1, 3, 30])):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        file.write_bytes(bytes(bad))
        try:
            report.build(opened)
            outcomes[True] += 1
        except InvalidFile as error:
            assert "\n" not in str(error)
            outcomes[False] += 1
        file.write_bytes(good)
    assert min(outcomes.values()) > 20


# Two bundles


def test_two_bundles_side_by_side(tmp_path):
    def other(m: Manifest) -> Manifest:
        one = m.artifacts[0]
        assert one.parity and one.latency
        faster = replace(one, parity=replace(one.parity, psnr_db=48.0), latency=replace(one.latency, median_ms=20.0))
        return replace(m, artifacts=(faster, replace(m.artifacts[1], recipe="int8-weights")))

    a, b = full(tmp_path / "a"), full(tmp_path / "b", change=other)
    page = harmless(report.compare(a, b))
    assert page.row("PSNR, mean") == ["47.50", "48.00", "+0.50better"] and page.row("Latency, median") == ["28.3", "20.0", "−8.3better"]
    assert page.row("Banding") == ["0.00", "0.00", "0"] and "NOT measured side by side" in page.text
    assert page.text.count("rocket.png#3") >= 2 and "have none in common" not in page.text
    assert "Only in A" in page.text and "net-fp16: the other bundle has no file" in page.text
    assert page.tags.count("input") == 2


def test_times_of_two_machines_have_no_difference(tmp_path):
    def elsewhere(m: Manifest) -> Manifest:
        one = m.artifacts[0]
        assert one.latency
        return replace(
            m, model=replace(m.model, name="other"), artifacts=(replace(one, latency=replace(one.latency, device="a phone")), m.artifacts[1])
        )

    a, b = full(tmp_path / "a"), full(tmp_path / "b", change=elsewhere, tiles=parity_set(("x", "y")))
    page = Page(report.compare(a, b))
    assert page.row("Latency, median") == ["28.3", "28.3", "not comparable"] and "different machines" in page.text
    assert "The models differ: net in A, other in B." in page.text and "none in common" in page.text
    assert "PSNR, mean" in page.text and page.row("PSNR, mean")[2] == "0"


def test_not_measured_has_no_difference(tmp_path):
    a = full(tmp_path / "a")
    b = bundle.Bundle(a.path, replace(a.manifest, artifacts=(a.manifest.artifacts[1], a.manifest.artifacts[0])))
    page = Page(report.compare(a, b))
    blind = [cells for cells in page.rows if cells[1:3] == ["NOT MEASURED", "NOT MEASURED"]]
    assert blind and all(cells[3] == "" for cells in blind) and "Neither file was timed" in page.text


# The commands


def run(capfd, *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    out, err = capfd.readouterr()
    return code, out, err


def test_report_writes_the_page_again_into_the_bundle(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = full(tmp_path)
    code, out, err = run(capfd, "report", "out", "--json")
    assert code == 0 and json.loads(out) == {"bundle": "out", "report": "out/report.html"} and "report: out/report.html" in err
    first = (opened.path / "report.html").read_text("utf-8")
    assert bundle.read(opened.path) == opened and first == report.build(opened)
    assert run(capfd, "report", "out")[0] == 0, "its own page is replaced"
    assert run(capfd, "report", "out", "--out", "page.html")[0] == 0 and Path("page.html").read_text("utf-8") == first
    assert not [path for path in [*tmp_path.iterdir(), *opened.path.iterdir()] if path.name.endswith(".new")]


def test_report_replaces_no_ones_file(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = full(tmp_path)
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    code, _, err = run(capfd, "report", "out", "--out", "mine.html")
    assert code == 2 and "is no page of edgekit; expected a free name" in err and mine.read_text() == "mine"
    code, _, err = run(capfd, "report", "out", "--out", "nowhere/page.html")
    assert code == 2 and "its folder does not exist" in err
    code, _, err = run(capfd, "report", "out", "--out", "out")
    assert code == 2 and "is a folder" in err
    (opened.path / "report.html").symlink_to(mine)
    assert run(capfd, "report", "out", "--force")[0] == 0
    assert mine.read_text() == "mine" and not (opened.path / "report.html").is_symlink(), "a link is replaced, not followed"
    assert run(capfd, "report", "out", "--out", "mine.html", "--force")[0] == 0 and "doctype" in mine.read_text("utf-8")


def test_compare_writes_a_page_and_bad_input_is_one_line(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    full(tmp_path / "a"), full(tmp_path / "b")
    code, out, _ = run(capfd, "compare", "a/out", "b/out", "--json")
    assert code == 0 and json.loads(out)["report"] == "compare.html" and "doctype" in Path("compare.html").read_text("utf-8")
    for command in (["report", "nowhere"], ["compare", "a/out", "nowhere"], ["compare", "nowhere", "a/out"]):
        code, out, err = run(capfd, *command)
        assert code == 2 and "nowhere/manifest.json: cannot be read" in err and out == ""
    Path("a/out/evidence/evidence.json").write_text("{}")
    code, _, err = run(capfd, "report", "a/out")
    assert code == 2 and len([line for line in err.splitlines() if line.startswith("error")]) == 1 and "evidence.json" in err


def test_the_page_is_the_same_for_the_same_bundle(tmp_path):
    opened = full(tmp_path)
    assert report.build(opened) == report.build(opened)
    assert not re.search(r"/(tmp|work|home|root)/", report.build(opened)), "no path of this machine"


def test_corrected_biases_are_told_beside_the_calibration(tmp_path):
    int8 = sample(tmp_path)[0].artifacts[0]
    assert "biases corrected" not in dict(calibrated(int8).lines)
    assert dict(calibrated(replace(int8, facts={**int8.facts, "corrected_biases": 8})).lines)["biases corrected"] == "of 8 layers"


def test_files_of_variants_are_told_apart(tmp_path):
    """They have one backend and one recipe."""
    described, _ = sample(tmp_path / "made")
    int8 = described.artifacts[0]
    light = replace(int8, name="light-int8", file="light-int8.pte", variant="light")
    page = report.build(bundle.Bundle(tmp_path, replace(described, artifacts=(replace(int8, variant="heavy"), light))))
    head = page[page.index('<table class="files"') :]
    assert re.findall(r"<small>(\w+)</small></th>", head[: head.index("</thead>")]) == ["heavy", "light"]
