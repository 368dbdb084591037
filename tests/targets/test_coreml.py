"""Core ML: what the package on disk holds, that its weights are the network's, and what is said of it off a Mac."""

import copy
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from tiny import psnr
from torch import nn
from torch.fx import Interpreter

from edgekit import rewrite
from edgekit.errors import InvalidFile, LoweringError
from edgekit.models.edsr import EDSR
from edgekit.recipe import Quantize
from edgekit_targets import backend
from edgekit_targets.coreml import CoreML
from edgekit_targets.devices.host import Host

pytest.importorskip("coremltools")
from edgekit_targets.coreml import host, inspect, package, w8a8
from edgekit_targets.coreml.host import CoreMLSession, EvaluatorSession, Session
from edgekit_targets.coreml.lower import to_graph

LAYERS = ("head.0", "body.0.body.0", "body.0.body.2", "body.1", "tail.0.0_tail_1")
NETWORK = {"add": 2, "clip": 1, "conv": 5, "pad": 1, "pixel_shuffle": 1, "relu": 1}
"""What EDSR with one block is in Core ML's own operators."""


@pytest.fixture(scope="module")
def network(tile):
    torch.manual_seed(0)
    return rewrite.apply(EDSR(2, 1, 16).eval(), tile, CoreML.rewrites).module


@pytest.fixture(scope="module")
def lowered(network, tile, tiles, tmp_path_factory):
    """(precision, options) -> (Lowered, Package), each made once."""
    folder, made = tmp_path_factory.mktemp("coreml"), {}

    def make(precision, options=None):
        options = options or CoreML()
        if (precision, options) not in made:
            out = folder / f"{len(made)}.mlpackage"
            result = options.lower(network, tile, None if precision == "fp32" else Quantize(precision), tiles, out)
            made[precision, options] = result, inspect.read(out)
        return made[precision, options]

    return make


def _with_weights_of(contents, network):
    """The network with the weights that the package holds, unpacked."""
    changed = copy.deepcopy(network)
    convolutions = [node for node in changed.graph.nodes if node.target is torch.ops.aten.conv2d.default]
    assert len(convolutions) == len(contents.layers)
    for node, layer in zip(convolutions, contents.layers, strict=True):
        for argument, value in zip(node.args[1:3], (layer.weight, layer.bias), strict=True):
            changed.get_parameter(argument.target).data = torch.from_numpy(value.copy())
    return changed


class _Half(Interpreter):
    """Every operator's result rounded to float16, as between the operators of an fp16 program."""

    def run_node(self, n):
        value = super().run_node(n)
        return value.half().float() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize(
    ("precision", "unpacked_by", "least_db", "largest"),
    [
        ("fp32", "const", 140.0, 1.0),
        ("fp16", "const", 70.0, 0.55),
        ("int8-weights", "constexpr_affine_dequantize", 45.0, 0.30),
        ("palettized-6", "constexpr_lut_to_dense", 30.0, 0.25),
        ("palettized-4", "constexpr_lut_to_dense", 20.0, 0.20),
        ("int8", "constexpr_affine_dequantize", 45.0, 0.30),
    ],
)
def test_weights_on_disk(lowered, network, tile, expected, precision, unpacked_by, least_db, largest):
    made, contents = lowered(precision)
    assert {layer.stored for layer in contents.layers} == {unpacked_by}
    with torch.no_grad():
        assert psnr(_with_weights_of(contents, network)(*tile), expected) >= least_db
    weights = [(made.file / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size for made in (lowered(p)[0] for p in (precision, "fp32"))]
    assert weights[0] <= largest * weights[1]
    is_compressed = unpacked_by != "const"
    assert made.quantized == (LAYERS if is_compressed else ()) and made.kept_float == ()


def test_fp16_arithmetic_is_close(lowered, network, tile, expected):
    """fp16 weights from disk and fp16 results between operators: what the program computes, up to the order of sums."""
    with torch.no_grad():
        assert psnr(_Half(_with_weights_of(lowered("fp16")[1], network)).run(*tile), expected) >= 60


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "fp32"), ("fp16", "fp16"), ("int8-weights", "fp16"), ("palettized-4", "fp16")])
def test_native_operators_in_the_right_type(lowered, precision, dtype):
    made, contents = lowered(precision)
    kinds = {o.kind: o.dtype for o in contents.operators if o.kind in NETWORK}
    assert {kind: n for kind, n in contents.counts().items() if kind in NETWORK} == NETWORK
    assert set(kinds.values()) == {dtype}
    assert contents.counts().get("cast", 0) == (0 if precision == "fp32" else 2)
    assert contents.inputs == {"image": "multiArrayType"} and contents.outputs == {"enhanced": "multiArrayType"}
    assert (made.inputs[0].shape, made.inputs[0].dtype, made.outputs[0].shape) == ((1, 3, 24, 24), "float32", (1, 3, 48, 48))
    assert contents.specification_version == 8
    assert contents.metadata["author"] == "edgekit" and precision in contents.metadata["description"]


def test_int8_quantizes_activations_around_every_layer(lowered, network, tile, tiles, expected):
    made, contents = lowered("int8")
    counts = contents.counts()
    # The picture, five convolutions (one of them with its ReLU) and two additions; one dequantize per reader.
    assert counts["quantize"] == 8 and counts["dequantize"] == 10
    assert sorted(o.dtype for o in contents.operators if o.kind == "quantize") == ["int8"] * 5 + ["uint8"] * 3
    assert (made.facts["estimator"], made.facts["calibration_tiles"]) == ("min-max", 4)
    graph = to_graph(network, tile)
    w8a8.quantize(graph, Quantize("int8"), tiles)
    with torch.no_grad():
        assert 40 <= psnr(graph(*tile), expected) < 90


def test_int8_levels_are_exact_where_the_graph_says_so(network, tile, tiles):
    """The picture and the clamped result have a step of 1/255; they and ReLU results are unsigned; all others are symmetric."""
    graph = to_graph(network, tile)
    w8a8.quantize(graph, Quantize("int8"), tiles)
    levels = {
        n.args[0].name: (n.args[1], n.args[2], n.args[5])
        for n in graph.graph.nodes
        if n.target is torch.ops.quantized_decomposed.quantize_per_tensor.default
    }
    u8, i8 = torch.uint8, torch.int8
    assert [dtype for _, _, dtype in levels.values()] == [u8, i8, u8, i8, i8, i8, i8, u8]
    assert {zero for _, zero, _ in levels.values()} == {0}
    assert levels["constant_pad_nd"][0] == list(levels.values())[-1][0] == 1 / 255


@pytest.mark.parametrize("estimator", ["moving-average", "percentile", "mse"])
def test_estimators_change_the_levels(network, tile, tiles, expected, estimator):
    def scales(chosen):
        graph = to_graph(network, tile)
        w8a8.quantize(graph, Quantize("int8", estimator=chosen, percentile=99.0), tiles)
        return graph, [n.args[1] for n in graph.graph.nodes if n.target is torch.ops.quantized_decomposed.quantize_per_tensor.default]

    graph, changed = scales(estimator)
    assert changed != scales("min-max")[1]
    with torch.no_grad():
        assert psnr(graph(*tile), expected) > 30


def test_exempt_layers_stay_float(network, tile, tiles, tmp_path):
    weights = CoreML().lower(network, tile, Quantize("int8-weights", float_layers=("head*", "tail*")), [], tmp_path / "w.mlpackage")
    assert weights.kept_float == ("head.0", "tail.0.0_tail_1") and weights.quantized == LAYERS[1:4]
    stored = [layer.stored for layer in inspect.read(weights.file).layers]
    assert stored == ["const", *["constexpr_affine_dequantize"] * 3, "const"]
    quantize = Quantize("int8", float_layers=("body.1",), float_types=("add",))
    both = CoreML().lower(network, tile, quantize, tiles, tmp_path / "b.mlpackage")
    assert both.kept_float == ("body.1",) and len(both.quantized) == 4


def test_same_input_same_bytes(network, tile, tiles, lowered, tmp_path):
    def files(folder):
        return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}

    for precision in ("fp16", "palettized-4", "int8"):
        again = CoreML().lower(network, tile, Quantize(precision), tiles, tmp_path / f"{precision}.mlpackage")
        assert files(again.file) == files(lowered(precision)[0].file)
        assert sorted(files(again.file)) == ["Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin", "Manifest.json"]
    assert package.size(again.file) == sum(map(len, files(again.file).values()))


def test_images_in_and_out(lowered):
    made, contents = lowered("fp16", CoreML(io="image"))
    assert contents.inputs == {"image": "imageType"} and contents.outputs == {"enhanced": "imageType"}
    assert (made.inputs[0].dtype, made.inputs[0].range, made.outputs[0].shape) == ("uint8", (0.0, 255.0), (1, 3, 48, 48))
    assert contents.counts()["round"] == 1 and made.facts["io"] == "image"
    assert lowered("int8-weights", CoreML(io="image"))[0].quantized == LAYERS


def test_ios_18(lowered):
    made, contents = lowered("int8-weights", CoreML(minimum_deployment_target="iOS18"))
    assert contents.specification_version == 9 and made.quantized == LAYERS
    assert {layer.stored for layer in contents.layers} == {"constexpr_blockwise_shift_scale"}


def test_a_convolution_that_is_the_output_keeps_its_name(tile, tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.LeakyReLU(0.1), nn.Conv2d(32, 3, 3)).eval()
    for precision in ("int8-weights", "int8"):
        made = CoreML().lower(network, tile, Quantize(precision), [tile], tmp_path / "m.mlpackage")
        assert made.quantized == ("0", "2")


@pytest.mark.parametrize("io", ["float32", "image"])
@pytest.mark.parametrize("precision", ["int8-weights", "int8", "palettized-4"])
@pytest.mark.parametrize("outer", ["network", "inside"])
def test_a_network_within_a_module(outer, precision, io, tile, tiles, tmp_path):
    """As every network whose enhancer changes ranges. The palettes were once looked for under other names."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(3, 32, 3), nn.LeakyReLU(0.1), nn.Conv2d(32, 32, 3), nn.LeakyReLU(0.1), nn.Conv2d(32, 3, 3))
    network = rewrite.apply(nn.Sequential(OrderedDict([(outer, inner)])).eval(), tile, CoreML.rewrites).module
    made = CoreML(io=io).lower(network, tile, Quantize(precision, float_layers=(f"{outer}.2",)), tiles, tmp_path / "m.mlpackage")
    assert made.quantized == (f"{outer}.0", f"{outer}.4") and made.kept_float == (f"{outer}.2",)


def test_weights_are_found_beside_a_joined_constant(tile, tmp_path):
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(4, 3, 3, padding=1)
            self.register_buffer("plane", torch.rand(1, 1, *tile[0].shape[-2:]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.convolution(torch.cat([x, self.plane], 1)).clamp(0, 1)

    torch.manual_seed(0)
    made = CoreML().lower(Joined().eval(), tile, Quantize("int8-weights"), [], tmp_path / "joined.mlpackage")
    assert made.quantized == ("convolution",)


def test_a_bias_that_is_a_normalizations_offset_too(tile, tmp_path):
    """Uformer's zeros: coremltools stores equal constants once, and then would not compress the layer."""

    class Normalized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.layer = nn.Conv2d(3, 256, 3, padding=1), nn.LayerNorm(256), nn.Linear(256, 256)
            nn.init.zeros_(self.layer.bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.norm(self.first(x).permute(0, 2, 3, 1))
            return self.layer(y).permute(0, 3, 1, 2)[:, :3]

    torch.manual_seed(0)
    made = CoreML().lower(Normalized().eval(), tile, Quantize("int8-weights"), [], tmp_path / "zeros.mlpackage")
    assert len(made.quantized) == 2 and not made.kept_float


def test_a_number_with_a_fraction_instead_of_whole_ones(tile, tmp_path):
    class Chosen(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            levels = (9 * x).int()
            return torch.where(x > 0.5, 0.25, levels) + torch.where(x > 0.2, levels, 0.75)

    made = CoreML().lower(Chosen().eval(), tile, None, [], tmp_path / "chosen.mlpackage")
    assert (EvaluatorSession(made.file)(tile)[0] - Chosen()(tile[0])).abs().max() < 1e-6


def test_a_slice_that_takes_everything_converts(tile, tmp_path):
    class Cropped(nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input)[..., : input.shape[-2], : input.shape[-1]]

    network = Cropped(3, 3, 3, padding=1).eval()
    made = CoreML().lower(network, tile, None, [], tmp_path / "cropped.mlpackage")
    with torch.no_grad():
        assert torch.allclose(EvaluatorSession(made.file)(tile)[0], network(*tile), atol=1e-5)


class TestRefusals:
    def test_precision(self, network, tile, tmp_path):
        assert "finds no activation ranges at run time: use int8" in CoreML().refusal("int8-dynamic")
        with pytest.raises(LoweringError, match="cannot make int8-dynamic"):
            CoreML().lower(network, tile, Quantize("int8-dynamic"), [], tmp_path / "m.mlpackage")
        assert all(CoreML("iOS18").refusal(p) is None for p in CoreML().precisions)

    def test_uint8_tensors(self, network, tile, tmp_path):
        with pytest.raises(LoweringError, match='torch.uint8 tensors, which Core ML has not: .* io = "image"'):
            CoreML().lower(network, (tile[0].to(torch.uint8),), None, [], tmp_path / "m.mlpackage")

    @pytest.mark.parametrize("precision", ["int8", "int8-weights"])
    def test_exemptions_that_fit_nothing(self, network, tile, tiles, tmp_path, precision):
        for quantize, message in (
            (Quantize(precision, float_layers=("tial*",)), "float_layers has 'tial\\*', which fits no layer; layers are head.0"),
            (Quantize(precision, float_types=("conv3d",)), "float_types has 'conv3d'; expected some of conv2d"),
            (Quantize(precision, float_layers=("*",)), "no layer is left to quantize|nothing was quantized"),
        ):
            with pytest.raises(LoweringError, match=message):
                CoreML().lower(network, tile, quantize, tiles, tmp_path / "m.mlpackage")

    def test_fp16_with_float_layers(self, network, tile, tmp_path):
        with pytest.raises(LoweringError, match="fp16 rounds no layer to integers, .* fp32_layers keeps layers out of fp16"):
            CoreML().lower(network, tile, Quantize("fp16", float_layers=("head*",)), [], tmp_path / "m.mlpackage")

    def test_no_calibration(self, network, tile, tmp_path):
        with pytest.raises(LoweringError, match="needs calibration tiles"):
            CoreML().lower(network, tile, Quantize("int8"), [], tmp_path / "m.mlpackage")

    def test_image_with_two_channels(self, tmp_path):
        with pytest.raises(LoweringError, match="with 2 channels; expected 1 or 3"):
            CoreML(io="image").lower(nn.Conv2d(2, 2, 1).eval(), (torch.rand(1, 2, 8, 8),), None, [], tmp_path / "m.mlpackage")

    def test_operator_without_a_translation(self, tile, tmp_path):
        class Bessel(nn.Module):
            def forward(self, x):
                return torch.special.bessel_j0(x)

        with pytest.raises(LoweringError, match="coremltools could not convert the network: .*bessel"):
            CoreML().lower(Bessel(), tile, None, [], tmp_path / "m.mlpackage")


class TestInspect:
    def test_missing(self, tmp_path):
        with pytest.raises(InvalidFile, match="no such package"):
            inspect.read(tmp_path / "none.mlpackage")

    @pytest.mark.parametrize("damage", ["empty", "manifest", "specification", "no weights"])
    def test_broken(self, network, tile, tmp_path, damage):
        file = CoreML().lower(network, tile, Quantize("fp16"), [], tmp_path / "m.mlpackage").file
        manifest, specification, weights = (file / p for p in ("Manifest.json", package.SPECIFICATION, "Data/com.apple.CoreML/weights/weight.bin"))
        if damage == "manifest":
            manifest.write_text("{")
        elif damage == "specification":
            specification.write_bytes(specification.read_bytes()[:500])
        elif damage == "no weights":
            weights.unlink()
        else:
            file = tmp_path / "empty.mlpackage"
            file.mkdir()
        with pytest.raises(InvalidFile, match=r"\.mlpackage: not a readable ML Program"):
            inspect.read(file)

    def test_weights_are_the_networks(self, lowered, network):
        layer = lowered("fp32")[1].layers[1]
        assert np.array_equal(layer.weight, network.get_parameter("body.0.body.0.weight").detach().numpy())


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has Core ML itself")
class TestOffAMac:
    """The evaluator gives the program's numbers, says that it did, and gives no latency."""

    @pytest.mark.parametrize(("precision", "least_db"), [("fp32", 120), ("fp16", 60), ("int8-weights", 45), ("palettized-4", 20), ("int8", 40)])
    def test_the_file_is_executed(self, lowered, tile, expected, precision, least_db):
        session = Session(lowered(precision)[0].file)
        (result,) = session(tile)
        assert isinstance(session, EvaluatorSession) and session.executed_by == "evaluator"
        assert result.dtype == torch.float32 and psnr(result, expected) >= least_db

    def test_levels_in_palettes(self, lowered, tile, expected):
        """Two stages of unpacking: indices into a table of int8 levels, which a scale makes numbers."""
        made, _ = lowered("palettized-4-int8", CoreML(minimum_deployment_target="iOS18"))
        assert psnr(Session(made.file)(tile)[0], expected) >= 20

    def test_latency_is_not_measured(self, lowered, tile):
        run = Host().run(lowered("fp16")[0].file, [tile], repeats=5)
        assert run.executed_by == "evaluator" and run.latency is None and len(run.outputs) == 1
        assert run.why_no_latency == "the evaluator computes Core ML's numbers, not its speed: measure on the iPhone or a Mac"

    def test_pixels_stay_pixels(self, lowered, tile, expected):
        made, _ = lowered("fp16", CoreML(io="image"))
        (result,) = Session(made.file)(((tile[0] * 255).round().to(torch.uint8),))
        assert result.dtype == torch.uint8 and psnr(result / 255, expected) >= 50


def test_on_a_mac_core_ml_itself_opens_the_file(monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(host, "CoreMLSession", opened.append)
    host.Session(tmp_path)
    assert opened == [tmp_path] and CoreMLSession.executed_by == "coreml" and CoreMLSession.why_no_latency is None


def test_options_from_toml():
    assert backend("coreml", {"minimum_deployment_target": "iOS18", "io": "image"}) == CoreML("iOS18", io="image")
    with pytest.raises(InvalidFile, match="minimum_deployment_target is 'iOS13'; expected one of iOS17, iOS18"):
        backend("coreml", {"minimum_deployment_target": "iOS13"})
    assert (CoreML().delegate, CoreML(compute_units="cpu-and-ne").delegate) == ("ane+gpu+cpu", "ane+cpu")
