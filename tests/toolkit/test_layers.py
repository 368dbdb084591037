"""Layer by layer beside the float network: known errors must come back as the numbers they are, at the layer they were put into."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from bundles import sample
from torch import nn
from torch.fx import Interpreter

from edgekit import bundle, layers, rewrite
from edgekit.errors import CannotRunHere, InvalidFile
from edgekit.layers import CAP_DB, walk
from edgekit.recipe import Quantize

SIDE = 16


class Net(nn.Module):
    """Two residual convolutions around a ReLU or another activation, and a clamp at the end."""

    def __init__(self, activation: nn.Module | None = None, twice: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.activation = activation or nn.ReLU()
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.tail = nn.Conv2d(8, 3, 3, padding=1)
        self.twice = twice

    def forward(self, x):
        x = self.activation(self.head(x))
        y = self.body(x)
        y = self.body(y) if self.twice else y
        return self.tail(x + y).clamp(0, 1)


@dataclass
class Value:
    name: str
    result: torch.Tensor
    operands: list[torch.Tensor] | None
    activated: bool = False

    def output(self):
        return self.result

    def inputs(self, shapes):
        return self.operands


@dataclass
class Traced:
    layers: list[Value]
    outputs: list[torch.Tensor]


class File:
    """A running file made of the float graph itself; `spoil` changes what one of its layers gives, `shown` how it is told."""

    source, is_file, by_name, by_type = "a test", True, ("add",), ()

    def __init__(self, graph, spoil=None, *, shown=lambda values: values, outputs=lambda result: result):
        self.graph, self.spoil, self.shown, self.outputs = graph, spoil or {}, shown, outputs

    def __call__(self, tile):
        values, spoil = [], self.spoil

        class Run(Interpreter):
            def run_node(self, n):
                value = super().run_node(n)
                if n.op == "call_function":
                    name = layers.layer_name(n)
                    count = sum(v.name == name for v in values)
                    value = spoil.get(f"{name}#{count + 1}" if count else name, lambda v: v)(value)
                    values.append(Value(name, value, [self.env[a] for a in walk._operands(n)]))
                return value

        with torch.no_grad():
            result = Run(self.graph, garbage_collect_values=False).run(*tile)
        result = result[0] if isinstance(result, tuple | list) else result
        return Traced(self.shown(values), [self.outputs(result)])


def tile(seed: int = 0) -> tuple[torch.Tensor, ...]:
    return (torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)),)


def graph_of(net: nn.Module):
    return layers.reference_graph(rewrite.apply(net.eval(), tile(), ("clamp",)).module, tile())


@pytest.fixture(scope="module")
def graph():
    return graph_of(Net())


def noise(db: float, seed: int = 0):
    """Adds noise that lies `db` below the tensor it is added to."""

    def add(value):
        error = torch.randn(value.shape, generator=torch.Generator().manual_seed(seed))
        return value + error * (torch.linalg.vector_norm(value) / torch.linalg.vector_norm(error) * 10 ** (-db / 20))

    return add


def measured(graph, spoil=None, *, tiles=1, **options) -> dict[str, layers.LayerLoss]:
    found = layers.measure(graph, File(graph, spoil, **options), [(tile(i), tile(i)) for i in range(tiles)], alone=True)
    return {loss.layer: loss for loss in found.layers}


def artifact(precision="int8", **changes):
    made = {
        "name": "net-int8",
        "sha256": "1" * 64,
        "precision": precision,
        "quantize": Quantize("int8", float_layers=("old",)),
        "quantized": ("head", "body", "tail"),
    }
    return type("Artifact", (), made | changes)


def test_signal_to_noise():
    signal = torch.full((1, 1, 2, 2), 4.0)
    assert layers.sqnr_db(signal, signal * 1.1) == pytest.approx(20, abs=1e-4)
    assert layers.sqnr_db(signal, signal) == CAP_DB
    assert layers.sqnr_db(signal, signal * float("nan")) == layers.sqnr_db(signal, signal / 0) == -CAP_DB
    assert layers.sqnr_db(torch.zeros(3), torch.ones(3)) == -CAP_DB
    assert layers.sqnr_db(torch.zeros(3), torch.zeros(3)) == CAP_DB


def test_the_network_beside_itself_loses_nothing(graph):
    found = measured(graph)
    assert list(found) == ["head", "body", "add", "tail"], "in the network's order; activations belong to the layer before them"
    assert all((loss.accumulated_db, loss.own_db, loss.alone_psnr_db) == (CAP_DB, CAP_DB, 100.0) for loss in found.values())


def test_an_error_comes_back_at_its_layer_and_at_its_size(graph):
    found = measured(graph, {"body": noise(30)})
    assert found["body"].own_db == pytest.approx(30, abs=0.01)
    assert {name for name, loss in found.items() if loss.own_db is not None and loss.own_db < 140} == {"body"}
    assert found["head"].accumulated_db == CAP_DB
    assert all(found[name].accumulated_db < 45 for name in ("body", "add", "tail"))


def test_alone_is_what_the_output_loses_by_this_layer(graph):
    """Two layers are wrong; each alone must give the output that the network gives with only that one wrong."""
    spoil = {"head": noise(35), "tail": noise(25, seed=1)}
    both = measured(graph, spoil)
    for name, change in spoil.items():
        one = layers.measure(graph, File(graph, {name: change}), [(tile(), tile())], alone=False)
        # The second layer's noise is added to a signal that the first one changed a little.
        assert both[name].alone_psnr_db == pytest.approx(one.psnr_db, abs=0.1)
        assert one.layers[0].alone_psnr_db is None
    whole = layers.measure(graph, File(graph, spoil), [(tile(), tile())], alone=False).psnr_db
    assert whole < min(both[name].alone_psnr_db for name in spoil)


def test_worst_and_mean_over_tiles(graph):
    calls = []

    def varying(value):
        calls.append(None)
        return noise(20 if len(calls) == 2 else 40)(value)

    loss = measured(graph, {"body": varying}, tiles=4)["body"]
    assert (loss.own_db, loss.own_mean_db) == (pytest.approx(20, abs=0.1), pytest.approx(35, abs=0.1))


@pytest.mark.parametrize("fused", [False, True])
def test_a_relu_counts_on_neither_side_whether_it_is_fused_or_not(graph, fused):
    """An error among the values that the ReLU removes is none."""

    def below_zero(value):
        return torch.where(value < 0, value * 3, value)

    def shown(values):
        return [replace(v, result=v.result.relu()) if fused and v.name == "head" else v for v in values]

    found = measured(graph, {"head": below_zero}, shown=shown)
    assert (found["head"].own_db, found["head"].accumulated_db, found["head"].alone_psnr_db) == (CAP_DB, CAP_DB, 100.0)


def test_an_activation_that_is_not_applied_twice():
    graph = graph_of(Net(nn.LeakyReLU(0.2)))

    def fused(values):
        return [replace(v, result=nn.functional.leaky_relu(v.result, 0.2), activated=True) if v.name == "head" else v for v in values]

    plain, inside = measured(graph, {"head": noise(30)}), measured(graph, {"head": noise(30)}, shown=fused)
    assert plain["head"].own_db == pytest.approx(30, abs=0.01) and "leaky_relu" in plain and "leaky_relu" not in inside
    assert inside["head"].own_db == pytest.approx(30, abs=3) and inside["head"].own_db != plain["head"].own_db
    assert inside["head"].alone_psnr_db == pytest.approx(plain["head"].alone_psnr_db, abs=0.05)


def test_a_layer_that_is_used_twice():
    found = measured(graph_of(Net(twice=True)), {"body#2": noise(20)})
    assert found["body"].own_db == CAP_DB and found["body#2"].own_db == pytest.approx(20, abs=0.01)
    read = File(None)
    losses = layers.Measured(tuple(found.values()), (), (), 30.0)
    assert layers.report(artifact(), read, losses, ["a#0"], None).layers[0].recipe == 'float_layers = ["old", "body"]'


def test_what_a_file_does_not_show_is_told(graph):
    def shown(values):
        kept = [v for v in values if v.name != "body"]
        return [replace(v, result=v.result[..., 1:]) if v.name == "head" else replace(v, operands=None) if v.name == "tail" else v for v in kept]

    found = layers.measure(graph, File(graph, {"tail": noise(30)}, shown=shown), [(tile(), tile())], alone=True)
    assert set(found.not_shown) == {"head", "body"}
    tail = next(loss for loss in found.layers if loss.layer == "tail")
    assert (tail.own_db, tail.alone_psnr_db) == (None, None) and tail.accumulated_db == pytest.approx(30, abs=3)
    with pytest.raises(CannotRunHere, match="shows no layer of this network"):
        layers.measure(graph, File(graph, shown=lambda values: []), [(tile(), tile())], alone=True)


def test_infinity_and_nan_are_the_least_that_is_reported(graph):
    found = layers.measure(graph, File(graph, {"body": lambda v: v / 0}), [(tile(), tile())], alone=True)
    body = next(loss for loss in found.layers if loss.layer == "body")
    assert (body.own_db, body.accumulated_db, body.alone_psnr_db) == (-CAP_DB,) * 3
    assert "Infinity" not in layers.report(artifact(), File(graph), found, ["a#0"], None).to_json()


def test_bytes_are_pictures_too():
    pixels = ((tile()[0] * 255).to(torch.uint8),)
    made = rewrite.apply(Net().eval(), tile(), ("clamp", "uint8_io")).module
    graph = layers.reference_graph(made, pixels)
    found = layers.measure(graph, File(graph), [(pixels, pixels)], alone=True)
    assert found.psnr_db == 100 and found.outputs[0].dtype == torch.float32 and float(found.outputs[0].max()) <= 1


def test_worst_tiles():
    expected = [torch.full((1, 3, 2, 2), 0.5)] * 5
    given = [e + d for e, d in zip(expected, (0.01, 0.1, float("nan"), 0.0, -0.2), strict=True)]
    assert layers.worst_tiles(expected, given, 3) == [2, 4, 1]


def judged(graph, spoil, precision="int8", **changes) -> layers.Report:
    read = File(graph, spoil)
    found = layers.measure(graph, read, [(tile(), tile())], alone=precision == "int8")
    return layers.report(artifact(precision, **changes), read, found, ["a#0"], 55.0)


def test_the_recipe_line(graph):
    report = judged(graph, {"body": noise(10), "add": noise(30), "head": noise(50)})
    assert [loss.layer for loss in report.layers[:3]] == ["body", "add", "head"]
    assert report.layers[0].recipe == 'float_layers = ["old", "body"]'
    assert report.layers[1].recipe == 'float_layers = ["old", "add"]'
    assert report.layers[3].recipe is None, "it loses nothing"
    assert 'keep the worst in float with float_layers = ["old", "body"] (alone it limits the output to' in report.verdict()
    kept = judged(graph, {"body": noise(10), "add": noise(30)}, quantized=("head", "tail"))
    assert kept.layers[0].recipe is None and 'float_layers = ["old", "add"]' in kept.verdict(), "the worst is float already"
    assert "'body' costs more, but no line exempts it" in kept.verdict()
    assert judged(graph, {}).verdict() == "no layer left to exempt"


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 80), ("fp16", 45)])
def test_the_numbers_of_a_float_file_part_nowhere_or_at_a_layer(graph, precision, tolerance):
    fine = judged(graph, {"add": noise(tolerance + 20)}, precision)
    assert fine.parts_at is None and f"part nowhere: SQNR is at least {tolerance + 20}.0 dB layer by layer (at 'add')" in fine.verdict()
    assert f"tolerance {tolerance} dB" in fine.verdict() and fine.output_psnr_db > tolerance
    assert [loss.local_db for loss in fine.layers[1:]] == [CAP_DB] * 3, "what comes from before is not theirs"
    broken = judged(graph, {"body": noise(20)}, precision)
    assert (broken.parts_at, broken.parts_inside) == ("body", True) and "part at 'body' (conv2d), inside it: SQNR 20.0 dB" in broken.verdict()
    between = judged(graph, {"relu": noise(20)}, precision)
    assert (between.parts_at, between.parts_inside) == ("body", False) and "between it and the layer before" in between.verdict()
    drifted = judged(graph, {name: noise(tolerance + 4, seed) for seed, name in enumerate(("head", "body", "add", "tail"))}, precision)
    assert drifted.parts_at is None and min(loss.accumulated_db for loss in drifted.layers) < tolerance, "what accumulates is no fault"


@pytest.fixture
def opened(tmp_path):
    (tmp_path / "parts").mkdir()
    return bundle.write(tmp_path / "bundle", *sample(tmp_path / "parts"))


def test_a_report_is_written_whole_and_read_back_validated(graph, opened):
    real = opened.manifest.artifacts[0]
    report = replace(judged(graph, {"body": noise(10)}), artifact=real.name, sha256=real.sha256)
    assert layers.read(opened, real.name) is None
    place = layers.write(opened.path, report)
    assert place == opened.path / "measured" / "layers-net-int8.json" and layers.read(opened, real.name) == report
    assert bundle.read(opened.path) == opened and [p.name for p in place.parent.iterdir()] == [place.name]
    layers.write(opened.path, replace(report, sha256="2" * 64))
    assert layers.read(opened, real.name) is None, "measured on another file"
    with pytest.raises(ValueError):
        layers.write(opened.path, replace(report, agrees_db=math.nan))
    assert layers.from_json(place.read_bytes(), "x").sha256 == "2" * 64 and len(list(place.parent.iterdir())) == 1, "the old one stays"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t: t[:50], "is not JSON as expected"),
        (lambda t: t.replace('"own_db": 10', '"own_db": "x'), "is not JSON as expected"),
        (lambda t: t.replace('"precision": "int8"', '"precision": 8'), "precision is 8; expected string"),
        (lambda t: t.replace('"kind"', '"sort"'), "is missing"),
        (lambda t: t.replace("\n}", ',\n"more": 1}'), "unknown key 'more'"),
        (lambda t: t.replace('"head"', '"\udcff"'), "is not"),
    ],
)
def test_a_damaged_report_is_one_line(graph, opened, change, line):
    real = opened.manifest.artifacts[0]
    place = layers.write(opened.path, replace(judged(graph, {"body": noise(10)}), artifact=real.name, sha256=real.sha256))
    place.write_bytes(change(place.read_text("utf-8")).encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidFile, match=line) as error:
        layers.read(opened, real.name)
    assert "\n" not in str(error.value) and place.name in str(error.value)


def test_nothing_is_written_through_a_link(graph, opened, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (opened.path / "measured").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidFile, match="is a link; expected a plain folder"):
        layers.write(opened.path, judged(graph, {}))
    assert not list((tmp_path / "elsewhere").iterdir())
    with pytest.raises(InvalidFile, match="leads out of the bundle"):
        layers.read(opened, opened.manifest.artifacts[0].name)
