"""torch.export -> ML Program, then Core ML's own weight compression. Everything here runs off a Mac."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from edgekit.backend import Lowered, TensorSpec
from edgekit.errors import LoweringError, MissingToolchain
from edgekit.quantize import matches
from edgekit_targets.coreml import inspect, package, w8a8
from edgekit_targets.coreml.library import ct, cto

if TYPE_CHECKING:
    from edgekit.recipe import Quantize
    from edgekit_targets.coreml import CoreML

COMPRESSED = ("conv", "conv_transpose", "linear")
"""MIL operators whose weights are compressed. Other constants (colour shifts, scales) are a few bytes and each counts."""

FLOAT_TYPES = {"conv2d": "conv", "conv_transpose2d": "conv_transpose", "linear": "linear"}
"""A recipe's `float_types` -> MIL operators; other types have no weights and are float in any case, except in int8."""


def lower(
    options: CoreML, module: nn.Module, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Sequence[tuple[Tensor, ...]], out: Path
) -> Lowered:
    """See `edgekit.backend.Backend.lower`. Names are `image` (several: as in the module's signature) and `enhanced`; all precisions but fp32 compute in
    fp16, and tensors outside are float32: an app fills a float array either way, and Core ML's cast is one pass over the tile."""
    precision = quantize.precision if quantize else "fp32"
    if refusal := options.refusal(precision):
        raise LoweringError(refusal)
    if any(t.dtype != torch.float32 for t in example):
        raise LoweringError(
            f'coreml: the network takes {example[0].dtype} tensors, which Core ML has not: use io = "float32" for the target and io = "image" '
            "for this artifact, which takes 8-bit pixel buffers"
        )
    graph, quantized_graph = to_graph(module, example), None
    if quantize and precision == "int8":
        quantized_graph = w8a8.quantize(graph, quantize, tiles)
    program = _program(_Levels(graph) if options.io == "image" else graph, example)
    model = _convert(program, options, example, precision)
    if quantize and precision not in ("fp32", "fp16", "int8"):
        model = _compress(model, program, quantize)
    elif quantize and precision == "fp16" and (quantize.float_layers or quantize.float_types):
        raise LoweringError("coreml: fp16 converts the whole graph; float_layers and float_types do not apply: leave them out")
    model.author = "edgekit"
    model.short_description = f"Image enhancer, {precision}: one tile of RGB pixels in, one enhanced tile out"
    model.version = version("edgekit")
    package.save(model, out)
    contents = inspect.read(out)
    names = _layers_by_operator(program)
    quantized, kept = _checked(contents, names, precision)
    facts: dict[str, Any] = {
        "minimum_deployment_target": options.minimum_deployment_target,
        "compute_units": options.compute_units,
        "io": options.io,
        "operators": contents.counts(),
        "deterministic": True,
    }
    if quantized_graph is not None:
        facts |= {"activations": "int8, symmetric; uint8 where nothing is negative", "weights": "int8, symmetric, per channel"}
        facts |= {"estimator": quantized_graph.estimator, "calibration_tiles": quantized_graph.tiles}
    return Lowered(
        file=out,
        inputs=tuple(_spec(name, tuple(t.shape), options) for name, t in zip(_input_names(program), example, strict=True)),
        outputs=(_spec("enhanced", _output_shape(program), options),),
        toolchain={name: version(name) for name in ("torch", "coremltools", "scikit-learn")},
        quantized=quantized,
        kept_float=kept,
        facts=facts,
    )


class _Levels(nn.Module):
    """[0, 1] -> whole numbers 0 .. 255, as an image output wants them. Rounded here: Core ML does not say how it converts fractions to bytes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *images: Tensor) -> Tensor:
        return torch.round(self.network(*images) * 255.0)


def to_graph(module: nn.Module, example: tuple[Tensor, ...]) -> GraphModule:
    """ATen operators with shapes noted on each node. Raises LoweringError."""
    try:
        with torch.no_grad():
            graph = torch.export.export(module, example).module(check_guards=False)
    except Exception as error:  # torch.export raises many types, user code any
        raise LoweringError(f"torch.export could not trace the network: {_first_line(error)}") from error
    assert isinstance(graph, GraphModule)
    return graph


def _program(module: nn.Module, example: tuple[Tensor, ...]) -> ExportedProgram:
    """The default decompositions would break up pixel_shuffle, instance_norm and pad, which Core ML has; none at all is a dialect it does not read."""
    with torch.no_grad():
        return torch.export.export(module, example).run_decompositions({})


def _input_names(program: ExportedProgram) -> list[str]:
    names = [str(name) for name in program.graph_signature.user_inputs]
    return ["image"] if len(names) == 1 else names


def _output_shape(program: ExportedProgram) -> tuple[int, ...]:
    results = program.graph.output_node().args[0]
    if len(results) != 1:  # type: ignore[arg-type]
        raise LoweringError(f"coreml: the network gives {len(results)} tensors; expected one image")  # type: ignore[arg-type]
    return tuple(int(side) for side in results[0].meta["val"].shape)  # type: ignore[index,union-attr]


def _convert(program: ExportedProgram, options: CoreML, example: tuple[Tensor, ...], precision: str) -> ct.models.MLModel:
    shapes = [tuple(t.shape) for t in example]
    names = _input_names(program)
    if options.io == "image":
        inputs = [ct.ImageType(name=n, shape=s, scale=1 / 255, color_layout=_colours(s)) for n, s in zip(names, shapes, strict=True)]
        outputs = [ct.ImageType(name="enhanced", color_layout=_colours(_output_shape(program)))]
    else:
        inputs = [ct.TensorType(name=n, shape=s, dtype=np.float32) for n, s in zip(names, shapes, strict=True)]
        outputs = [ct.TensorType(name="enhanced", dtype=np.float32)]
    try:
        model: Any = ct.convert(
            program,
            inputs=inputs,
            outputs=outputs,
            minimum_deployment_target=getattr(ct.target, options.minimum_deployment_target),
            compute_precision=ct.precision.FLOAT32 if precision == "fp32" else ct.precision.FLOAT16,
            skip_model_load=True,
        )
    except Exception as error:  # the converter raises many types, bare ones included
        raise LoweringError(f"coremltools could not convert the network: {_first_line(error)}") from error
    return model


def _colours(shape: tuple[int, ...]) -> Any:
    layouts = {1: ct.colorlayout.GRAYSCALE, 3: ct.colorlayout.RGB}
    if shape[1] not in layouts:
        raise LoweringError(f'coreml: io = "image" with {shape[1]} channels; expected 1 or 3: use io = "tensor"')
    return layouts[shape[1]]


def _compress(model: ct.models.MLModel, program: ExportedProgram, quantize: Quantize) -> ct.models.MLModel:
    """int8-weights, palettized-6, palettized-4: the file holds compressed weights, the arithmetic stays fp16."""
    exempt = _exempt(model, program, quantize)
    float_types = {FLOAT_TYPES[t] for t in quantize.float_types if t in FLOAT_TYPES}
    if quantize.precision == "int8-weights":
        config: Any = cto.OpLinearQuantizerConfig(mode="linear_symmetric", granularity="per_channel", weight_threshold=0)
        compress: Any = cto.linear_quantize_weights
    else:
        bits = int(quantize.precision.removeprefix("palettized-"))
        # One table per layer, for iOS 18 too: below 10,000 weights coremltools clusters loosely, so tables per channel group were worse (33.0 against
        # 37.4 dB with 4 bits on EDSR), and layers whose channels do not divide stayed float.
        config = cto.OpPalettizerConfig(mode="kmeans", nbits=bits, granularity="per_tensor", weight_threshold=0)
        compress = cto.palettize_weights
    kinds = {kind: config for kind in COMPRESSED if kind not in float_types}
    try:
        choices: Any = {"op_type_configs": kinds, "op_name_configs": dict.fromkeys(exempt)}
        return compress(model, cto.OptimizationConfig(global_config=None, **choices))
    except ModuleNotFoundError as error:
        raise MissingToolchain(f"coreml {quantize.precision}", "scikit-learn", "coreml") from error
    except (ValueError, RuntimeError, AssertionError) as error:
        raise LoweringError(f"coremltools could not compress the weights: {_first_line(error)}") from error


def _exempt(model: ct.models.MLModel, program: ExportedProgram, quantize: Quantize) -> list[str]:
    """Names of the MIL constants that the recipe's `float_layers` keep."""
    unknown = [t for t in quantize.float_types if t not in (*FLOAT_TYPES, *w8a8.FLOAT_TYPES)]
    if unknown:
        raise LoweringError(f"coreml: float_types has '{unknown[0]}'; expected some of {', '.join(w8a8.FLOAT_TYPES)}")
    layers = {placeholder: _layer(path) for placeholder, path in program.graph_signature.inputs_to_parameters.items() if path.endswith(".weight")}
    for glob in quantize.float_layers:
        if not any(matches(layer, [glob]) for layer in layers.values()):
            raise LoweringError(f"coreml: float_layers has '{glob}', which fits no layer; layers are {', '.join(list(layers.values())[:6])} ...")
    constants = cto.get_weights_metadata(model, weight_threshold=0)
    return [name for name in constants if matches(layers.get(name.removesuffix("_to_fp16"), ""), quantize.float_layers)]


def _layer(path: str) -> str:
    """`body.0.body.0` for the parameter `body.0.body.0.weight`, wrapped or not."""
    return path.removeprefix("network.").removesuffix(".weight").removesuffix(".weight_int8")


def _layers_by_operator(program: ExportedProgram) -> dict[str, str]:
    """Name of each weighted operator in the converted file -> the layer's module path."""
    signature = program.graph_signature
    paths: Mapping[str, str] = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    final = program.graph.output_node().args[0][0]  # type: ignore[index]
    found = {}
    for node in program.graph.nodes:
        if node.target not in w8a8.WEIGHTED:
            continue
        weight = node.args[1]
        while weight.op == "call_function":
            weight = weight.args[0]
        found[node.name] = _layer(paths[weight.name])
        if node is final:  # then the converter gives it the output's name, unless a cast comes last
            found["enhanced"] = found[node.name]
    return found


def _checked(contents: inspect.Package, names: Mapping[str, str], precision: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(quantized, kept float) layers as the file on disk has them. Raises LoweringError if the precision did not reach the file."""
    wanted = {"int8-weights": inspect.INT8, "int8": inspect.INT8, "palettized-6": inspect.PALETTE, "palettized-4": inspect.PALETTE}.get(precision)
    if wanted is None:
        return (), ()
    quantized, kept = [], []
    for layer in contents.layers:
        name = names.get(layer.name.removesuffix("_cast_fp16"), layer.name)
        (quantized if layer.stored in wanted else kept).append(name)
    if not quantized:
        raise LoweringError(f"coreml: no layer's weights are stored as {precision}; nothing was quantized")
    if precision == "int8" and not contents.counts().get("quantize"):
        raise LoweringError("coreml: the file has no quantize operator; the activations stayed float")
    return tuple(quantized), tuple(kept)


def _spec(name: str, shape: tuple[int, ...], options: CoreML) -> TensorSpec:
    return TensorSpec(name, shape, "NCHW", "uint8", (0.0, 255.0)) if options.io == "image" else TensorSpec(name, shape, "NCHW", "float32", (0.0, 1.0))


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
