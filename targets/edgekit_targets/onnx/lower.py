"""torch.export -> ONNX through the dynamo exporter, then ONNX Runtime's own quantizers."""

# ruff: noqa: TID253
from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import onnx
import torch
from onnx import ModelProto, TensorProto
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import Tensor, nn

from edgekit.backend import DType, Lowered, TensorSpec
from edgekit.errors import LoweringError, first_line
from edgekit.quantize import told
from edgekit_targets.onnx import graphs, quantizers, tensorrt_audit

if TYPE_CHECKING:
    from edgekit.recipe import Quantize
    from edgekit_targets.onnx import Onnx

OPSET = 20
"""New enough for every operator the exporter emits here, old enough for TensorRT 10 and two-year-old ONNX Runtimes."""

DTYPES: dict[int, DType] = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8"}


def lower(
    options: Onnx, module: nn.Module, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Sequence[tuple[Tensor, ...]], out: Path
) -> Lowered:
    """See `edgekit.backend.Backend.lower`. The file holds its weights (no external data), fixed shapes and no trace of the machine it was made on:
    the same input gives the same bytes."""
    precision = quantize.precision if quantize else "fp32"
    if refusal := options.refusal(precision):
        raise LoweringError(refusal)
    model = export(module, example)
    fp32_weights = graphs.weight_bytes(model)
    result = quantizers.Quantized(model, (), ())
    facts: dict[str, Any] = {"opset": OPSET, "dialect": options.dialect, "deterministic": True}
    if quantize and precision == "int8":
        symmetric = options.dialect == "tensorrt"
        result = quantizers.static(model, quantize, tiles, symmetric=symmetric)
        facts |= {"activations": "int8, symmetric" if symmetric else "uint8, asymmetric", "weights": "int8, symmetric, per channel"}
        if not symmetric:
            facts["note"] = "on x86 without VNNI set session.x64quantprecision to 1: u8 x s8 products saturate there"
        facts |= {"estimator": quantize.estimator or quantizers.DEFAULT_ESTIMATOR, "calibration_tiles": min(len(tiles), quantize.tiles)}
        facts["ranges"] = told(result.ranges)
    elif quantize and precision == "int8-dynamic":
        result = quantizers.dynamic(model, quantize)
        facts["note"] = "ranges are found at run time, at every convolution: slower than int8, for most convolutional networks also slower than fp32"
    elif quantize and precision == "fp16":
        quantizers.refuse_float_layers(quantize)
        result = quantizers.Quantized(half(model), (), ())
    made = result.model
    graphs.strip(made)
    if precision != "fp32" and (weights := graphs.weight_bytes(made)) >= fp32_weights:
        raise LoweringError(f"onnx: the weights take {weights} bytes in {precision}, {fp32_weights} in fp32; nothing shrank")
    if options.dialect == "tensorrt":
        facts |= _tensorrt(made, out)
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise LoweringError(f"onnx: the exported graph is not valid: {first_line(error)}") from error
    out.write_bytes(made.SerializeToString(deterministic=True))
    return Lowered(
        file=out,
        inputs=_specs(made.graph.input),
        outputs=_specs(made.graph.output),
        toolchain={name: version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")},
        quantized=result.quantized,
        kept_float=result.kept_float,
        facts=facts,
    )


def export(module: nn.Module, example: tuple[Tensor, ...]) -> ModelProto:
    """The network at the example's shapes, float32 inside. Inputs are named `image` (several: as in the module's signature), the output `enhanced`;
    weights keep their module paths. Raises LoweringError."""
    try:
        with torch.no_grad():
            program = torch.export.export(module, example)
            names = ["image"] if len(example) == 1 else [str(name) for name in program.graph_signature.user_inputs]
            exported = torch.onnx.export(
                program, dynamo=True, opset_version=OPSET, input_names=names, output_names=["enhanced"], external_data=False, verbose=False
            )
    except Exception as error:  # the exporter, its decompositions and onnxscript raise many types
        raise LoweringError(f"torch.onnx could not export the network: {first_line(_cause(error), kind=True)}") from error
    assert exported is not None
    model = cast(ModelProto, exported.model_proto)
    graphs.strip(model)
    if len(model.graph.output) != 1:
        raise LoweringError(f"onnx: the network gives {len(model.graph.output)} tensors; expected one image")
    return model


def _cause(error: BaseException) -> BaseException:
    """What names the operator: torch.onnx wraps it in advice about its own stages."""
    return _cause(error.__cause__) if error.__cause__ else error


def half(model: ModelProto) -> ModelProto:
    """float16 weights and arithmetic between float32 (or uint8) input and output. TensorRT 10.12 deprecated and 11 removed `--fp16`: precision now is
    what the graph's types say."""
    converted = ONNXModel(convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True))
    converted.topological_sort()
    return cast(ModelProto, converted.model)


def _tensorrt(model: ModelProto, out: Path) -> dict[str, Any]:
    """The manifest's facts about a file for TensorRT. Raises LoweringError if it breaks one of our rules."""
    findings = tensorrt_audit.audit(model)
    if findings:
        shown = "; ".join(str(f) for f in findings[:3])
        raise LoweringError(f"onnx (tensorrt): {len(findings)} places TensorRT would refuse: {shown}")
    return {
        "engine": "not built here",
        "tensorrt": f"{tensorrt_audit.RELEASES}, checked against {len(tensorrt_audit.RULES)} rules from its documentation",
        "trtexec": f"trtexec --onnx={out.name} --saveEngine={out.stem}.plan --stronglyTyped",
    }


def _specs(values: Any) -> tuple[TensorSpec, ...]:
    """Inputs or outputs as an app must fill or read them."""
    specs = []
    for value in values:
        tensor = value.type.tensor_type
        dtype = DTYPES[tensor.elem_type]
        shape = tuple(d.dim_value for d in tensor.shape.dim)
        specs.append(TensorSpec(value.name, shape, "NCHW", dtype, (0.0, 255.0) if dtype == "uint8" else (0.0, 1.0)))
    return tuple(specs)
