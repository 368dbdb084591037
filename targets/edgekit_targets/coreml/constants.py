"""Constants of an ML Program as float arrays: plain ones, and those that `constexpr_` operators unpack when Core ML loads the file.

Formats after the docstrings of `coremltools.converters.mil.mil.ops.defs.iOS16.constexpr_ops` and `iOS18.compression`. Written from them, not by calling
coremltools' own unpacking: what stored the weights shall not be its own witness.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def is_constant(operation: Any) -> bool:
    """Whether a MIL operation gives a constant, plain or unpacked."""
    return operation.op_type == "const" or operation.op_type.startswith("constexpr_")


def value_of(operation: Any) -> Any:
    """The value of a constant operation (`is_constant`), unpacked through any number of stages. Raises NotImplementedError for a kind that is not known."""
    if operation.op_type == "const":
        return operation.outputs[0].val
    return unpack(operation.op_type, {key: value_of(given.op) for key, given in operation.inputs.items() if given is not None})


def unpack(kind: str, given: Mapping[str, Any]) -> Array:
    """`given`: the operator's inputs by name, numpy arrays (or scalars). Raises NotImplementedError for a kind that is not known."""
    if kind not in UNPACKERS:
        raise NotImplementedError(kind)
    return UNPACKERS[kind]({name: np.asarray(value) for name, value in given.items() if value is not None})


def _affine(given: Mapping[str, Array]) -> Array:
    """scale * (data - zero point), both per tensor or along `axis`."""
    data = given["quantized_data"].astype(np.float32)
    shape = [-1 if i == int(given["axis"]) % data.ndim else 1 for i in range(data.ndim)]
    scale, zero = (given[name].astype(np.float32) for name in ("scale", "zero_point"))
    scale, zero = (v if v.size == 1 else v.reshape(shape) for v in (scale, zero))
    return ((data - zero) * scale).astype(given["scale"].dtype)


def _blockwise(given: Mapping[str, Array]) -> Array:
    """scale * (data - offset), one scale per block: along each dimension the data is a multiple of the scale."""
    data = given["data"].astype(np.float32)
    offset = _spread(given["offset"], data.shape).astype(np.float32) if "offset" in given else 0.0
    return ((data - offset) * _spread(given["scale"], data.shape).astype(np.float32)).astype(given["scale"].dtype)


def _spread(blocks: Array, shape: tuple[int, ...]) -> Array:
    for axis, side in enumerate(shape):
        if blocks.shape[axis] != side:
            blocks = np.repeat(blocks, side // blocks.shape[axis], axis)
    return blocks


def _lut(given: Mapping[str, Array]) -> Array:
    """Indices into a table. iOS 16 packs them little-endian in bits and gives the shape; iOS 18 has one table per block and sub-byte indices."""
    table = given["lut"]
    if "shape" in given:
        shape = tuple(int(side) for side in given["shape"].flatten())
        bits = int(table.size - 1).bit_length()
        flat = np.unpackbits(given["indices"].astype(np.uint8), bitorder="little")[: int(np.prod(shape)) * bits]
        indices = (flat.reshape(-1, bits).astype(np.int64) << np.arange(bits)).sum(1)
        return table[indices].reshape(shape)
    indices = given["indices"].astype(np.int64)
    if table.shape[-1] != 1:
        raise NotImplementedError("constexpr_lut_to_dense with vectors")
    blocks = np.ix_(*(np.arange(side) // (side // table.shape[axis]) for axis, side in enumerate(indices.shape)))
    return table[(*blocks, indices, 0)]


def _sparse(given: Mapping[str, Array]) -> Array:
    """The values that are not zero, in order, at the places whose mask bit is set. iOS 16 packs the mask in bytes and gives the shape."""
    if "shape" in given:
        shape = tuple(int(side) for side in given["shape"].flatten())
        mask = np.unpackbits(given["mask"].astype(np.uint8), bitorder="little")[: int(np.prod(shape))].reshape(shape).astype(bool)
    else:
        mask = given["mask"].astype(bool)
    dense = np.zeros(mask.shape, given["nonzero_data"].dtype)
    dense[mask] = given["nonzero_data"]
    return dense


def _cast(given: Mapping[str, Array]) -> Array:
    return given["source_val"].astype({"fp16": np.float16, "fp32": np.float32}[str(given["output_dtype"])])


UNPACKERS = {
    "constexpr_affine_dequantize": _affine,
    "constexpr_blockwise_shift_scale": _blockwise,
    "constexpr_lut_to_dense": _lut,
    "constexpr_sparse_to_dense": _sparse,
    "constexpr_cast": _cast,
}
