"""PyTorch -> litert-torch -> ai-edge-quantizer -> .tflite."""
# ruff: noqa: TID253

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "0")

import litert_torch
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from edgekit.backend import Lowered, TensorSpec
from edgekit.errors import LoweringError
from edgekit.quantize import matches, told
from edgekit.recipe import Quantize
from edgekit_targets.tflite import calibrate, delegation, flatbuffer, gpu_audit, graph, host, layers, quantizer, second_runtime

TOLERANCE = 1e-3
"""Of the float file against PyTorch, relative to the largest output: ten times what summation order costs, far below any wrong operator."""

TOOLCHAIN = ("torch", "litert-torch", "litert-converter", "ai-edge-litert", "ai-edge-quantizer")


def lower(module: nn.Module, example: tuple[Tensor, ...], quantize: Quantize | None, tiles: Sequence[tuple[Tensor, ...]], out: Path) -> Lowered:
    """See `edgekit.backend.Backend`. Besides its errors, raises what litert-torch and ai-edge-quantizer raise on networks they cannot take."""
    with torch.no_grad():
        network, original = _to_graph(module, example), _to_graph(module, example)
        unclamped = graph.prepare(
            network, example, lambda name: quantize is not None and quantize.precision == "int8" and not _exempt(name, "conv2d", quantize)
        )
        content = _convert(network, example)
        _verify(content, original, example, clamped=not unclamped)
    facts: dict[str, Any] = {}
    quantized: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    if quantize is not None and quantize.precision != "fp32":
        content, quantized, kept, facts = _quantize(content, network, unclamped, quantize, tiles)
    out.write_bytes(content)
    file = flatbuffer.read(content, out.name)
    tile = tuple(tiles[0]) if tiles else _noise(example)
    second = second_runtime.facts(
        out, tile, host.Session.of(content, out.name)(tile), integer=quantize is not None and quantize.precision.startswith("int8")
    )
    return Lowered(
        file=out,
        inputs=tuple(_spec(t) for t in file.inputs),
        outputs=tuple(_spec(t) for t in file.outputs),
        toolchain={name: version(name) for name in TOOLCHAIN},
        delegation=delegation.measure(out),
        quantized=quantized,
        kept_float=kept,
        facts={**facts, "second_runtime": second, "gpu_delegate": gpu_audit.audit(out).facts()},
    )


def _to_graph(module: nn.Module, example: tuple[Tensor, ...]) -> GraphModule:
    """A copy as a graph of ATen operators, whose parameters keep their module paths."""
    if isinstance(module, GraphModule):
        return copy.deepcopy(module)
    traced = torch.export.export(module.eval(), example).module(check_guards=False)
    assert isinstance(traced, GraphModule)
    return traced


def _convert(network: nn.Module, example: tuple[Tensor, ...]) -> bytes:
    """The float file: NHWC inputs and outputs, as far as they are pictures."""
    with torch.no_grad():
        given = network(*example)
    results = (given,) if isinstance(given, Tensor) else given
    pictures, made = ([i for i, t in enumerate(tensors) if t.dim() == 4] for tensors in (example, results))
    wrapped = litert_torch.to_channel_last_io(network, args=pictures, outputs=made)
    wrapped.training = False  # exported graphs refuse .eval()
    arguments = tuple(t.permute(0, 2, 3, 1).contiguous() if t.dim() == 4 else t for t in example)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "float.tflite"
        litert_torch.convert(wrapped, arguments).export(str(file))
        return file.read_bytes()


def _verify(content: bytes, original: nn.Module, example: tuple[Tensor, ...], clamped: bool) -> None:
    """Executes the float file once: litert-torch can convert to something else without an error (see `graph.prepare`). Raises LoweringError.

    `clamped`: whether the file still holds the network's clamps; otherwise only pixels strictly between black and white are compared.
    """
    inputs = _noise(example)
    expected = original(*inputs)
    expected = expected[0] if isinstance(expected, tuple | list) else expected
    (got,) = host.Session.of(content, "float file")(inputs)
    white = 255 if expected.dtype == torch.uint8 else 1
    tolerance = 1.0 if expected.dtype == torch.uint8 else max(1.0, float(expected.abs().max())) * TOLERANCE
    compared = torch.ones_like(expected, dtype=torch.bool) if clamped else (expected > 0) & (expected < white)
    worst = float(((got.float() - expected.float()).abs() * compared).max())
    if not worst <= tolerance:
        raise LoweringError(
            f"litert-torch converted the network to a file that computes something else: off by {worst:.3g}, expected {tolerance:.3g} at most"
        )


def _noise(example: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Random pixels of the example's shapes and dtypes, always the same."""
    generator = torch.Generator().manual_seed(0)
    return tuple((torch.rand(t.shape, generator=generator) * (255 if t.dtype == torch.uint8 else 1)).to(t.dtype) for t in example)


def _quantize(
    content: bytes, network: nn.Module, unclamped: tuple[str, ...], quantize: Quantize, tiles: Sequence[tuple[Tensor, ...]]
) -> tuple[bytes, tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """(file, quantized layers, layers kept float, facts)."""
    file = flatbuffer.read(content, "float file")
    found = layers.find(file, network)
    compared = quantizer.compared(file)
    chosen = [layer for layer in found if layer.op.index not in compared and not _exempt(layer.name, layer.type, quantize)]
    if not chosen:
        raise LoweringError(f"tflite {quantize.precision}: no layer left to quantize among {len(found)}; check float_layers and float_types")
    kept = tuple(layer.name for layer in found if layer not in chosen)
    ops = [layer.op for layer in chosen]
    facts: dict[str, Any] = {}
    ranges: calibrate.Ranges = {}
    if quantize.precision == "int8":
        ops += quantizer.followers(file, ops, sums="add" not in quantize.float_types)
        wanted = [t for op in ops for t in (*op.inputs, *op.outputs) if t is not None and not t.is_constant]
        ranges = calibrate.ranges(content, file, wanted, tiles, quantize)
        ranges |= {layer.op.outputs[0].name: (0.0, 1.0) for layer in chosen if layer.name in unclamped}
        ranges = calibrate.coarse_enough(ranges, ops)
        facts = {"estimator": quantize.estimator or calibrate.DEFAULT, "calibration_tiles": len(tiles)}
        outputs = {layer.name: layer.op.outputs[0].name for layer in chosen}
        facts["ranges"] = told({layer: ranges[tensor] for layer, tensor in outputs.items() if tensor in ranges})
    return quantizer.quantize(content, quantize.precision, ops, ranges), tuple(layer.name for layer in chosen), kept, facts


def _exempt(name: str, kind: str, quantize: Quantize) -> bool:
    return kind in quantize.float_types or matches(name, quantize.float_layers)


def _spec(tensor: flatbuffer.Tensor) -> TensorSpec:
    if tensor.dtype == "UINT8":
        return TensorSpec(tensor.name, tensor.shape, "NHWC", "uint8", (0.0, 255.0))
    if tensor.dtype == "FLOAT32":
        return TensorSpec(tensor.name, tensor.shape, "NHWC", "float32", (0.0, 1.0))
    raise LoweringError(f"tflite: '{tensor.name}' is {tensor.dtype}; expected float32 or uint8 inputs and outputs")
