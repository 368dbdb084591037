"""The GPU audit must pass what TFLite's GPU delegate takes and name what it does not."""

import pytest
import torch
from torch import nn

from edgekit import rewrite
from edgekit.errors import InvalidFile
from edgekit.models.edsr import EDSR
from edgekit.recipe import Quantize
from edgekit_targets.tflite import TFLite

pytest.importorskip("litert_torch")
from edgekit_targets.tflite import flatbuffer, gpu_audit

PICTURE = (torch.rand(1, 16, 16, 4, generator=torch.Generator().manual_seed(0)),)


class _Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def _audit(tmp_path, function, example=PICTURE):
    import litert_torch

    file = tmp_path / "a.tflite"
    litert_torch.convert(_Function(function).eval(), example).export(str(file))
    return gpu_audit.audit(file)


@pytest.mark.parametrize(
    ("function", "op", "rule", "source"),
    [
        (lambda x: (x * 2).clamp(0, 1) * 3, "RELU_0_TO_1", "no such operator", gpu_audit.OPERATORS),
        (lambda x: torch.argmax(x, 3), "ARG_MAX", "no such operator", gpu_audit.OPERATORS),
        (lambda x: x.reshape(1, 4, 4, 4, 16).permute(0, 2, 1, 4, 3) * 2, "TRANSPOSE", "rank 5", gpu_audit.SHAPES),
        (lambda x: (x * 255).to(torch.uint8), "CAST", "cast from FLOAT32 to UINT8", gpu_audit.OPERATORS),
    ],
)
def test_what_the_delegate_has_not_is_named(tmp_path, function, op, rule, source):
    audit = _audit(tmp_path, function)
    assert not audit.compatible
    assert any(v.op == op and rule in v.rule and v.source == source and v.tensor for v in audit.violations), audit.violations


def test_integer_arithmetic_is_named(tmp_path):
    audit = _audit(tmp_path, lambda x: (x * 2).to(torch.int32) + 1)
    assert any(v.op == "ADD" and "computed tensor of type INT32" in v.rule and v.source == gpu_audit.TYPES for v in audit.violations)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.relu(x) + x * 2,
        lambda x: torch.sigmoid(x).mean((1, 2), keepdim=True) * x,
        lambda x: torch.cat([x, nn.functional.pad(x, (0, 1))[..., 1:]], 3),
        lambda x: torch.minimum(x, torch.sqrt(x)),
        lambda x: x.permute(0, 3, 1, 2).reshape(1, 4, 256).softmax(-1),
    ],
)
def test_what_the_delegate_has_passes(tmp_path, function):
    audit = _audit(tmp_path, function)
    assert audit.compatible and not audit.opengl_only and audit.note is None


def test_edsr_passes_and_its_int8_file_carries_the_note(tmp_path):
    torch.manual_seed(0)
    tile = (torch.rand(1, 3, 16, 16),)
    network = rewrite.apply(EDSR(2, 1, 16).eval(), tile, TFLite.rewrites).module
    plain = TFLite().lower(network, tile, None, [], tmp_path / "fp32.tflite").facts["gpu_delegate"]
    assert plain["compatible"] and plain["violations"] == [] and plain["quantized"] is None
    assert any("one batch size" in line for line in plain["opengl_only"])
    integer = TFLite().lower(network, tile, Quantize("int8"), [tile], tmp_path / "int8.tflite").facts["gpu_delegate"]
    assert integer["compatible"] and "floating point" in integer["quantized"]


def _op(kind, inputs, outputs, **options):
    tensors = [flatbuffer.Tensor(i, f"t{i}", shape, dtype, b"x" if constant else None) for i, (shape, dtype, constant) in enumerate(inputs + outputs)]
    return flatbuffer.Op(0, kind, tuple(tensors[: len(inputs)]), tuple(tensors[len(inputs) :]), type("Options", (), options)())


F4, F3, F1 = ((1, 8, 8, 4), "FLOAT32", False), ((1, 8, 4), "FLOAT32", False), ((4,), "FLOAT32", True)
AXES = ((2,), "INT32", True)


@pytest.mark.parametrize(
    ("op", "rule"),
    [
        (_op("ADD", [F4, ((1, 7, 8, 4), "FLOAT32", False)], [F4]), "do not broadcast"),
        (_op("MUL", [((1, 8, 1, 4), "FLOAT32", False), ((1, 1, 8, 4), "FLOAT32", False)], [F4]), "broadcast both ways"),
        (_op("SUB", [F1, F1], [F1]), "2 constant operands"),
        (_op("CONV_2D", [F4, F4, F4], [F4]), "3 computed inputs"),
        (_op("DEPTHWISE_CONV_2D", [F4, F1], [F4], depthMultiplier=2), "depth multiplier 2 on 4 channels"),
        (_op("MEAN", [F4, ((2,), "INT32", False)], [F4]), "axes that are not constant"),
        (_op("PAD", [F4, ((2, 2), "INT32", True)], [F4]), "paddings of shape [2, 2]"),
        (_op("MIRROR_PAD", [F4, ((4, 2), "INT32", True)], [F4], mode=1), "symmetric"),
        (_op("SLICE", [((8, 4), "FLOAT32", False), AXES, AXES], [((8, 4), "FLOAT32", False)]), "slice of rank 2"),
        (_op("STRIDED_SLICE", [F4, AXES, AXES, AXES], [F4], ellipsisMask=0, newAxisMask=0, shrinkAxisMask=1), "shrinkAxisMask"),
        (_op("SOFTMAX", [F3], [F3], beta=2.0), "beta 2.0"),
        (_op("RESIZE_BILINEAR", [F4, AXES], [F4], alignCorners=True, halfPixelCenters=True), "align_corners"),
        (_op("DEPTH_TO_SPACE", [F4], [F4], blockSize=1), "block size 1"),
        (_op("GATHER", [F4, ((2, 2), "INT32", True)], [F4]), "gather"),
        (_op("FULLY_CONNECTED", [F3, F1], [F3], weightsFormat=1), "shuffled weights"),
        (_op("RESHAPE", [F4, ((4,), "FLOAT32", False)], [F4]), "2 computed inputs"),
        (_op("DEQUANTIZE", [((4,), "INT16", True)], [F1]), "16-bit"),
        (_op("TANH", [((1, 2, 2, 2, 2), "FLOAT32", False)], [F4]), "rank 5"),
        (_op("TANH", [((), "FLOAT32", False)], [F4]), "rank 0"),
    ],
)
def test_each_limit(op, rule):
    assert any(rule in found for found, _ in gpu_audit._check(op)), list(gpu_audit._check(op))


@pytest.mark.parametrize(
    "op",
    [
        _op("ADD", [F4, F1], [F4]),
        _op("MUL", [F4, ((1, 1, 1, 4), "FLOAT32", True)], [F4]),
        _op("DEPTHWISE_CONV_2D", [F4, F1], [F4], depthMultiplier=1),
        _op("MIRROR_PAD", [F4, ((4, 2), "INT32", True)], [F4], mode=0),
        _op("DEPTH_TO_SPACE", [F4], [F4], blockSize=2),
        _op("DEQUANTIZE", [((4,), "INT8", True)], [F1]),
        _op("STRIDED_SLICE", [F4, AXES, AXES, AXES], [F4], ellipsisMask=0, newAxisMask=0, shrinkAxisMask=0),
    ],
)
def test_inside_each_limit(op):
    assert list(gpu_audit._check(op)) == []


def test_not_a_tflite_file(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(InvalidFile, match=r"a\.tflite: not a TFLite file"):
        gpu_audit.audit(tmp_path / "a.tflite")
