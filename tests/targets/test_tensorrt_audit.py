"""Each rule fires on a graph that breaks it and on no other; the files we make break none."""

# ruff: noqa: E402, TID253
import numpy as np
import pytest

from edgekit.errors import InvalidFile

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper

from edgekit_targets.onnx.tensorrt_audit import CHECKS, OPERATORS, RULES, audit, audit_file

FLOAT, HALF, UINT8, INT8, INT32 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32


def _model(nodes, constants, inputs=None, outputs=None, opset=20, domains=()):
    """Nodes as (operator, inputs, outputs, attributes); constants by name; tensors default to (1, 3, 8, 8) float32 `image` and `enhanced`."""
    made = [helper.make_node(op, list(i), list(o), name=f"{op}_{n}", **(a[0] if a else {})) for n, (op, i, o, *a) in enumerate(nodes)]
    inputs = inputs or {"image": (FLOAT, [1, 3, 8, 8])}
    outputs = outputs or {"enhanced": (FLOAT, [1, 3, 8, 8])}
    graph = helper.make_graph(
        made,
        "test",
        [helper.make_tensor_value_info(name, *what) for name, what in inputs.items()],
        [helper.make_tensor_value_info(name, *what) for name, what in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)])


def _quantized(zero=0, dtype=np.int8, scale=0.02, weight_scale=None, bias=None, **changes):
    """image -> Q -> DQ -> Conv with an int8 weight -> enhanced."""
    constants = {
        "scale": np.asarray(scale, np.float32),
        "zero": np.full(np.shape(scale), zero, dtype),
        "weight_q": np.ones((3, 3, 1, 1), np.int8),
        "weight_scale": np.asarray([0.1, 0.2, 0.3] if weight_scale is None else weight_scale, np.float32),
        "weight_zero": np.zeros(3, np.int8),
        "bias": np.zeros(3, np.float32),
    }
    axis = {"axis": 1}
    nodes = [
        ("QuantizeLinear", ("image", "scale", "zero"), ("levels",), axis),
        ("DequantizeLinear", ("levels", "scale", "zero"), ("values",), axis),
        ("DequantizeLinear", ("weight_q", "weight_scale", "weight_zero"), ("weight",), {"axis": 0}),
        *([bias] if bias else []),
        ("Conv", ("values", "weight", "bias_float" if bias else "bias"), ("enhanced",)),
    ]
    return _model(nodes, constants | changes)


def _rules(model):
    return {finding.rule for finding in audit(model)}


def test_good_graphs_pass():
    assert audit(_quantized()) == ()
    assert audit(_model([("Relu", ["image"], ["enhanced"])], {})) == ()
    pixels = _model(
        [("Cast", ["image"], ["x"], {"to": FLOAT}), ("Relu", ["x"], ["y"]), ("Cast", ["y"], ["enhanced"], {"to": UINT8})],
        {},
        {"image": (UINT8, [1, 3, 8, 8])},
        {"enhanced": (UINT8, [1, 3, 8, 8])},
    )
    assert audit(pixels) == ()


BROKEN = {
    "opset": lambda: _model([("Relu", ["image"], ["enhanced"])], {}, opset=21),
    "operator": lambda: _model([("BitShift", ["image", "image"], ["enhanced"], {"direction": "LEFT"})], {}, {"image": (INT32, [1])}, {"enhanced": (INT32, [1])}),
    "static-shape": lambda: _model([("Relu", ["image"], ["enhanced"])], {}, {"image": (FLOAT, [1, 3, "height", 8])}),
    "dtype": lambda: _model(
        [("Cast", ["image"], ["x"], {"to": TensorProto.DOUBLE}), ("Cast", ["x"], ["enhanced"], {"to": FLOAT})], {}
    ),
    "strong-typing": lambda: _model([("Add", ["image", "half"], ["enhanced"])], {"half": np.ones(1, np.float16)}),
    "constant-weight": lambda: _model([("Conv", ["image", "weight"], ["enhanced"])], {}, {"image": (FLOAT, [1, 3, 8, 8]), "weight": (FLOAT, [3, 3, 1, 1])}),
    "int8-only": lambda: _quantized(dtype=np.uint8),
    "zero-point": lambda: _quantized(zero=3),
    "scale": lambda: _quantized(scale=0.0),
    "granularity": lambda: _quantized(scale=[0.1, 0.2, 0.3]),
    "float-bias": lambda: _quantized(
        bias=("DequantizeLinear", ("bias_q", "bias_scale", "bias_zero"), ("bias_float",), {"axis": 0}),
        bias_q=np.ones(3, np.int8), bias_scale=np.ones(3, np.float32), bias_zero=np.zeros(3, np.int8),
    ),
    "resize": lambda: _model(
        [("Resize", ["image", "", "scales"], ["enhanced"], {"mode": "cubic"})], {"scales": np.asarray([1, 1, 2, 2], np.float32)}, None,
        {"enhanced": (FLOAT, [1, 3, 16, 16])},
    ),
}  # fmt: skip


def test_every_rule_has_a_broken_graph_and_a_source():
    assert set(BROKEN) == set(RULES)
    assert all(len(text) > 30 for text in RULES.values()) and len(CHECKS) <= len(RULES)


@pytest.mark.parametrize("rule", BROKEN)
def test_rule_fires_alone(rule):
    findings = audit(BROKEN[rule]())
    assert {f.rule for f in findings} == {rule}
    assert all(f.place and f.what and f"(rule {rule})" in str(f) for f in findings)


def test_contributed_and_integer_operators():
    assert _rules(_model([("Gelu", ["image"], ["enhanced"], {"domain": "com.microsoft"})], {}, domains=["com.microsoft"])) == {"operator"}
    assert not OPERATORS & {"ConvInteger", "QLinearConv", "DynamicQuantizeLinear", "MatMulInteger", "QLinearMatMul", "BitwiseAnd", "Det"}


def test_quantize_without_zero_point_is_uint8():
    nodes = [("QuantizeLinear", ["image", "scale"], ["q"]), ("DequantizeLinear", ["q", "scale"], ["enhanced"])]
    assert _rules(_model(nodes, {"scale": np.float32(0.1)})) == {"int8-only"}


def test_computed_scale_and_zero_point():
    inputs = {"image": (FLOAT, [1, 3, 8, 8]), "scale": (FLOAT, []), "zero": (INT8, [])}
    nodes = [("QuantizeLinear", ["image", "scale", "zero"], ["q"]), ("DequantizeLinear", ["q", "scale", "zero"], ["enhanced"])]
    assert {"scale", "zero-point"} <= _rules(_model(nodes, {}, inputs))


def test_uint8_inside_is_refused():
    nodes = [
        ("Cast", ["image"], ["x"], {"to": UINT8}),
        ("Transpose", ["x"], ["y"], {"perm": [0, 1, 3, 2]}),
        ("Cast", ["y"], ["enhanced"], {"to": FLOAT}),
    ]
    assert _rules(_model(nodes, {})) == {"dtype"}


def test_files(tmp_path):
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    onnx.save(_quantized(), good)
    assert audit_file(good) == ()
    for content in (b"not a model", b"", good.read_bytes()[:100]):
        bad.write_bytes(content)
        with pytest.raises(InvalidFile, match=r"bad\.onnx: not a readable ONNX file"):
            audit_file(bad)
    with pytest.raises(InvalidFile, match="not a readable ONNX file"):
        audit_file(tmp_path / "none.onnx")
