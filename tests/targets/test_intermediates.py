"""Inside real files: a layer that int8 breaks comes out on top, a float file parts nowhere, and a changed weight is found where it is.

The broken layer has one input channel with weights a thousand times the others', which the ReLU before it keeps silent: the float network is as good as without,
but 8 bits per output channel have no level left for the other weights.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import pictures
from torch import nn

from edgekit import layers, metrics, rewrite
from edgekit.backend import Lowered
from edgekit.errors import CannotRunHere, InvalidFile
from edgekit.layers import Report
from edgekit.manifest import Artifact
from edgekit.recipe import Quantize
from edgekit_targets import backend
from edgekit_targets.devices.host import Host
from edgekit_targets.toolchain import part

SIDE = 16
PLANTED = "body.2"
BACKENDS = {"executorch": "executorch", "tflite": "litert_torch", "onnx": "onnxruntime", "coreml": "coremltools"}
WHOLE_FILES = ("tflite", "onnx", "coreml")


class Net(nn.Module):
    """Channel 0 of the convolution before the planted layer is silent."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.tail = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))
        with torch.no_grad():
            self.body[0].weight[0], self.body[0].bias[0] = 0, -0.01
            self.body[2].weight *= 3
            self.body[2].weight[:, 0] *= 1000
            self.tail[0].bias += 0.5

    def forward(self, x):
        x = self.head(x)
        return self.tail(x + self.body(x))


@dataclass(frozen=True)
class Made:
    """One lowered network, and what `layers` needs to look into it."""

    name: str
    quantize: Quantize | None
    lowered: Lowered
    graph: torch.fx.GraphModule

    def open(self, file: Path | None = None):
        return part(self.name, "intermediates").Intermediates(file or self.lowered.file, self.graph, TILE, self.quantize, lambda: TILES)

    def report(self, file: Path | None = None) -> Report:
        read = self.open(file)
        precision = self.quantize.precision if self.quantize else "fp32"
        reference = layers.reference_graph(self.graph, TILE)
        measured = layers.measure(reference, read, [(TILE, TILE), (OTHER, OTHER)], alone=precision not in layers.TOLERANCE_DB)
        outputs = Host().run(file or self.lowered.file, [TILE, OTHER]).outputs
        agrees = min(metrics.psnr_db(o[0], m) for o, m in zip(outputs, measured.outputs, strict=True))
        return layers.report(self._artifact(precision), read, measured, ["a#0", "b#0"], agrees)

    def _artifact(self, precision) -> Artifact:
        file = self.lowered.file.name
        return Artifact(
            "net",
            file,
            self.name,
            "",
            "r",
            precision,
            1,
            "0" * 64,
            (),
            (),
            None,
            None,
            None,
            quantize=self.quantize,
            quantized=self.lowered.quantized,
        )

    def psnr_db(self) -> float:
        with torch.no_grad():
            return metrics.psnr_db(self.graph(*TILE), Host().run(self.lowered.file, [TILE]).outputs[0][0])


TILE, OTHER = ((p,) for p in pictures(2, seed=9, side=SIDE))
TILES = [(p,) for p in pictures(4, side=SIDE)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(backend, Quantize or None) -> Made, each lowered once."""
    folder, known = tmp_path_factory.mktemp("layers"), {}

    def get(name: str, quantize: Quantize | None = None) -> Made:
        pytest.importorskip(BACKENDS[name])
        key = (name, repr(quantize))
        if key not in known:
            one = backend(name)
            graph = rewrite.apply(Net().eval(), TILE, one.rewrites).module
            known[key] = Made(name, quantize, one.lower(graph, TILE, quantize, TILES, folder / f"{len(known)}{one.suffix}"), graph)
        return known[key]

    return get


@pytest.mark.parametrize("name", BACKENDS)
def test_the_planted_layer_is_on_top(made, name):
    report = made(name, Quantize("int8")).report()
    worst, next_worst = report.layers[:2]
    assert worst.layer == PLANTED and worst.own_db < 10 and worst.recipe == f'float_layers = ["{PLANTED}"]'
    assert next_worst.alone_psnr_db > worst.alone_psnr_db + 10 and next_worst.own_db > 25
    assert {"head", "body.0", PLANTED, "tail.0"} <= {loss.layer for loss in report.layers} and report.not_shown == ()
    before = {loss.layer: loss for loss in report.layers}["body.0"]
    assert before.accumulated_db > 25 and worst.accumulated_db < 10
    assert report.output_psnr_db == pytest.approx(worst.alone_psnr_db, abs=1), "all of the loss is this layer's"
    assert report.agrees_db > 45 and ("not the file" in report.source) == (name == "executorch")


@pytest.mark.parametrize("name", BACKENDS)
def test_its_recipe_line_mends_the_file(made, name):
    broken, mended = made(name, Quantize("int8")), made(name, Quantize("int8", float_layers=(PLANTED,)))
    assert PLANTED not in mended.lowered.quantized and mended.psnr_db() > broken.psnr_db() + 10
    after = mended.report()
    exempted = next(loss for loss in after.layers if loss.layer == PLANTED)
    # What reads it in int8 may still round its output.
    assert exempted.recipe is None and exempted.own_db > 25 and exempted.alone_psnr_db > broken.psnr_db() + 10
    lines = [loss.recipe for loss in after.layers if loss.recipe and loss.recipe.startswith("float_layers")]
    assert lines and all(f'["{PLANTED}", ' in line for line in lines), "a further line keeps what the recipe exempts already"


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_a_float_file_parts_nowhere(made, name):
    report = made(name).report()
    assert report.parts_at is None and "part nowhere" in report.verdict() and report.tolerance_db == 80
    assert all(loss.accumulated_db > 80 and loss.own_db > 80 and loss.local_db > 100 for loss in report.layers)
    assert {"head", "body.0", PLANTED, "tail.0"} <= {loss.layer for loss in report.layers}
    assert report.agrees_db > 90


def test_an_fp16_package_rounds_but_does_not_part(made):
    report = made("coreml", Quantize("fp16")).report()
    assert report.parts_at is None and report.tolerance_db == 45 and 45 < min(loss.accumulated_db for loss in report.layers) < 90


def test_sums_are_named_too(made):
    for name, line in (("tflite", 'float_types = ["add"]'), ("onnx", 'float_layers = ["add"]'), ("coreml", 'float_layers = ["add"]')):
        found = {loss.layer: loss for loss in made(name, Quantize("int8")).report().layers}
        assert found["add"].kind == "add" and 25 < found["add"].own_db < 80 and found["add"].recipe == line


def weight_bytes(made: Made) -> bytes:
    """The planted layer's kernel as the file of `made` holds it, but for its order of axes."""
    weight = made.graph.get_parameter(f"{PLANTED}.weight").detach().numpy()
    return (weight.transpose(0, 2, 3, 1) if made.name == "tflite" else weight).astype("<f4").tobytes()


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_a_changed_weight_is_where_the_numbers_part(made, name, tmp_path):
    """One small weight, changed in the file itself."""
    fine = made(name)
    copy = tmp_path / fine.lowered.file.name
    shutil.copytree(fine.lowered.file, copy) if fine.lowered.file.is_dir() else shutil.copy(fine.lowered.file, copy)
    place = copy / "Data/com.apple.CoreML/weights/weight.bin" if copy.is_dir() else copy
    kernel, data = weight_bytes(fine), place.read_bytes()
    assert data.count(kernel) == 1
    changed = np.frombuffer(kernel, "<f4").copy()
    index = int(np.flatnonzero((np.abs(changed) > 0.05) & (np.abs(changed) < 1))[0])
    changed[index] *= -1
    place.write_bytes(data.replace(kernel, changed.tobytes()))
    report = fine.report(copy)
    assert (report.parts_at, report.parts_inside) == (PLANTED, True)
    assert f"the numbers part at '{PLANTED}' (conv2d), inside it" in report.verdict()
    assert (
        report.layers[0].layer == PLANTED and report.layers[0].local_db < 80 < {loss.layer: loss for loss in report.layers}["body.0"].accumulated_db
    )


def test_a_missing_relu_is_found_before_the_layer_that_reads_it(made, tmp_path):
    onnx = pytest.importorskip("onnx")
    fine = made("onnx")
    model = onnx.load(fine.lowered.file)
    (relu,) = [node for node in model.graph.node if node.op_type == "Relu"]
    relu.op_type = "Identity"
    onnx.save(model, tmp_path / "no_relu.onnx")
    report = fine.report(tmp_path / "no_relu.onnx")
    assert (report.parts_at, report.parts_inside) == (PLANTED, False)


@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_weights_that_are_rounded_at_run_time(made, name):
    """int8-dynamic files keep floats between the layers."""
    report = made(name, Quantize("int8-dynamic")).report()
    assert report.layers[0].layer == PLANTED and report.layers[0].recipe == f'float_layers = ["{PLANTED}"]'
    assert {loss.layer: loss for loss in report.layers}["add"].own_db > 80


def test_a_float_pte_says_why_not(made, tmp_path):
    pytest.importorskip("executorch")
    graph = rewrite.apply(Net().eval(), TILE, ()).module
    with pytest.raises(CannotRunHere, match="shows no layer inside XNNPACK's partitions"):
        part("executorch", "intermediates").Intermediates(tmp_path / "a.pte", graph, TILE, None, list)


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_a_missing_or_broken_file_is_one_line(name, tmp_path):
    pytest.importorskip(BACKENDS[name])
    graph = rewrite.apply(Net().eval(), TILE, ()).module
    opening = part(name, "intermediates").Intermediates
    for content in (None, b"\x00garbage" * 40):
        file = tmp_path / f"{content is None}{backend(name).suffix}"
        if content:
            file.write_bytes(content)
        with pytest.raises(InvalidFile) as error:
            opening(file, graph, TILE, None, list)
        assert "\n" not in str(error.value) and file.name in str(error.value)


def test_pictures_in_bytes(made, tmp_path):
    """uint8 in and out: the network's own arithmetic on pixels is in the file too."""
    pytest.importorskip("onnxruntime")
    one = backend("onnx")
    graph = rewrite.apply(Net().eval(), TILE, (*one.rewrites, "uint8_io")).module
    pixels = [tuple((t * 255 + 0.5).to(torch.uint8) for t in tile) for tile in (TILE, *TILES)]
    lowered = one.lower(graph, pixels[0], Quantize("int8"), pixels[1:], tmp_path / "a.onnx")
    read = part("onnx", "intermediates").Intermediates(lowered.file, graph, pixels[0], Quantize("int8"), list)
    found = layers.measure(layers.reference_graph(graph, pixels[0]), read, [(pixels[0], pixels[0])], alone=True)
    assert min(found.layers, key=lambda loss: loss.alone_psnr_db).layer == PLANTED
    assert found.psnr_db == pytest.approx(min(loss.alone_psnr_db for loss in found.layers), abs=1)


def test_a_report_of_a_real_file_survives_the_disk(made, tmp_path):
    report = replace(made("onnx", Quantize("int8")).report(), artifact="net")
    assert layers.from_json(layers.write(tmp_path, report).read_bytes(), "x") == report
