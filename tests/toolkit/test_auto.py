"""`--recipe auto` with a real backend: as many float layers as the budget needs and no more, and a recipe that says so."""

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
import torch
from bundles import sample

import edgekit_targets
from edgekit import auto, chart, recipe
from edgekit.auto import Found
from edgekit.backend import Backend
from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidFile
from edgekit.manifest import BudgetLine
from edgekit.models.degrade import darkened, downscale, resize
from edgekit.models.edsr import EDSR
from edgekit.models.zero_dce import ZeroDCE
from edgekit.preparation import PictureSet
from edgekit.recipe import Quantize
from edgekit.target import Budget, Target
from edgekit_targets.devices.host import Host

ONNX = edgekit_targets.backend("onnx")
LAYERS = {"head.0", "body.0.body.0", "body.0.body.2", "body.1.body.0", "body.1.body.2", "body.2", "tail.0.0_tail_1"}


def tiny() -> Enhancer:
    """One channel inside the first block is 1000 times as large as the others, and undone behind."""
    torch.manual_seed(0)
    net = EDSR(2, blocks=2, channels=8).eval().requires_grad_(False)
    first, _, second = net.body[0].body
    first.weight[0] *= 1000
    first.bias[0] *= 1000
    second.weight[:, 0] /= 1000
    return Enhancer("tiny", net, downscale(2), 2, sha256="0" * 64)


def pictures(count: int = 4) -> PictureSet:
    soft = resize(torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0)), 64, 64).clamp(0, 1)
    return PictureSet("soft", "0" * 64, [(str(i), one[None]) for i, one in enumerate(soft)])


def search(
    psnr_db: float | None, *, backend: Backend = ONNX, device=None, given: PictureSet | None = None, enhancer: Enhancer | None = None, **options
) -> Found:
    target = Target("desk", (), (32, 32), budgets={"restore": Budget(psnr_db=psnr_db)})
    return auto.search(enhancer or tiny(), target, backend, given or pictures(), device or Host(), **options)


def briefly(*arguments, **options) -> Found:
    """With one range estimator only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto, "ESTIMATORS", ("min-max",))
        return search(*arguments, **options)


SEEN: list[str] = []


@pytest.fixture(scope="module")
def loose() -> Found:
    return search(20.0, progress=lambda what, done, total: SEEN.append(what))


@pytest.fixture(scope="module")
def tight(loose) -> Found:
    """Five dB above what int8 alone reaches."""
    return briefly(max(trial.psnr_db for trial in loose.trials) + 5)


@pytest.fixture(scope="module")
def impossible() -> Found:
    return briefly(99.0)


def test_within_budget_nothing_is_float(loose):
    assert loose.good and loose.quantize.float_layers == () and loose.cost_ms is None
    assert [trial.estimator for trial in loose.trials] == list(auto.ESTIMATORS) and all(trial.good for trial in loose.trials)
    assert loose.quantize.estimator == max(loose.trials, key=lambda trial: trial.worst_psnr_db).estimator
    assert loose.quantize.precision == "int8" and loose.backend == "onnx"
    assert {f"auto onnx: {kind}, 0 float layers" for kind in auto.ESTIMATORS} | {"sensitivity"} <= set(SEEN)


def test_the_ranking_is_of_all_layers_and_knows_the_planted_ones(loose):
    assert {layer.layer for layer in loose.layers} == LAYERS
    assert {layer.layer for layer in loose.layers[:2]} == {"body.0.body.0", "body.0.body.2"}


def test_the_fewest_layers_become_float_that_meet_the_budget(tight):
    floats = tight.quantize.float_layers
    assert tight.good and set(floats) == {"body.0.body.0", "body.0.body.2"}
    assert floats == tuple(layer.layer for layer in tight.layers[: len(floats)]), "the most sensitive first"
    assert tight.cost_ms is not None
    *missed, found = tight.trials
    assert found.good and found.float_layers == floats and found.estimator == tight.quantize.estimator
    assert not any(trial.good for trial in missed) and missed[-1].float_layers == floats[:1], "with one fewer it was tried"


def test_sums_become_float_before_any_layer(tmp_path):
    """Curves add to the picture again and again; kept in float, these sums win 20 dB."""
    torch.manual_seed(0)
    net = ZeroDCE(8).eval().requires_grad_(False)
    net.body[6].bias += 0.5
    found = briefly(60.0, enhancer=Enhancer("bend", net, darkened(), 1, sha256="0" * 64))
    assert [trial.good for trial in found.trials] == [False, False, True] and found.trials[0].psnr_db + 10 < found.chosen.psnr_db
    assert found.quantize.float_types == ("add", "mul") and found.quantize.float_layers == ()
    assert found.cost_ms is not None and "0 float layers, float add, float mul, " in auto.to_toml([found], "bend", "today")
    assert TestRecipe.reread(tmp_path, [found]).for_backend("onnx") == found.quantize


def test_biases_stay_as_they_are_where_correcting_them_does_harm(monkeypatch, tmp_path):
    """As behind CycleGAN's instance normalizations; here the correction is made wrong."""

    def harm(graph, tiles, quantize):
        for name, value in graph.named_parameters():
            if name.endswith("bias"):
                value.data += 0.05
        return 1

    monkeypatch.setattr(auto.pipeline.bias_correction, "correct", harm)
    found = briefly(30.0)
    assert [(trial.good, trial.bias_correction) for trial in found.trials] == [(False, True), (True, False)]
    assert found.quantize.float_layers == () and not found.quantize.bias_correction and found.cost_ms is None
    text = auto.to_toml([found], "tiny", "today")
    assert "bias_correction = false" in text and "0 float layers, biases as they are" in text
    assert TestRecipe.reread(tmp_path, [found]).for_backend("onnx") == found.quantize


@pytest.mark.parametrize(("beyond", "over"), [(-0.1, ("psnr_db",)), (auto.MARGIN_DB - 0.01, ("psnr_db",)), (auto.MARGIN_DB + 0.01, ())])
def test_what_only_just_meets_a_limit_in_db_does_not_pass(tmp_path, beyond, over):
    """Other pictures will judge the export."""
    artifact = sample(tmp_path)[0].artifacts[0]
    lines = (BudgetLine("psnr_db", 45 + beyond, 45.0, "ok" if beyond > 0 else "over"), BudgetLine("colour_shift", 0.008, 0.01, "ok"))
    assert auto._trial(replace(artifact, budget=lines), "mse", (), ()).over == over
    near = (*lines, BudgetLine("banding", 0.009, 0.01, "ok"))
    assert auto._trial(replace(artifact, budget=near), "mse", (), ()).over == (*over, "banding")


def test_out_of_reach_is_the_best_point_and_not_called_good(impossible):
    assert not impossible.good and all(trial.over == ("psnr_db",) for trial in impossible.trials)
    assert impossible.chosen.worst_psnr_db == max(trial.worst_psnr_db for trial in impossible.trials)
    assert {len(trial.float_layers) for trial in impossible.trials} == {0, 1, 2, 4, 6}, "up to all layers but one"


@pytest.mark.parametrize("needed", range(1, 9))
def test_the_step_back_ends_at_the_fewest(needed):
    """Of 9 layers in order, a file is good from `needed` on; all 9 would be no int8 file."""
    tried = []

    def attempt(estimator, layers, types):
        tried.append(len(layers))
        return auto.Trial(estimator, tuple(layers), types, 40.0, float(len(layers)), None, None, () if len(layers) >= needed else ("psnr_db",))

    start = auto.Trial("mse", (), (), 30.0, 0.0, None, None, ("psnr_db",))
    found = auto._fewest(attempt, start, [f"layer{i}" for i in range(9)])
    assert found.good and found.estimator == "mse" and found.float_layers == tuple(f"layer{i}" for i in range(needed))
    assert len(tried) == len(set(tried)) <= 6


class TestRecipe:
    @staticmethod
    def reread(tmp_path, found: list[Found], name: str = "tiny on desk") -> recipe.Recipe:
        path = tmp_path / "auto.toml"
        path.write_text(auto.to_toml(found, name, "2026-11-21"), "utf-8")
        return recipe.load(str(path))

    def test_it_reads_back_as_what_was_found(self, tmp_path, loose, tight):
        other = replace(loose, backend="tflite")
        read = self.reread(tmp_path, [tight, other])
        assert read.for_backend("onnx") == tight.quantize and read.for_backend("tflite") == loose.quantize
        assert read.precision == "int8" and read.prune is None and read.description == "Found by --recipe auto for tiny on desk, 2026-11-21"

    def test_it_says_why(self, tight, impossible):
        text = auto.to_toml([tight, replace(impossible, backend="tflite")], "tiny", "today")
        good, bad = (line for line in text.splitlines() if line.startswith("#"))
        assert good.startswith("# within budget: worst tile ") and "2 float layers, " in good and good.endswith(" ms")
        assert bad.startswith(f"# OVER BUDGET in psnr_db: the best of {len(impossible.trials)} files tried")

    def test_a_name_with_quotes_is_kept(self, tmp_path, loose):
        assert 'a "b" \\ c' in self.reread(tmp_path, [loose], 'a "b" \\ c').description

    def test_what_the_base_keeps_in_float_stays_there(self, tmp_path, loose):
        found = briefly(20.0, base=Quantize("int8", float_layers=("body.0.*",), tiles=8, percentile=99.9))
        assert found.quantize.float_layers == ("body.0.*",) and found.quantize.tiles == 8
        assert found.trials[0].psnr_db > loose.trials[0].psnr_db + 5
        assert found.cost_ms is None, "all files have it: there is none without"
        assert self.reread(tmp_path, [found]).for_backend("onnx") == found.quantize


def test_one_picture_is_not_enough():
    with pytest.raises(InvalidFile, match=r"^recipe 'auto' needs at least two calibration pictures .*, got 1$"):
        search(20.0, given=pictures(1))


def test_files_that_do_not_run_here_cannot_be_searched():
    tensorrt = edgekit_targets.backend("onnx", {"dialect": "tensorrt"})

    class Elsewhere:
        def run(self, file, inputs, repeats=0):
            from edgekit.errors import CannotRunHere

            raise CannotRunHere("needs an NVIDIA GPU")

    with pytest.raises(InvalidFile, match=r"^recipe 'auto' measures every file it tries, and onnx files do not run here \(needs an NVIDIA GPU\)$"):
        search(20.0, backend=tensorrt, device=Elsewhere())


class TestChart:
    SVG = "{http://www.w3.org/2000/svg}"

    def texts(self, root) -> list[str]:
        return [text.text for text in root.iter(f"{self.SVG}text")]

    def test_bars_are_drawn_to_scale_and_marked(self):
        root = ElementTree.fromstring(
            chart.bars('a <b> & "c"', [("head.0", 20.0, True), ("x<y & z", 80.0, False), ("worse", float("-inf"), True)], "dB")
        )
        assert {"head.0", "x<y & z", 'a <b> & "c"', "20.0 dB"} <= set(self.texts(root))
        widths = [float(rect.get("width")) for rect in root.iter(f"{self.SVG}rect")]
        assert widths[0] == pytest.approx(widths[1] / 4) and widths[2] == 0
        assert len({rect.get("fill") for rect in root.iter(f"{self.SVG}rect")}) == 2
        height = float(root.get("viewBox").split()[3])
        assert all(float(rect.get("y")) + float(rect.get("height")) <= height for rect in root.iter(f"{self.SVG}rect"))

    def test_no_rows_are_an_empty_chart(self):
        assert self.texts(ElementTree.fromstring(chart.bars("none", [], "dB"))) == ["none"]

    def test_points_lie_where_their_values_are(self):
        points = [("a<b", 1.0, 30.0), ("c&d", 2.0, 35.0), ("e", 3.0, 31.0)]
        root = ElementTree.fromstring(chart.scatter("t <&>", points, "ms < 3", "dB & more"))
        assert {"a<b", "c&d", "e", "t <&>", "ms < 3", "dB & more"} <= set(self.texts(root))
        places = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{self.SVG}circle")]
        assert all(one[0] < other[0] for one, other in pairwise(places))
        assert places[1][1] < places[2][1] < places[0][1], "more is higher"
        assert all(70 <= x <= 670 and 50 <= y <= 330 for x, y in places)

    def test_one_point_is_a_chart_too(self):
        assert len(list(ElementTree.fromstring(chart.scatter("t", [("only", 2.0, 3.0)], "x", "y")).iter(f"{self.SVG}circle"))) == 1


def test_palettes_spare_the_fewest_layers(tmp_path):
    """With 4 bits the budget is missed; some layers, not all, get 8."""
    pytest.importorskip("coremltools")
    coreml, base = edgekit_targets.backend("coreml"), Quantize("palettized-4", tiles=2)
    plain = search(1.0, backend=coreml, base=base)
    assert plain.good and plain.quantize.palette_bits == {} and len(plain.trials) == 1
    assert plain.chosen.psnr_db is not None
    found = search(plain.chosen.psnr_db + 1, backend=coreml, base=base)
    assert found.good and 0 < len(found.quantize.palette_bits) < len(LAYERS) and set(found.quantize.palette_bits.values()) == {auto.SPARED_BITS}
    assert found.quantize.palette_bits.keys() <= LAYERS and found.quantize.float_layers == ()
    (tmp_path / "auto.toml").write_text(auto.to_toml([found], "tiny", "2026-11-21"), "utf-8")
    assert recipe.load(str(tmp_path / "auto.toml")).for_backend("coreml") == found.quantize
