"""ExecuTorch: what is quantized, what is delegated, and that the file does what the network did."""

import subprocess
import sys

import pytest
import torch
from tiny import psnr
from torch import nn

from edgekit import rewrite
from edgekit.errors import InvalidFile, LoweringError
from edgekit.models.edsr import EDSR
from edgekit.recipe import Quantize
from edgekit_targets import backend
from edgekit_targets.executorch import ExecuTorch

pytest.importorskip("executorch")
from edgekit_targets.executorch.host import Session, contiguous

SIDE = 24
LAYERS = ("head.0", "body.0.body.0", "body.0.body.2", "add", "body.1", "add_1", "tail.0.0_tail_1")


@pytest.fixture(scope="module")
def network(tile):
    torch.manual_seed(0)
    return rewrite.apply(EDSR(2, 1, 16).eval(), tile, ExecuTorch.rewrites).module


@pytest.fixture(scope="module")
def lowered(network, tile, tiles, tmp_path_factory):
    """Precision -> Lowered, each made once."""
    folder, made = tmp_path_factory.mktemp("pte"), {}

    def get(precision):
        if precision not in made:
            quantize = None if precision == "fp32" else Quantize(precision)
            made[precision] = ExecuTorch().lower(network, tile, quantize, tiles, folder / f"{precision}.pte")
        return made[precision]

    return get


def test_options_need_no_toolchain():
    code = "import sys, edgekit_targets; b = edgekit_targets.backend('executorch'); b.refusal('fp16'); sys.exit('executorch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("delegate", "precision", "instead"),
    [
        ("xnnpack", "fp16", "use int8, or fp16 with tflite or coreml"),
        ("xnnpack", "int8-weights", "use int8 or int8-dynamic"),
        ("xnnpack", "palettized-4", "palettized-4 with coreml"),
        ("portable", "int8", "use delegate 'xnnpack'"),
    ],
)
def test_refusals_say_what_to_use(delegate, precision, instead, network, tile, tiles, tmp_path):
    chosen = backend("executorch", {"delegate": delegate})
    assert precision not in chosen.precisions
    assert instead in chosen.refusal(precision)
    with pytest.raises(LoweringError, match=instead):
        chosen.lower(network, tile, Quantize(precision), tiles, tmp_path / "no.pte")
    assert not (tmp_path / "no.pte").exists()


def test_what_it_can_is_not_refused():
    assert [ExecuTorch().refusal(p) for p in ExecuTorch().precisions] == [None, None, None]


def test_fp32_is_the_network_in_one_partition(lowered, tile, expected):
    made = lowered("fp32")
    (output,) = Session(made.file)(tile)
    assert (output - expected).abs().max() < 1e-4
    assert (made.delegation.partitions, made.delegation.leftovers) == (1, {})
    assert made.delegation.delegated == made.delegation.total > 0
    assert made.quantized == made.kept_float == ()
    assert set(made.toolchain) == {"executorch", "torchao", "torch"}
    (spec,) = made.inputs
    assert (spec.name, spec.shape, spec.layout, spec.dtype, spec.range) == ("input", (1, 3, SIDE, SIDE), "NCHW", "float32", (0.0, 1.0))
    assert made.outputs[0].shape == (1, 3, 2 * SIDE, 2 * SIDE)


def test_int8_quantizes_every_layer_by_its_name(lowered, tile, expected):
    made = lowered("int8")
    assert made.quantized == LAYERS
    assert made.kept_float == ()
    assert (made.delegation.partitions, made.delegation.leftovers) == (1, {})
    (output,) = Session(made.file)(tile)
    assert psnr(output, expected) > 42
    assert output.min() >= 0
    assert output.max() <= 1
    assert made.file.stat().st_size < lowered("fp32").file.stat().st_size
    ranges = made.facts["ranges"]
    assert made.facts == {"estimator": "min-max", "calibration_tiles": 4, "ranges": ranges}
    assert set(LAYERS) - {"add"} <= ranges.keys() and all(low <= 0 < high for low, high in ranges.values())


def test_int8_writes_the_same_bytes_again(lowered, network, tile, tiles, tmp_path):
    again = ExecuTorch().lower(network, tile, Quantize("int8"), tiles, tmp_path / "again.pte")
    assert again.file.read_bytes() == lowered("int8").file.read_bytes()


def test_int8_dynamic_skips_what_would_not_run(lowered, tile, expected):
    made = lowered("int8-dynamic")
    assert made.quantized == ("body.0.body.0", "body.0.body.2", "body.1", "tail.0.0_tail_1")
    assert made.kept_float == ("head.0", "add", "add_1")
    (output,) = Session(made.file)(tile)
    assert 42 < psnr(output, expected) < 90


def test_int8_dynamic_leaves_convolutions_of_one_channel(tmp_path):
    """XNNPACK takes them for depthwise, and the file would not be made."""
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1)).eval(), (torch.rand(1, 1, 16, 16),)
    made = ExecuTorch().lower(network, x, Quantize("int8-dynamic"), [], tmp_path / "luma.pte")
    assert made.quantized == ("2",) and made.kept_float == ("0",)
    with torch.no_grad():
        assert psnr(Session(made.file)(x)[0], network(*x)) > 40


def test_int8_dynamic_takes_one_convolution_of_those_that_read_a_tensor(tmp_path):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.left, self.right = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)

        def forward(self, x):
            y = self.first(x).relu()
            return self.left(y) + self.right(y).sigmoid()

    torch.manual_seed(0)
    network, x = Twice().eval(), (torch.rand(1, 3, 16, 16),)
    made = ExecuTorch().lower(network, x, Quantize("int8-dynamic"), [], tmp_path / "twice.pte")
    assert made.quantized == ("first", "left") and "right" in made.kept_float
    with torch.no_grad():
        assert psnr(Session(made.file)(x)[0], network(*x)) > 40


def test_exempt_layers_and_types_stay_float(network, tile, tiles, expected, tmp_path):
    quantize = Quantize("int8", float_layers=("body.0.*",), float_types=("add",), estimator="percentile", percentile=99.9, tiles=2)
    made = ExecuTorch().lower(network, tile, quantize, tiles, tmp_path / "mixed.pte")
    assert made.kept_float == ("body.0.body.0", "body.0.body.2", "add", "add_1")
    assert made.quantized == ("head.0", "body.1", "tail.0.0_tail_1")
    assert (made.facts["estimator"], made.facts["calibration_tiles"]) == ("percentile", 2)
    assert psnr(Session(made.file)(tile)[0], expected) > 42


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"float_layers": ("body.7.*",)}, r"float_layers: 'body.7.\*' fits no layer; layers are head.0, body.0.body.0"),
        ({"float_types": ("conv3d",)}, "no layer is of type 'conv3d'; types are add, conv2d"),
        ({"float_types": ("conv2d",)}, "no convolution was quantized"),
    ],
)
def test_a_recipe_that_does_nothing_is_an_error(changes, message, network, tile, tiles, tmp_path):
    with pytest.raises(LoweringError, match=message):
        ExecuTorch().lower(network, tile, Quantize("int8", **changes), tiles, tmp_path / "no.pte")


def test_static_int8_needs_tiles(network, tile, tmp_path):
    with pytest.raises(LoweringError, match="needs calibration tiles"):
        ExecuTorch().lower(network, tile, Quantize("int8"), [], tmp_path / "no.pte")


def test_nan_in_calibration_is_an_error(network, tile, tmp_path):
    with pytest.raises(LoweringError, match="expected finite values"):
        ExecuTorch().lower(network, tile, Quantize("int8"), [(torch.full_like(tile[0], float("nan")),)], tmp_path / "no.pte")


class _Identity(nn.Module):
    """Copies its input by a 1x1 convolution."""

    def __init__(self):
        super().__init__()
        self.copy = nn.Conv2d(3, 3, 1)
        self.copy.weight.data = torch.eye(3)[:, :, None, None]
        self.copy.bias.data.zero_()

    def forward(self, x):
        return self.copy(x).clamp(0, 1)


def test_pictures_are_exact_at_both_ends_whatever_the_calibration_saw(tmp_path):
    every = torch.arange(256).float().div(255).repeat(3).view(1, 3, 16, 16)
    made = ExecuTorch().lower(_Identity().eval(), (every,), Quantize("int8"), [(every * 0.3 + 0.1,)], tmp_path / "copy.pte")
    assert (Session(made.file)((every,))[0] - every).abs().max() < 1e-6


class _Nothing(nn.Module):
    def forward(self, x):
        return x.cumsum(3)


def test_nothing_delegated_is_an_error(tile, tmp_path):
    with pytest.raises(LoweringError, match=r"XNNPACK took none of 1 operators \(aten.cumsum.default\)"):
        ExecuTorch().lower(_Nothing(), tile, None, [], tmp_path / "no.pte")


def test_portable_runs_without_a_delegate(network, tile, expected, tmp_path):
    made = ExecuTorch(delegate="portable").lower(network, tile, None, [], tmp_path / "portable.pte")
    assert (made.delegation.delegated, made.delegation.partitions) == (0, 0)
    assert set(made.delegation.leftovers.values()) == {"no delegate was asked for"}
    assert (Session(made.file)(tile)[0] - expected).abs().max() < 1e-4


def test_uint8_pictures_in_and_out(tile, tiles, expected, tmp_path):
    torch.manual_seed(0)
    network = rewrite.apply(EDSR(2, 1, 16).eval(), tile, (*ExecuTorch.rewrites, "uint8_io")).module
    as_bytes = [((t[0] * 255).round().to(torch.uint8),) for t in [tile, *tiles]]
    made = ExecuTorch().lower(network, as_bytes[0], Quantize("int8"), as_bytes[1:], tmp_path / "bytes.pte")
    assert (made.inputs[0].dtype, made.inputs[0].range, made.outputs[0].dtype) == ("uint8", (0.0, 255.0), "uint8")
    assert made.quantized == LAYERS
    assert made.delegation.partitions == 1
    assert made.delegation.leftovers
    assert all(made.delegation.leftovers.values())
    (output,) = Session(made.file)(as_bytes[0])
    assert output.dtype == torch.uint8
    assert psnr(output.float() / 255, expected) > 42


def test_memory_order_of_the_input_does_not_matter(lowered, tile):
    session = Session(lowered("int8").file)
    (plain,) = session(tile)
    (turned,) = session((tile[0].to(memory_format=torch.channels_last),))
    (sliced,) = session((torch.cat([tile[0]] * 2, 3)[..., :SIDE],))
    assert torch.equal(plain, turned)
    assert torch.equal(plain, sliced)
    assert plain.is_contiguous()


@pytest.mark.parametrize("shape", [(1, 3, 1, 8), (1, 1, 8, 8), (2, 3, 4, 5)])
def test_contiguous_means_plain_strides(shape):
    plain = torch.rand(shape)
    fresh = contiguous(plain.to(memory_format=torch.channels_last))
    assert torch.equal(fresh, plain)
    assert fresh.stride() == torch.empty(shape).stride()


def test_outputs_survive_the_next_call(lowered, tile, tiles):
    session = Session(lowered("int8").file)
    (first,) = session(tile)
    kept = first.clone()
    session(tiles[0])
    assert torch.equal(first, kept)
    assert session.threads >= 1


def test_truncated_and_foreign_files_are_refused(lowered, tmp_path):
    data = lowered("int8").file.read_bytes()
    for size in [0, 3, 8, 31, 63, 64, 100, len(data) // 2, len(data) - 1]:
        file = tmp_path / f"{size}.pte"
        file.write_bytes(data[:size])
        with pytest.raises(InvalidFile, match=f"{size}.pte: "):
            Session(file)
    (tmp_path / "noise.pte").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(InvalidFile, match="is not an ExecuTorch program"):
        Session(tmp_path / "noise.pte")
    with pytest.raises(InvalidFile, match="cannot be read"):
        Session(tmp_path / "missing.pte")


def test_a_tile_of_another_size_is_an_error(lowered):
    with pytest.raises(LoweringError, match="cannot run it"):
        Session(lowered("fp32").file)((torch.rand(1, 3, SIDE * 2, SIDE),))
