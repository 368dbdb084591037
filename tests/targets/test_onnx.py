"""ONNX: what is in the file, that ONNX Runtime gives what the network gave, and what is refused."""

# ruff: noqa: E402

from collections import Counter
from pathlib import Path

import pytest
import torch
from tiny import psnr
from torch import nn

from edgekit import rewrite
from edgekit.errors import InvalidFile, LoweringError
from edgekit.models.edsr import EDSR
from edgekit.recipe import Quantize
from edgekit_targets import backend
from edgekit_targets.onnx import Onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from edgekit_targets.onnx import graphs, quantizers
from edgekit_targets.onnx.host import Session, saturates
from edgekit_targets.onnx.lower import export

LAYERS = ("head.0", "body.0.body.0", "body.0.body.2", "body.1", "tail.0.0_tail_1")


@pytest.fixture(scope="module")
def network(tile):
    torch.manual_seed(0)
    return rewrite.apply(EDSR(2, 1, 16).eval(), tile, Onnx.rewrites).module


@pytest.fixture(scope="module")
def lowered(network, tile, tiles, tmp_path_factory):
    """(dialect, precision) -> Lowered, each made once."""
    folder, made = tmp_path_factory.mktemp("onnx"), {}

    def make(precision, dialect="onnxruntime"):
        if (dialect, precision) not in made:
            out = folder / f"{dialect}-{precision}.onnx"
            made[dialect, precision] = Onnx(dialect).lower(network, tile, None if precision == "fp32" else Quantize(precision), tiles, out)
        return made[dialect, precision]

    return make


def _operators(file):
    return Counter(node.op_type for node in onnx.load(file).graph.node)


@pytest.mark.parametrize(
    ("dialect", "precision", "least_db"),
    [
        ("onnxruntime", "fp32", 110.0),
        ("onnxruntime", "int8", 40.0),
        ("onnxruntime", "int8-dynamic", 40.0),
        ("tensorrt", "fp32", 110.0),
        ("tensorrt", "fp16", 60.0),
        ("tensorrt", "int8", 38.0),
    ],
)
def test_runs_like_the_network(lowered, tile, expected, dialect, precision, least_db):
    made = lowered(precision, dialect)
    (got,) = Session(made.file)(tile)
    assert got.shape == expected.shape and got.dtype == torch.float32 and got.is_contiguous()
    assert psnr(got, expected) >= least_db
    assert float((got - expected).abs().max()) > 0 or precision == "fp32", "quantization that changes nothing did not happen"


def test_fp32_is_one_plain_file(lowered):
    made = lowered("fp32")
    model = onnx.load(made.file, load_external_data=False)
    assert _operators(made.file) == {"Pad": 1, "Conv": 5, "Relu": 1, "Add": 2, "Clip": 1, "DepthToSpace": 1}
    assert not any(t.external_data for t in model.graph.initializer)
    assert [o.version for o in model.opset_import if o.domain == ""] == [20]
    assert (made.inputs[0].name, made.inputs[0].shape, made.inputs[0].dtype) == ("image", (1, 3, 24, 24), "float32")
    assert (made.outputs[0].name, made.outputs[0].shape) == ("enhanced", (1, 3, 48, 48))
    assert made.quantized == () and set(made.toolchain) == {"torch", "onnx", "onnxscript", "onnxruntime"}


def test_file_names_nothing_of_this_machine(lowered):
    content = lowered("fp32").file.read_bytes()
    assert b".py" not in content and b"stack_trace" not in content


def test_same_input_same_bytes(network, tile, tiles, lowered, tmp_path):
    for precision in ("fp32", "int8", "int8-dynamic"):
        quantize = None if precision == "fp32" else Quantize(precision)
        again = Onnx().lower(network, tile, quantize, tiles, tmp_path / "again.onnx")
        assert again.file.read_bytes() == lowered(precision).file.read_bytes()


def test_int8_stores_int8_weights_and_one_scale_per_channel(lowered):
    made = lowered("int8")
    model = onnx.load(made.file)
    stored = graphs.constants(model)
    assert made.quantized == LAYERS and made.kept_float == ()
    weight, scale = stored["body.0.body.0.weight_quantized"], stored["body.0.body.0.weight_scale"]
    assert weight.data_type == onnx.TensorProto.INT8 and list(scale.dims) == [16]
    assert (made.facts["estimator"], made.facts["calibration_tiles"]) == ("min-max", 4)
    assert graphs.weight_bytes(model) < 0.5 * graphs.weight_bytes(onnx.load(lowered("fp32").file))


def test_picture_and_output_use_all_256_levels(lowered):
    """Both ranges are exactly [0, 1]: a step is 1/255, whatever the calibration pictures held."""
    stored = graphs.constants(onnx.load(lowered("int8").file))
    for tensor in ("constant_pad_nd", "clamp"):
        assert graphs.scalar(stored[f"{tensor}_scale"]) == pytest.approx(1 / 255) and graphs.scalar(stored[f"{tensor}_zero_point"]) == 0


def test_int8_dynamic_makes_integer_convolutions(lowered):
    made = lowered("int8-dynamic")
    operators = _operators(made.file)
    assert operators["ConvInteger"] == 5 and operators["Conv"] == 0 and operators["DynamicQuantizeLinear"] == 5
    assert made.quantized == LAYERS and "slower" in made.facts["note"]


def test_int8_dynamic_leaves_linear_layers(tile, tmp_path):
    """quantize_dynamic stumbled over the shape of a weight that it had turned around itself."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
    made = Onnx().lower(network, tile, Quantize("int8-dynamic"), [], tmp_path / "linear.onnx")
    assert made.quantized == ("0",) and made.kept_float == ("3",)
    with torch.no_grad():
        assert psnr(Session(made.file)(tile)[0], network(*tile)) > 40


def test_tensorrt_int8_is_symmetric_with_float_biases(lowered):
    made = lowered("int8", "tensorrt")
    model = onnx.load(made.file)
    stored = graphs.constants(model)
    pairs = [node for node in model.graph.node if node.op_type.endswith("QuantizeLinear") or node.op_type == "DequantizeLinear"]
    assert pairs
    for node in pairs:
        zero = onnx.numpy_helper.to_array(stored[node.input[2]])
        assert zero.dtype == "int8" and not zero.any()
    assert stored["head.0.bias"].data_type == onnx.TensorProto.FLOAT
    assert made.facts["engine"] == "not built here"
    assert made.facts["trtexec"] == "trtexec --onnx=tensorrt-int8.onnx --saveEngine=tensorrt-int8.plan --stronglyTyped"


def test_tensorrt_fp16_halves_the_weights(lowered):
    full, half = (graphs.weight_bytes(onnx.load(lowered(p, "tensorrt").file)) for p in ("fp32", "fp16"))
    assert half < 0.55 * full
    assert lowered("fp16", "tensorrt").inputs[0].dtype == "float32"


def test_exempt_layers_stay_float(network, tile, tiles, tmp_path):
    quantize = Quantize("int8", float_layers=("head*", "tail*"), float_types=("add",))
    made = Onnx().lower(network, tile, quantize, tiles, tmp_path / "m.onnx")
    assert made.kept_float == ("head.0", "tail.0.0_tail_1") and made.quantized == ("body.0.body.0", "body.0.body.2", "body.1")
    assert "head.0.weight" in graphs.constants(onnx.load(made.file))
    dynamic = Onnx().lower(network, tile, Quantize("int8-dynamic", float_layers=("body.1",)), tiles, tmp_path / "d.onnx")
    assert dynamic.kept_float == ("body.1",)


@pytest.mark.parametrize("estimator", ["min-max", "moving-average", "percentile", "mse"])
def test_every_estimator_makes_another_file(network, tile, tiles, expected, lowered, tmp_path, estimator):
    made = Onnx().lower(network, tile, Quantize("int8", estimator=estimator, percentile=99.0), tiles, tmp_path / "m.onnx")
    assert made.facts["estimator"] == estimator
    assert (made.file.read_bytes() == lowered("int8").file.read_bytes()) == (estimator == "min-max")
    assert psnr(Session(made.file)(tile)[0], expected) > 30


def test_ranges_come_from_the_given_number_of_tiles(tile):
    torch.manual_seed(0)
    network = nn.Conv2d(3, 3, 1).eval()
    bright = (torch.ones_like(tile[0]),)
    first, second = (network(*t).detach().aminmax() for t in (tile, bright))
    model = export(network, tile)
    few, both = (quantizers.activation_ranges(model, {"enhanced"}, Quantize("int8", tiles=n), [tile, bright])["enhanced"] for n in (1, 2))
    assert few == pytest.approx((min(0.0, float(first.min)), max(0.0, float(first.max))), abs=1e-6)
    assert both == pytest.approx((min(few[0], float(second.min)), max(few[1], float(second.max))), abs=1e-6) and both != few


@pytest.mark.parametrize("dialect", ["onnxruntime", "tensorrt"])
def test_uint8_in_and_out(network, tile, tiles, dialect, tmp_path):
    torch.manual_seed(0)
    network = rewrite.apply(EDSR(2, 1, 16).eval(), tile, (*Onnx.rewrites, "uint8_io")).module
    pixels = [tuple((t * 255).round().to(torch.uint8) for t in pictures) for pictures in (tile, *tiles)]
    made = Onnx(dialect).lower(network, pixels[0], Quantize("int8"), pixels[1:], tmp_path / "m.onnx")
    assert (made.inputs[0].dtype, made.outputs[0].dtype, made.inputs[0].range) == ("uint8", "uint8", (0.0, 255.0))
    (got,) = Session(made.file)(pixels[0])
    assert got.dtype == torch.uint8 and int((got.int() - network(*pixels[0]).int()).abs().max()) <= 8
    assert made.quantized == LAYERS


class TestRefusals:
    def test_precisions(self, network, tile, tiles, tmp_path):
        for options, precision, instead in (
            (Onnx(), "fp16", "dialect 'tensorrt'"),
            (Onnx("tensorrt"), "int8-dynamic", "use int8"),
            (Onnx(), "palettized-4", "use one of fp32, int8"),
            (Onnx(), "int8-weights", "use one of fp32, int8"),
        ):
            assert instead in options.refusal(precision)
            with pytest.raises(LoweringError, match=f"cannot make {precision}"):
                options.lower(network, tile, Quantize(precision), tiles, tmp_path / "m.onnx")
        assert all(Onnx(d).refusal(p) is None for d in ("onnxruntime", "tensorrt") for p in Onnx(d).precisions)

    @pytest.mark.parametrize(
        ("quantize", "message"),
        [
            (Quantize("int8", float_layers=("tial*",)), "float_layers has 'tial\\*', which fits no layer"),
            (Quantize("int8", float_types=("conv3d",)), "float_types has 'conv3d'; expected some of conv2d"),
            (Quantize("int8", float_layers=("*",)), "no layer is left to quantize"),
            (Quantize("int8-dynamic", float_types=("conv2d",)), "no layer is left to quantize"),
        ],
    )
    def test_exemptions_that_make_no_sense(self, network, tile, tiles, tmp_path, quantize, message):
        with pytest.raises(LoweringError, match=message):
            Onnx().lower(network, tile, quantize, tiles, tmp_path / "m.onnx")
        assert not (tmp_path / "m.onnx").exists()

    def test_fp16_with_float_layers(self, network, tile, tmp_path):
        with pytest.raises(LoweringError, match="fp16 converts the whole graph"):
            Onnx("tensorrt").lower(network, tile, Quantize("fp16", float_layers=("head*",)), [], tmp_path / "m.onnx")

    def test_no_calibration(self, network, tile, tmp_path):
        with pytest.raises(LoweringError, match="needs calibration tiles"):
            Onnx().lower(network, tile, Quantize("int8"), [], tmp_path / "m.onnx")

    def test_network_that_gives_nan(self, tile, tmp_path):
        network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1))
        nn.init.constant_(network[0].bias, float("nan"))
        with pytest.raises(LoweringError, match="calibrating .* finite"):
            Onnx().lower(network.eval(), tile, Quantize("int8"), [tile], tmp_path / "m.onnx")

    def test_two_outputs(self, tile, tmp_path):
        class Two(nn.Module):
            def forward(self, x):
                return x * 2, x * 3

        with pytest.raises(LoweringError, match="gives 2 tensors; expected one image"):
            Onnx().lower(Two(), tile, None, [], tmp_path / "m.onnx")

    def test_untraceable_network(self, tile, tmp_path):
        class Branch(nn.Module):
            def forward(self, x):
                return x if float(x.mean()) > 0.5 else -x

        with pytest.raises(LoweringError, match="torch.onnx could not export the network: "):
            Onnx().lower(Branch(), tile, None, [], tmp_path / "m.onnx")

    def test_an_operator_without_a_function_is_named(self, tile, tmp_path):
        class Sorted(nn.Module):
            def forward(self, x):
                return torch.sort(x, stable=True)[0]

        with pytest.raises(
            LoweringError, match=r"^torch.onnx could not export the network: DispatchError: No ONNX function found for .*aten.sort"
        ) as caught:
            Onnx().lower(Sorted(), tile, None, [], tmp_path / "m.onnx")
        assert "step" not in str(caught.value)

    def test_tensorrt_operator(self, tile, tmp_path):
        """Caught by the audit, and nothing is written."""

        class Rounding(nn.Module):
            def forward(self, x):
                return torch.bitwise_and(x.to(torch.int32), 1).float()

        with pytest.raises(LoweringError, match="places TensorRT would refuse: .*BitwiseAnd is not imported"):
            Onnx("tensorrt").lower(Rounding(), tile, None, [], tmp_path / "m.onnx")
        assert not (tmp_path / "m.onnx").exists()


class TestHost:
    @pytest.mark.parametrize(
        ("machine", "flags", "expected"),
        [("x86_64", "flags : fpu avx2 avx512f", True), ("x86_64", "flags : avx2 avx_vnni", False), ("x86_64", "flags : avx512_vnni", False),
         ("x86_64", "", False), ("aarch64", "flags : fpu", False)],
    )  # fmt: skip
    def test_exact_kernels_only_where_products_saturate(self, monkeypatch, machine, flags, expected):
        monkeypatch.setattr("platform.machine", lambda: machine)
        monkeypatch.setattr(type(Path()), "read_text", lambda *_: flags)
        monkeypatch.setattr(type(Path()), "exists", lambda _: True)
        assert saturates() is expected

    def test_threads(self, lowered):
        assert Session(lowered("fp32").file, threads=1).threads == 1
        assert Session(lowered("fp32").file).threads == torch.get_num_threads()

    def test_channels_last_input_is_made_contiguous(self, lowered, tile):
        session = Session(lowered("fp32").file)
        assert torch.equal(session((tile[0].contiguous(memory_format=torch.channels_last),))[0], session(tile)[0])

    @pytest.mark.parametrize("content", [b"", b"not a model", None])
    def test_broken_file(self, lowered, tmp_path, content):
        file = tmp_path / "m.onnx"
        file.write_bytes(lowered("fp32").file.read_bytes()[:3000] if content is None else content)
        with pytest.raises(InvalidFile, match=r"m\.onnx: ONNX Runtime cannot open it"):
            Session(file)

    def test_missing_file(self, tmp_path):
        with pytest.raises(InvalidFile, match="cannot be read"):
            Session(tmp_path / "none.onnx")

    def test_input_that_does_not_fit(self, lowered, tile):
        session = Session(lowered("fp32").file)
        with pytest.raises(InvalidFile, match="does not fit"):
            session((tile[0][:, :, :20],))
        with pytest.raises(InvalidFile, match="does not fit"):
            session((tile[0].to(torch.uint8),))
        with pytest.raises(InvalidFile, match="got 2 inputs; expected 1"):
            session((tile[0], tile[0]))


def test_options_from_toml():
    assert backend("onnx", {"dialect": "tensorrt"}) == Onnx("tensorrt")
    with pytest.raises(InvalidFile, match="dialect is 'tensorflow'; expected one of onnxruntime, tensorrt"):
        backend("onnx", {"dialect": "tensorflow"})
    assert (Onnx().delegate, Onnx("tensorrt").delegate) == ("cpu", "tensorrt")


def test_a_stack_of_matrices_stays_float(tile, tiles, tmp_path):
    class Stacked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Conv2d(3, 8, 3, padding=1)
            self.stack = nn.Parameter(torch.randn(1, 8, 3) * 0.2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            features = self.head(x)
            return (features.flatten(2).transpose(1, 2) @ self.stack).transpose(1, 2).reshape(x.shape)

    torch.manual_seed(0)
    network = Stacked().eval()
    made = Onnx().lower(network, tile, Quantize("int8"), tiles, tmp_path / "stacked.onnx")
    assert made.quantized == ("head",) and len(made.kept_float) == 1
    with torch.no_grad():
        assert psnr(Session(made.file)(tile)[0], network(*tile)) > 35
