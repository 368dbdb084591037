"""torch.export -> ML Program, then Core ML's own weight compression. Everything here runs off a Mac."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from edgekit.backend import Lowered, TensorSpec
from edgekit.errors import LoweringError, MissingToolchain, first_line
from edgekit.quantize import matches, told
from edgekit_targets.coreml import inspect, package, palettize, w8a8
from edgekit_targets.coreml.library import ScopeSource, ct, cto

if TYPE_CHECKING:
    from edgekit.recipe import Quantize
    from edgekit_targets.coreml import CoreML

COMPRESSED = ("conv", "conv_transpose", "linear")
"""MIL operators whose weights are compressed. Other constants (colour shifts, scales) are a few bytes and each counts."""

FLOAT_TYPES = {"conv2d": "conv", "conv_transpose2d": "conv_transpose", "linear": "linear"}
"""A recipe's `float_types` -> MIL operators; other types have no weights and are float in any case, except in int8."""


KIND = {
    torch.ops.aten.conv2d.default: "conv",
    torch.ops.aten.conv_transpose2d.input: "conv_transpose",
    torch.ops.aten.linear.default: "linear",
}
"""Operator of the exported graph -> of the ML Program."""


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
    graph, quantized_graph, bits = to_graph(module, example), None, {}
    if quantize and quantize.palette:
        bits = palettize.palettize(graph, quantize, tiles, quantize.palette, whole_levels=quantize.rounds_activations)
    if quantize and quantize.rounds_activations:
        quantized_graph = w8a8.quantize(graph, quantize, tiles, weights=precision == "int8")
    program = _program(_Levels(graph) if options.io == "image" else graph, example)
    islands = _islands(program, quantize)
    model = _convert(program, options, example, precision, islands)
    if quantize and precision == "int8-weights":
        model = _compress(model, _exempt(model, program, quantize.float_layers, quantize.float_types), cto.linear_quantize_weights, LEVELS)
    elif quantize and bits:
        model = _store_palettes(model, program, bits, whole_levels=quantize.rounds_activations)
    elif quantize and precision == "fp16" and (quantize.float_layers or quantize.float_types):
        raise LoweringError(
            "coreml: fp16 rounds no layer to integers, so float_layers and float_types do not apply; fp32_layers keeps layers out of fp16"
        )
    model.author = "edgekit"
    model.short_description = f"Image enhancer, {precision}: one tile of RGB pixels in, one enhanced tile out"
    model.version = version("edgekit")
    package.save(model, out)
    contents = inspect.read(out)
    names = _layers_by_operator(program)
    quantized, kept = _checked(contents, names, quantize, bits)
    facts: dict[str, Any] = {
        "minimum_deployment_target": options.minimum_deployment_target,
        "compute_units": options.compute_units,
        "io": options.io,
        **({"fp32_operators": sorted(islands)} if islands else {}),
        "operators": contents.counts(),
        "deterministic": True,
    }
    if quantized_graph is not None:
        facts |= {"activations": "int8, symmetric; uint8 where nothing is negative"}
        facts |= {} if bits else {"weights": "int8, symmetric, per channel"}
        facts |= {"estimator": quantized_graph.estimator, "calibration_tiles": quantized_graph.tiles, "ranges": told(quantized_graph.ranges)}
    if bits:
        facts |= {"weights": "a palette per layer, fitted to the layers' outputs on calibration tiles", "palette_bits": bits}
    return Lowered(
        file=out,
        inputs=tuple(_spec(name, tuple(t.shape), options) for name, t in zip(_input_names(program), example, strict=True)),
        outputs=(_spec("enhanced", _output_shape(program), options),),
        toolchain={name: version(name) for name in ("torch", "coremltools", "scikit-learn")},
        quantized=quantized,
        kept_float=kept,
        facts=facts,
    )


INSIDE = "inside_levels"
"""What _Levels calls the network: no network's own module is called so."""


class _Levels(nn.Module):
    """[0, 1] -> whole numbers 0 .. 255, as an image output wants them. Rounded here: Core ML does not say how it converts fractions to bytes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.add_module(INSIDE, network)

    def forward(self, *images: Tensor) -> Tensor:
        return torch.round(self.get_submodule(INSIDE)(*images) * 255.0)


def to_graph(module: nn.Module, example: tuple[Tensor, ...]) -> GraphModule:
    """ATen operators with shapes noted on each node. Raises LoweringError."""
    try:
        with torch.no_grad():
            graph = torch.export.export(module, example).module(check_guards=False)
    except Exception as error:  # torch.export raises many types, user code any
        raise LoweringError(f"torch.export could not trace the network: {first_line(error)}") from error
    assert isinstance(graph, GraphModule)
    return graph


def _where(condition: Tensor, chosen: Tensor | float, other: Tensor | float) -> Tensor:
    """One of the two a number: both as tensors of the dtype that torch gives them together."""
    dtype, tensor = torch.result_type(chosen, other), chosen if isinstance(chosen, Tensor) else other
    assert isinstance(tensor, Tensor)
    pair = (v.to(dtype) if isinstance(v, Tensor) else torch.full(tensor.shape, v, dtype=dtype) for v in (chosen, other))
    return torch.where(condition, *pair)


SIMPLER: dict[Any, Any] = {
    torch.ops.aten.alias.default: lambda tensor: tensor,
    torch.ops.aten.celu.default: lambda tensor, alpha=1.0: torch.relu(tensor) - alpha * torch.relu(1 - torch.exp(tensor / alpha)),
    torch.ops.aten.log_sigmoid.default: lambda tensor: -F.softplus(-tensor),
    torch.ops.aten.where.ScalarSelf: _where,
    torch.ops.aten.where.ScalarOther: _where,
}
"""What coremltools 9.0 does not convert, in words that it does."""


def _program(module: nn.Module, example: tuple[Tensor, ...]) -> ExportedProgram:
    """The default decompositions would break up pixel_shuffle, instance_norm and pad, which Core ML has; none at all is a dialect it does not read."""
    with torch.no_grad():
        return torch.export.export(module, example).run_decompositions(SIMPLER)


def _input_names(program: ExportedProgram) -> list[str]:
    names = [str(name) for name in program.graph_signature.user_inputs]
    return ["image"] if len(names) == 1 else names


def _output_shape(program: ExportedProgram) -> tuple[int, ...]:
    results = program.graph.output_node().args[0]
    if len(results) != 1:  # type: ignore[arg-type]
        raise LoweringError(f"coreml: the network gives {len(results)} tensors; expected one image")  # type: ignore[arg-type]
    return tuple(int(side) for side in results[0].meta["val"].shape)  # type: ignore[index,union-attr]


def _convert(program: ExportedProgram, options: CoreML, example: tuple[Tensor, ...], precision: str, islands: set[str]) -> ct.models.MLModel:
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
            compute_precision=ct.precision.FLOAT32 if precision == "fp32" else _half_but(program, islands),
            pass_pipeline=_passes(program),
            skip_model_load=True,
        )
    except Exception as error:  # the converter raises many types, bare ones included
        raise LoweringError(f"coremltools could not convert the network: {first_line(error)}") from error
    return model


def _passes(program: ExportedProgram) -> Any:
    """coremltools' own. In fp16 files it makes int16 of whole numbers that are chosen from or chosen by, which cannot hold the keys of a sorted picture."""
    passes = ct.PassPipeline()
    if any(node.target is torch.ops.aten.topk.default for node in program.graph.nodes):
        passes.remove_passes({"common::add_int16_cast"})
    return passes


def _islands(program: ExportedProgram, quantize: Quantize | None) -> set[str]:
    """Names of the operators that `fp32_layers` keep out of fp16: those of a layer whose path fits, or whose own name does, and those that read their
    results, which would be rounded on the way otherwise (as int8 levels, too: what they stand for is as large). Their int8 weights come with them."""
    globs = quantize.fp32_layers if quantize else ()
    signature = program.graph_signature
    paths = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    layers: dict[Node, set[str]] = {}
    for node in program.graph.nodes:
        if node.op == "call_function":
            read = [paths[a.name] for a in node.all_input_nodes if a.name in paths]
            layers[node] = {node.name, *(path.removeprefix(f"{INSIDE}.").rpartition(".")[0] for path in read)}
    for glob in globs:
        if not any(matches(name, [glob]) for names in layers.values() for name in names):
            raise LoweringError(
                f"coreml: fp32_layers has '{glob}', which fits no operator; operators are {', '.join(n.name for n in list(layers)[:6])} ..."
            )
    kept = [node for node, names in layers.items() if any(matches(name, globs) for name in names)]
    found = {*kept, *(reader for node in kept for reader in _readers(node))}
    return {node.name for node in (*found, *(a for node in found for a in node.all_input_nodes if a.target is w8a8.WEIGHT_LEVELS))}


def _readers(node: Node) -> Iterator[Node]:
    for user in node.users:
        if user.op == "call_function":
            yield user
            if user.target in w8a8.LEVELS:
                yield from _readers(user)


def _half_but(program: ExportedProgram, islands: set[str]) -> Any:
    """fp16 for all operators but those that the converter makes of `islands`. Of one it can make several with names of their own, and its passes merge
    them; so each operator carries the number of its node, as coremltools hands it on."""
    if not islands:
        return ct.precision.FLOAT16
    for number, node in enumerate(program.graph.nodes):
        node.meta["debug_handle"] = number
    numbers = {number for number, node in enumerate(program.graph.nodes) if node.name in islands}

    def is_half(operation: Any) -> bool:
        carried = operation.scopes.get(ScopeSource.EXIR_DEBUG_HANDLE) or []
        return operation.name not in islands and not numbers.intersection(carried)

    return ct.transform.FP16ComputePrecision(op_selector=is_half)


def _colours(shape: tuple[int, ...]) -> Any:
    layouts = {1: ct.colorlayout.GRAYSCALE, 3: ct.colorlayout.RGB}
    if shape[1] not in layouts:
        raise LoweringError(f'coreml: io = "image" with {shape[1]} channels; expected 1 or 3: use io = "tensor"')
    return layouts[shape[1]]


LEVELS: Any = cto.OpLinearQuantizerConfig(mode="linear_symmetric", granularity="per_channel", weight_threshold=0)
LEVELS_PER_TENSOR: Any = cto.OpLinearQuantizerConfig(mode="linear_symmetric", granularity="per_tensor", weight_threshold=0)


def _table(weight: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(table of a power of two, indices) of a weight with few values. coremltools' own "unique" mode asks `np.unique` of float16, which in numpy 2.4.6 can
    give one value several times, so that tables of 16 were stored as tables of 64; of float32 it is right."""
    values, indices = np.unique(weight.astype(np.float32).flatten(), return_inverse=True)
    size = next(2**bits for bits in (1, 2, 4, 6, 8) if len(values) <= 2**bits)
    return np.pad(values, (0, size - len(values))).astype(weight.dtype), indices.astype(np.uint8)


PALETTE: Any = cto.OpPalettizerConfig(mode="custom", lut_function=_table, granularity="per_tensor", weight_threshold=0)


def _compress(model: ct.models.MLModel, exempt: Sequence[str], compress: Any, config: Any, **options: Any) -> ct.models.MLModel:
    """The file holds compressed weights, its operators stay what they are. `exempt` names constants."""
    choices: Any = {"op_type_configs": dict.fromkeys(COMPRESSED, config), "op_name_configs": dict.fromkeys([*exempt, *_shared_constants(model)])}
    try:
        return compress(model, cto.OptimizationConfig(global_config=None, **choices), **options)
    except ModuleNotFoundError as error:
        raise MissingToolchain("coreml weight compression", "scikit-learn", "coreml") from error
    except (ValueError, RuntimeError, AssertionError) as error:
        raise LoweringError(f"coremltools could not compress the weights: {first_line(error)}") from error


def _store_palettes(model: ct.models.MLModel, program: ExportedProgram, bits: Mapping[str, int], *, whole_levels: bool) -> ct.models.MLModel:
    """The weights have few values already: they are stored as what they are, a table and indices; with `whole_levels` the table as int8 and a scale."""
    constants = _constant_names(model)
    layers = _constants(program)
    exempt = [name for name in constants if layers.get(name.removesuffix("_to_fp16")) not in bits]
    made = _compress(model, exempt, cto.palettize_weights, PALETTE)
    return _compress(made, (), cto.linear_quantize_weights, LEVELS_PER_TENSOR, joint_compression=True) if whole_levels else made


def _operations(model: ct.models.MLModel) -> list[Any]:
    """Of the file. coremltools' own `get_weights_metadata` fails where an operator takes a list of tensors (coremltools 9.0)."""
    blocks = [block for function in model.get_spec().mlProgram.functions.values() for block in function.block_specializations.values()]
    return [operation for block in blocks for operation in block.operations]


def _constant_names(model: ct.models.MLModel) -> list[str]:
    return [operation.outputs[0].name for operation in _operations(model) if operation.type == "const"]


def _shared_constants(model: ct.models.MLModel) -> list[str]:
    """Names of the constants that operators of COMPRESSED and others read, such as zeros that are a layer's bias and a normalization's offset:
    coremltools refuses to compress them for the one and not for the other."""
    readers: dict[str, set[bool]] = {name: set() for name in _constant_names(model)}
    for operation in _operations(model):
        for name in {binding.name for argument in operation.inputs.values() for binding in argument.arguments} & set(readers):
            readers[name].add(operation.type in COMPRESSED)
    return [name for name, kinds in readers.items() if len(kinds) > 1]


def _constants(program: ExportedProgram) -> dict[str, str]:
    """Name of each weight's constant -> the layer's module path."""
    return {placeholder: _layer(path) for placeholder, path in program.graph_signature.inputs_to_parameters.items() if path.endswith(".weight")}


def _exempt(model: ct.models.MLModel, program: ExportedProgram, globs: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """Names of the constants that the recipe's `float_layers` and `float_types` keep."""
    unknown = [t for t in kinds if t not in (*FLOAT_TYPES, *w8a8.FLOAT_TYPES)]
    if unknown:
        raise LoweringError(f"coreml: float_types has '{unknown[0]}'; expected some of {', '.join(w8a8.FLOAT_TYPES)}")
    layers = _constants(program)
    for glob in globs:
        if not any(matches(layer, [glob]) for layer in layers.values()):
            raise LoweringError(f"coreml: float_layers has '{glob}', which fits no layer; layers are {', '.join(list(layers.values())[:6])} ...")
    operators = {FLOAT_TYPES[t] for t in kinds if t in FLOAT_TYPES}
    by_kind = {a.name for n in program.graph.nodes if KIND.get(n.target) in operators for a in n.all_input_nodes[1:2]}
    constants = _constant_names(model)
    bare = {name: name.removesuffix("_to_fp16") for name in constants}
    return [name for name in constants if matches(layers.get(bare[name], ""), globs) or bare[name] in by_kind]


def _layer(path: str) -> str:
    """`body.0.body.0` for the parameter `body.0.body.0.weight`, inside _Levels or not."""
    return path.removeprefix(f"{INSIDE}.").removesuffix(".weight").removesuffix(".weight_int8")


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


def _checked(
    contents: inspect.Package, names: Mapping[str, str], quantize: Quantize | None, bits: Mapping[str, int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(quantized, kept float) layers as the file on disk has them. Raises LoweringError if the precision, or a palette's bits, did not reach the file."""
    precision = quantize.precision if quantize else "fp32"
    wanted = {
        "int8-weights": inspect.INT8,
        "int8": inspect.INT8,
    }.get(precision, inspect.PALETTE if quantize and quantize.palette else None)
    if quantize is None or wanted is None:
        return (), ()
    quantized, kept = [], []
    for layer in contents.layers:
        name = names.get(layer.name.removesuffix("_cast_fp16"), layer.name)
        (quantized if layer.stored in wanted else kept).append(name)
        if name in bits and (layer.table or 0) > 2 ** bits[name]:
            raise LoweringError(f"coreml: the table of '{name}' has {layer.table} entries; expected at most {2 ** bits[name]}, {bits[name]} bits")
    if not quantized:
        raise LoweringError(f"coreml: no layer's weights are stored as {precision}; nothing was quantized")
    if quantize.rounds_activations and not contents.counts().get("quantize"):
        raise LoweringError("coreml: the file has no quantize operator; the activations stayed float")
    return tuple(quantized), tuple(kept)


def _spec(name: str, shape: tuple[int, ...], options: CoreML) -> TensorSpec:
    return TensorSpec(name, shape, "NCHW", "uint8", (0.0, 255.0)) if options.io == "image" else TensorSpec(name, shape, "NCHW", "float32", (0.0, 1.0))
