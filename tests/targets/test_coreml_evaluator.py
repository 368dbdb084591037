"""The evaluator against witnesses that are not itself: values worked out by hand, coremltools' own numpy, PyTorch on whole networks.

Programs are written with coremltools' builder and stored without optimization passes, so that each operator reaches the file as it stands here.
"""

import math
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import pictures, psnr
from torch import nn

from edgekit import models, rewrite
from edgekit.errors import CannotRunHere, InvalidFile
from edgekit.recipe import Quantize
from edgekit_targets.coreml import CoreML

pytest.importorskip("edgekit_targets.coreml.library")  # which imports coremltools without TensorFlow
from edgekit_targets.coreml import constants, package
from edgekit_targets.coreml.evaluator import Program
from edgekit_targets.coreml.host import EvaluatorSession
from edgekit_targets.coreml.library import ct, types
from edgekit_targets.coreml.operators import OPERATORS

Array = np.ndarray
mil = pytest.importorskip("coremltools.converters.mil.mil")
mb, Function, MILProgram = mil.Builder, mil.Function, mil.Program


def f32(values: Any) -> Array:
    return np.asarray(values, np.float32)


def noise(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> Array:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def counting(*shape: int) -> Array:
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


def written(build: Callable[..., Any], inputs: Sequence[Array], target: str = "iOS17") -> Any:
    """The MIL program that `build` writes over the inputs a0, a1 ..."""
    placeholders = {f"a{i}": mb.placeholder(shape=x.shape) for i, x in enumerate(inputs)}
    with Function(placeholders, opset_version=getattr(ct.target, target)) as function:
        results = build(*(function.inputs[name] for name in placeholders))
        function.set_outputs(list(results) if isinstance(results, list | tuple) else [results])
    program = MILProgram()
    program.add_function("main", function)
    return program


def save(program: Any, out: Path, *, target: str = "iOS17", half: bool = False, passes: bool = False) -> Path:
    """As a package on disk. `half`: in fp16; without it and `passes` (coremltools' optimizations) exactly as it was written."""
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=getattr(ct.target, target),
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.DEFAULT if half or passes else ct.PassPipeline.EMPTY,
        skip_model_load=True,
    )
    model.save(str(out))
    return out


def evaluated(file: Path, inputs: Sequence[Array], *, faithful: bool = False) -> list[Array]:
    return [t.numpy() for t in Program(file)([torch.from_numpy(x) for x in inputs], faithful=faithful)]


# One operator at a time -----------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Case:
    """`build(*inputs)` gives the program's results; `expected` are theirs. `witness`: coremltools' own numpy is asked too, where it has any."""

    kind: str
    build: Callable[..., Any]
    inputs: Sequence[Array]
    expected: Sequence[Any]
    tolerance: float = 2e-6
    target: str = "iOS17"
    witness: bool = True
    label: str = ""

    def __str__(self) -> str:
        return f"{self.kind}-{self.label}" if self.label else self.kind


def whole(value: Any) -> Any:
    """Results are floats: Core ML has no other outputs that every case could share."""
    return mb.cast(x=value, dtype="fp32")


def correlated(x: Array, w: Array, *, strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0), groups=1, bias=None) -> Array:
    """A convolution by its definition: four loops over places and taps."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), pads[:2], pads[2:]))
    sides = [(x.shape[2 + i] - (w.shape[2 + i] - 1) * dilations[i] - 1) // strides[i] + 1 for i in range(2)]
    out = np.zeros((x.shape[0], w.shape[0], *sides))
    inner, outer = w.shape[1], w.shape[0] // groups
    for o, (r, c), (i, j) in product(range(w.shape[0]), np.ndindex(*sides), np.ndindex(*w.shape[2:])):
        begin = o // outer * inner
        out[:, o, r, c] += x[:, begin : begin + inner, r * strides[0] + i * dilations[0], c * strides[1] + j * dilations[1]] @ w[o, :, i, j]
    return out + (0 if bias is None else np.asarray(bias)[:, None, None])


def scattered(x: Array, w: Array, shape: Sequence[int], *, strides=(1, 1), dilations=(1, 1), begin=(0, 0), groups=1, bias=None) -> Array:
    """A transposed convolution by its definition: each pixel adds its weighted kernel to the output, of which `shape` from `begin` on is kept."""
    outer = w.shape[1]
    out = np.zeros((x.shape[0], outer * groups, *shape))
    inner = x.shape[1] // groups
    for k, o, (r, c), (i, j) in product(range(x.shape[1]), range(outer), np.ndindex(*x.shape[2:]), np.ndindex(*w.shape[2:])):
        row, column = r * strides[0] + i * dilations[0] - begin[0], c * strides[1] + j * dilations[1] - begin[1]
        if 0 <= row < shape[0] and 0 <= column < shape[1]:
            out[:, k // inner * outer + o, row, column] += x[:, k, r, c] * w[k, o, i, j]
    return out + (0 if bias is None else np.asarray(bias)[:, None, None])


def windows(x: Array, kernel: int, stride: int, begin: int, count: int) -> list[Array]:
    """The parts of a row that the windows of a pooling see, without padding."""
    return [x[max(0, s) : s + kernel] for s in range(-begin, -begin + count * stride, stride)]


def resampled(x: Any, places: Sequence[Sequence[float]], **options: Any) -> Any:
    """A row of pixels, read at `places` (x, y) in [-1, 1]."""
    given = {"padding_mode": "constant", "padding_value": 0.0, "align_corners": False, "sampling_mode": "bilinear"} | options
    return mb.resample(x=x, coordinates=f32([[places]]), **({"coordinates_mode": "normalized_minus_one_to_one"} | given))


def lerp(row: Sequence[float], places: Sequence[float]) -> Array:
    return np.interp(places, range(len(row)), row)


def erf(x: Array) -> Array:
    return np.vectorize(math.erf)(x.astype(np.float64))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def normalized(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    wide = x.astype(np.float64)
    return (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True) + epsilon)


X, W, B = noise(1, 4, 6, 7), noise(6, 4, 3, 3, seed=1), noise(6, seed=2)
T = noise(4, 3, 3, 3, seed=3)
TB = noise(3, seed=4)
SIGNED = f32([-3, -1.5, -0.5, 0, 0.25, 0.5, 1.5, 2.5, 7])
POSITIVE = f32([0.0, 1e-6, 0.25, 1, 9])
ROW = f32([1, 2, 4, 8, 16])
GRID = f32([[0, 1], [10, 11]])[None, None]
PAIR = f32([7, -7, 7, -7, 6, 0.5]), f32([3, 3, -3, -3, 3, 0.25])


def _conv() -> list[Case]:
    simple = f32([[[[1, 2], [3, 4]]]])
    three = counting(1, 1, 3, 3)
    cases = [
        # 0*1 + 1*2 + 3*3 + 4*4 = 27, and so on: a correlation, not a convolution.
        Case("conv", lambda x: mb.conv(x=x, weight=simple), [three], [[[[[27, 37], [57, 67]]]]], label="by hand"),
        Case("conv", lambda x: mb.conv(x=x, weight=W, bias=B), [X], [correlated(X, W, bias=B)], label="bias"),
        Case(
            "conv",
            lambda x: mb.conv(x=x, weight=W[:, :2], groups=2, strides=[2, 1], dilations=[1, 2], pad_type="custom", pad=[1, 0, 2, 3]),
            [X],
            [correlated(X, W[:, :2], groups=2, strides=(2, 1), dilations=(1, 2), pads=(1, 0, 2, 3))],
            label="groups, strides, dilations, pads",
        ),
        Case("conv", lambda x: mb.conv(x=x, weight=W, pad_type="valid", pad=[1, 1, 1, 1]), [X], [correlated(X, W)], label="pads without custom"),
        # Row: 6 long, kernel 3, stride 2 -> 3 windows, 5 + 2 - 6 = 1 row of padding, at the end. Column: 7 long -> 4 windows, 7 + 2 - 7 = 2.
        Case(
            "conv",
            lambda x: mb.conv(x=x, weight=W, strides=[2, 2], pad_type="same"),
            [X],
            [correlated(X, W, strides=(2, 2), pads=(0, 1, 1, 1))],
            label="same",
        ),
        Case(
            "conv",
            lambda x: mb.conv(x=x, weight=W, strides=[2, 2], pad_type="same_lower"),
            [X],
            [correlated(X, W, strides=(2, 2), pads=(1, 0, 1, 1))],
            label="same_lower",
        ),
        Case(
            "conv",
            lambda x: mb.conv(x=x, weight=W[:, :, :2], pad_type="same", dilations=[3, 1]),
            [X],
            [correlated(X, W[:, :, :2], dilations=(3, 1), pads=(1, 2, 1, 1))],
            label="same, dilated",
        ),
        Case("conv", lambda x: mb.conv(x=x, weight=f32([[[1, 10]]])), [f32([[[1, 2, 3]]])], [[[[21, 32]]]], label="one dimension"),
        Case(
            "conv", lambda x: mb.conv(x=x, weight=np.full((1, 1, 2, 2, 2), 1, np.float32)), [counting(1, 1, 2, 2, 2)], [[[[[[28]]]]]], label="three"
        ),
    ]
    full = [(side - 1) * 2 + 3 for side in X.shape[2:]]
    return [
        *cases,
        Case(
            "conv_transpose",
            lambda x: mb.conv_transpose(x=x, weight=simple, strides=[2, 2]),
            [f32([[[[1, 10]]]])],
            [[[[[1, 2, 10, 20], [3, 4, 30, 40]]]]],
            label="by hand",
        ),
        Case(
            "conv_transpose",
            lambda x: mb.conv_transpose(x=x, weight=T, bias=TB, strides=[2, 2]),
            [X],
            [scattered(X, T, full, strides=(2, 2), bias=TB)],
            label="valid",
        ),
        Case(
            "conv_transpose",
            lambda x: mb.conv_transpose(x=x, weight=T, bias=TB, strides=[2, 2], pad_type="custom", pad=[1, 0, 2, 1]),
            [X],
            [scattered(X, T, (full[0] - 1, full[1] - 3), strides=(2, 2), begin=(1, 2), bias=TB)],
            label="custom",
        ),
        Case(
            "conv_transpose",
            lambda x: mb.conv_transpose(
                x=x, weight=T, bias=TB, strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1], output_shape=[1, 3, full[0] - 1, full[1] + 1]
            ),
            [X],
            [scattered(X, T, (full[0] - 1, full[1] + 1), strides=(2, 2), begin=(1, 1), bias=TB)],
            label="custom, output_shape beyond the kernel's reach",
        ),
        # 13 rows reach out, 12 are wanted: one too many, at the end. With output_shape 11: two too many, one at each end.
        Case(
            "conv_transpose",
            lambda x: mb.conv_transpose(x=x, weight=T, strides=[2, 2], pad_type="same"),
            [X],
            [scattered(X, T, (12, 14), strides=(2, 2))],
            label="same",
        ),
        Case(
            "conv_transpose",
            lambda x: mb.conv_transpose(x=x, weight=T, strides=[2, 2], pad_type="same", output_shape=[1, 3, 11, 14]),
            [X],
            [scattered(X, T, (11, 14), strides=(2, 2), begin=(1, 0))],
            label="same, output_shape",
        ),
        Case(
            "conv_transpose",
            lambda x: mb.conv_transpose(x=x, weight=T, groups=2, dilations=[2, 1]),
            [X],
            [scattered(X, T, (10, 9), dilations=(2, 1), groups=2)],
            label="groups, dilations",
        ),
    ]


def _pools() -> list[Case]:
    row = ROW[None, None, None]

    def pooled(function: Callable[[Array], float], *arguments: int) -> Array:
        return f32([[[[function(w) for w in windows(ROW, *arguments)]]]])

    def sums(divisors: Sequence[float], *arguments: int) -> Array:
        return f32([[[[w.sum() / d for w, d in zip(windows(ROW, *arguments), divisors, strict=True)]]]])

    pads = {"pad_type": "custom", "pad": [0, 0, 1, 1]}
    sizes = {"kernel_sizes": [1, 3], "strides": [1, 2]}
    return [
        Case("max_pool", lambda x: mb.max_pool(x=x, kernel_sizes=[1, 2], pad_type="valid"), [row], [pooled(max, 2, 1, 0, 4)], label="valid"),
        Case("max_pool", lambda x: mb.max_pool(x=x, **sizes, **pads), [-row], [[[[[-1, -2, -8]]]]], label="padding is never the largest"),
        # 5 long, kernel 2, stride 2: three windows, one row of padding.
        Case("max_pool", lambda x: mb.max_pool(x=x, kernel_sizes=[1, 2], strides=[1, 2], pad_type="same"), [row], [[[[[2, 8, 16]]]]], label="same"),
        Case(
            "max_pool",
            lambda x: mb.max_pool(x=x, kernel_sizes=[1, 2], strides=[1, 2], pad_type="same_lower"),
            [row],
            [[[[[1, 4, 16]]]]],
            label="same_lower",
        ),
        Case(
            "max_pool",
            lambda x: mb.max_pool(x=x, kernel_sizes=[1, 2], strides=[1, 2], pad_type="valid", ceil_mode=True),
            [row],
            [[[[[2, 8, 16]]]]],
            label="ceil",
        ),
        Case("avg_pool", lambda x: mb.avg_pool(x=x, **sizes, pad_type="valid"), [row], [sums([3, 3], 3, 2, 0, 2)], label="valid"),
        Case("avg_pool", lambda x: mb.avg_pool(x=x, **sizes, **pads), [row], [sums([3, 3, 3], 3, 2, 1, 3)], label="zeros count"),
        Case(
            "avg_pool",
            lambda x: mb.avg_pool(x=x, **sizes, **pads, exclude_padding_from_average=True),
            [row],
            [sums([2, 3, 2], 3, 2, 1, 3)],
            label="zeros do not count",
        ),
        Case(
            "avg_pool",
            lambda x: mb.avg_pool(x=x, kernel_sizes=[1, 2], strides=[1, 2], pad_type="same", exclude_padding_from_average=True),
            [row],
            [sums([2, 2, 1], 2, 2, 0, 3)],
            label="same",
        ),
        # 0 1 2 4 8 16 0, the two zeros being padding.
        Case(
            "avg_pool",
            lambda x: mb.avg_pool(x=x, kernel_sizes=[1, 4], strides=[1, 3], **pads, ceil_mode=True),
            [row],
            [sums([4, 4], 4, 3, 1, 2)],
            label="ceil 1",
        ),
        Case(
            "avg_pool",
            lambda x: mb.avg_pool(x=x, kernel_sizes=[1, 3], strides=[1, 3], **pads, ceil_mode=True),
            [row],
            [sums([3, 3], 3, 3, 1, 2)],
            label="ceil, none begins in the padding",
        ),
        Case(
            "avg_pool",
            lambda x: mb.avg_pool(x=x, kernel_sizes=[1, 4], strides=[1, 2], **pads, ceil_mode=True),
            [row],
            [sums([4, 4, 3], 4, 2, 1, 3)],
            label="ceil, what lies beyond the padding does not count",
        ),
    ]


def _resizes() -> list[Case]:
    line = f32([[[[3, 7]]]])  # the reference's example: two pixels, sampled at five and at six places
    modes = {
        "UNALIGN_CORNERS": ([0, 0.1, 0.5, 0.9, 1], [0, 0, 1 / 3, 2 / 3, 1, 1]),
        "STRICT_ALIGN_CORNERS": ([0, 0.25, 0.5, 0.75, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        "ALIGN_CORNERS": ([0, 0.25, 0.5, 0.75, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        "DEFAULT": ([0, 0.4, 0.8, 1, 1], [0, 1 / 3, 2 / 3, 1, 1, 1]),
        "OFFSET_CORNERS": ([0.1, 0.3, 0.5, 0.7, 0.9], [1 / 12, 0.25, 5 / 12, 7 / 12, 0.75, 11 / 12]),
    }
    cases = [
        Case(
            "resize_bilinear",
            lambda x, mode=mode, places=places: mb.resize_bilinear(x=x, target_size_height=1, target_size_width=len(places), sampling_mode=mode),
            [line],
            [[[[lerp([3, 7], places)]]]],
            label=f"{mode} {len(places)}",
        )
        for mode, both in modes.items()
        for places in both
    ]
    once = f32([1, 2, 5])[None, None, None]
    cases += [
        Case(
            "resize_bilinear",
            lambda x, mode=mode: mb.resize_bilinear(x=x, target_size_height=1, target_size_width=1, sampling_mode=mode),
            [once],
            [[[[[value]]]]],
            label=f"{mode} 1",
        )
        for mode, value in (("ALIGN_CORNERS", 2), ("STRICT_ALIGN_CORNERS", 1), ("DEFAULT", 1), ("UNALIGN_CORNERS", 2))
    ]
    scaled = {"scale_factor_height": 2, "scale_factor_width": 2}
    smooth = f32([[0, 0.25, 0.75, 1], [2.5, 2.75, 3.25, 3.5], [7.5, 7.75, 8.25, 8.5], [10, 10.25, 10.75, 11]])
    third = np.arange(4) / 3
    tall = f32([0, 10, 20])[None, None, :, None]
    return [
        *cases,
        Case(
            "upsample_bilinear", lambda x: mb.upsample_bilinear(x=x, **scaled, align_corners=False), [GRID], [smooth[None, None]], label="half pixels"
        ),
        Case(
            "upsample_bilinear", lambda x: mb.upsample_bilinear(x=x, **scaled), [GRID], [(10 * third[:, None] + third)[None, None]], label="corners"
        ),
        Case(
            "upsample_bilinear",
            lambda x: mb.upsample_bilinear(x=x, **scaled, align_corners=False, half_pixel_centers=False),
            [GRID],
            [(10 * f32([0, 0.5, 1, 1])[:, None] + f32([0, 0.5, 1, 1]))[None, None]],
            label="neither",
        ),
        # 3 * 1.5 = 4.5 is floored to 4, and the spacing is 3/4 then, not 1/1.5.
        Case(
            "upsample_bilinear",
            lambda x: mb.upsample_bilinear(x=x, scale_factor_height=1.5, scale_factor_width=1.0, align_corners=False),
            [tall],
            [lerp([0, 10, 20], [-0.125, 0.625, 1.375, 2.125])[None, None, :, None]],
            label="recomputed scale",
        ),
        Case(
            "upsample_nearest_neighbor",
            lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=2, scale_factor_width=3),
            [GRID],
            [f32([[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], [10, 10, 10, 11, 11, 11], [10, 10, 10, 11, 11, 11]])[None, None]],
        ),
        Case(
            "resize_nearest_neighbor",
            lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=5, target_size_width=2),
            [tall.repeat(2, 3)],
            [tall[:, :, [0, 0, 1, 1, 2]].repeat(2, 3)],
        ),
        # A picture of the row 0, 10, 20: between pixels, at the border, beyond it. Half a pixel beyond is -4/3 where corners are edges, -1.5 where they are pixels.
        *(
            Case(
                "resample",
                lambda x, places=places, options=options: resampled(x, [[place, 0] for place in places], **options),
                [f32([0, 10, 20])[None, None, None]],
                [[[[expected]]]],
                witness=False,
                label=" ".join(str(value) for value in options.values()),
            )
            for options, places, expected in (
                ({"padding_mode": "constant"}, [0, 1 / 3, 2 / 3, 1], [10, 15, 20, 10]),
                ({"padding_mode": "border"}, [0, 1 / 3, 1, 3], [10, 15, 20, 20]),
                ({"padding_mode": "symmetric"}, [1, 4 / 3, 2, -4 / 3], [20, 20, 10, 0]),
                ({"padding_mode": "reflection", "align_corners": True}, [0.5, 1, 1.5, -1.5], [15, 20, 15, 5]),
                ({"padding_mode": "constant", "align_corners": True}, [0.5, 1, 1.5, 2], [15, 20, 10, 0]),
                ({"padding_mode": "border", "sampling_mode": "nearest"}, [0.2, 0.5, 1], [10, 20, 20]),
            )
        ),
        Case("crop", lambda x: mb.crop(x=x, crop_height=[1, 2], crop_width=[0, 3]), [X], [X[:, :, 1:4, :4]]),
    ]


def _shapes() -> list[Case]:
    x, long = counting(2, 3, 4), counting(1, 1, 4, 4)
    a, b = f32([[1, 2], [3, 4], [5, 6]]), f32([[7, 8], [9, 10], [11, 12]])
    shuffled = f32([[[[0, 4, 1, 5], [8, 12, 9, 13], [2, 6, 3, 7], [10, 14, 11, 15]]]])
    mirrored = x[:, [2, 1, 0, 1, 2, 1]][:, :, [1, 0, 1, 2, 3]]

    return [
        Case("concat", lambda p, q: mb.concat(values=(p, q), axis=0), [a, b], [np.vstack([a, b])]),
        Case("concat", lambda p, q: mb.concat(values=(p, q), axis=-1), [a, b], [np.hstack([a, b])], label="last axis"),
        Case(
            "concat",
            lambda p, q: mb.concat(values=(p, q), axis=0, interleave=True),
            [a, b],
            [[[1, 2], [7, 8], [3, 4], [9, 10], [5, 6], [11, 12]]],
            witness=False,  # coremltools' own evaluation forgets to interleave
            label="interleave",
        ),
        Case("split", lambda v: mb.split(x=v, num_splits=2, axis=-1), [x], [x[..., :2], x[..., 2:]]),
        Case("split", lambda v: mb.split(x=v, split_sizes=[1, 2], axis=1), [x], [x[:, :1], x[:, 1:]], label="sizes"),
        Case("stack", lambda p, q: mb.stack(values=(p, q), axis=1), [a, b], [[[[1, 2], [7, 8]], [[3, 4], [9, 10]], [[5, 6], [11, 12]]]]),
        Case("slice_by_index", lambda v: mb.slice_by_index(x=v, begin=[0, 1, -3], end=[1, 3, -1]), [x], [x[0:1, 1:3, 1:3]], label="negative"),
        Case(
            "slice_by_index",
            lambda v: mb.slice_by_index(
                x=v, begin=[1, 0, 3], end=[0, 0, 0], stride=[1, 2, -2], begin_mask=[False, True, False], end_mask=[True, True, True]
            ),
            [x],
            [x[1:, ::2, 3::-2]],
            label="masks, strides",
        ),
        Case(
            "slice_by_index",
            lambda v: mb.slice_by_index(x=v, begin=[0, 0, 0], end=[0, 0, 0], stride=[1, 1, -1], begin_mask=[True] * 3, end_mask=[True] * 3),
            [x],
            [x[:, :, ::-1]],
            label="backwards",
        ),
        Case(
            "slice_by_index",
            lambda v: mb.slice_by_index(x=v, begin=[-1, 0, 1], end=[0, 3, 4], squeeze_mask=[True, False, False]),
            [x],
            [x[-1, :, 1:]],
            label="squeeze",
        ),
        Case(
            "slice_by_index",
            lambda v: mb.slice_by_index(x=v, begin=[1, 0, 2], end=[9, 9, 9], begin_mask=[True, False, False], squeeze_mask=[True, False, True]),
            [x],
            [x[0, :, 2]],
            label="squeeze and begin masked",
        ),
        Case("slice_by_size", lambda v: mb.slice_by_size(x=v, begin=[0, 1, -2], size=[2, -1, -1]), [x], [x[:, 1:, 2:]]),
        Case("pad", lambda v: mb.pad(x=v, pad=[1, 0, 0, 2], constant_val=7.0), [x], [np.pad(x, ((0, 0), (1, 0), (0, 2)), constant_values=7)]),
        Case("pad", lambda v: mb.pad(x=v, pad=[2, 1, 1, 0], mode="reflect"), [x], [mirrored], label="reflect"),
        Case(
            "pad",
            lambda v: mb.pad(x=v, pad=[0, 0, 0, 2, 3, 0], mode="replicate"),
            [x],
            [x[:, [0, 1, 2, 2, 2]][:, :, [0, 0, 0, 0, 1, 2, 3]]],
            label="replicate",
        ),
        Case("pad", lambda v: mb.pad(x=v, pad=[1, 1, 0, 0, 0, 0], mode="reflect"), [x], [x[[1, 0, 1, 0]]], label="reflect, outermost"),
        Case("reshape", lambda v: mb.reshape(x=v, shape=[4, -1]), [x], [x.reshape(4, 6)]),
        Case("reshape", lambda v: mb.reshape(x=v, shape=[-1, 0]), [x], [x.reshape(6, 4)], label="0 counts from the right"),
        Case("reshape", lambda v: mb.reshape(x=v, shape=[1, 0, -1, 0]), [counting(2, 50)], [counting(1, 1, 2, 50)], label="0 beyond the left"),
        Case("expand_dims", lambda v: mb.expand_dims(x=v, axes=[0, -1]), [a], [a.reshape(1, 3, 2, 1)]),
        Case("expand_dims", lambda v: mb.expand_dims(x=v, axes=[-2, 1]), [a], [a.reshape(3, 1, 1, 2)], label="between"),
        Case("squeeze", lambda v: mb.squeeze(x=v), [a.reshape(1, 3, 1, 2)], [a]),
        Case(
            "squeeze", lambda v: mb.squeeze(x=v, axes=[0, 1]), [a.reshape(1, 3, 1, 2)], [a.reshape(3, 1, 2)], witness=False, label="longer sides stay"
        ),
        Case("transpose", lambda v: mb.transpose(x=v, perm=[2, 0, 1]), [x], [np.moveaxis(x, 2, 0)]),
        Case("tile", lambda v: mb.tile(x=v, reps=[1, 2]), [a], [np.hstack([a, a])]),
        Case("gather", lambda v: mb.gather(x=v, indices=[2, 0], axis=1), [x], [x[:, [2, 0]]]),
        Case("gather", lambda v: mb.gather(x=v, indices=np.int32([[0, 3], [1, 1]]), axis=-1), [x], [x[:, :, [[0, 3], [1, 1]]]], label="matrix"),
        Case("gather", lambda v: mb.gather(x=v, indices=np.int32(1), axis=0), [x], [x[1]], label="one"),
        Case(
            "scatter",
            lambda v: mb.scatter(data=v, indices=np.int32([1, 0]), updates=f32([[10, 20], [30, 40]]), axis=0),
            [a[:2]],
            [a[:2] + f32([[30, 40], [10, 20]])],
        ),
        Case(
            "scatter_along_axis",
            lambda v: mb.scatter_along_axis(data=v, indices=np.int32([[1], [0]]), updates=f32([[9], [8]]), axis=1, mode="update"),
            [f32([[1, 2], [3, 4]])],
            [[[1, 9], [8, 4]]],
        ),
        Case("gather_along_axis", lambda v: mb.gather_along_axis(x=v, indices=np.int32([[1, 0], [2, 2]]), axis=0), [a], [[[3, 2], [5, 6]]]),
        Case("topk", lambda v: mb.topk(x=v, k=2)[0], [x], [np.sort(x)[..., :1:-1]]),
        Case("topk", lambda v: whole(mb.topk(x=v, k=2, axis=1, ascending=True)[1]), [x], [np.argsort(x, 1)[:, :2]], label="places"),
        Case("reduce_argmax", lambda v: whole(mb.reduce_argmax(x=v, axis=1)), [x], [np.argmax(x, 1)]),
        Case("reduce_argmax", lambda v: whole(mb.reduce_argmax(x=v, keep_dims=True)), [x], [np.argmax(x, -1)[..., None]], label="kept"),
        Case("reduce_argmin", lambda v: whole(mb.reduce_argmin(x=v, axis=0)), [f32([[3, -1, 2], [-4, 0, 5]])], [[1, 0, 0]]),
        Case("reduce_argmin", lambda v: whole(mb.reduce_argmin(x=v, keep_dims=True)), [f32([[3, -1, 2], [-4, 0, 5]])], [[[1], [0]]], label="kept"),
        Case("fill", lambda v: mb.add(x=v, y=mb.fill(shape=[3, 2], value=2.5)), [a], [a + 2.5]),
        Case("reverse", lambda v: mb.reverse(x=v, axes=[-1]), [a], [a[:, ::-1]]),
        Case("reverse", lambda v: mb.reverse(x=v), [a], [a[::-1, ::-1]], label="all"),
        Case("shape", lambda v: whole(mb.shape(x=v)), [x], [[2, 3, 4]]),
        Case("identity", lambda v: mb.identity(x=v), [a], [a]),
        Case("pixel_shuffle", lambda v: mb.pixel_shuffle(x=v, upscale_factor=2), [counting(1, 4, 2, 2)], [shuffled]),
        Case("pixel_unshuffle", lambda v: mb.pixel_unshuffle(x=v, downscale_factor=np.uint32(2)), [shuffled], [counting(1, 4, 2, 2)]),
        Case(
            "pixel_unshuffle",
            lambda v: mb.pixel_unshuffle(x=v, downscale_factor=np.uint32(2)),
            [long],
            [long.reshape(2, 2, 2, 2).transpose(1, 3, 0, 2).reshape(1, 4, 2, 2)],
            label="by axes",
        ),
    ]


def _products() -> list[Case]:
    a, b = f32([[1, 2], [3, 4]]), f32([[5, 6], [7, 8]])
    many, more = noise(2, 3, 4), noise(3, 2, 5, 4, seed=1)
    q, k, v = noise(1, 2, 3, 4), noise(1, 2, 5, 4, seed=1), noise(1, 2, 5, 6, seed=2)
    mask = f32([[0, 0, -1, 0, 2]]).repeat(3, 0)

    def attention(extra: Any) -> Array:
        scores = q.astype(np.float64) @ k.swapaxes(-1, -2) / 2 + extra
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True) @ v

    left, right = noise(1, 2, 3, 4), noise(1, 4, 3, 5, seed=1)
    together = np.stack([left[:, :, h] @ right[:, :, h] for h in range(3)], 2)
    hidden = np.where(np.arange(5) < 4, 0.0, -np.inf)
    return [
        Case("linear", lambda x: mb.linear(x=x, weight=b, bias=f32([100, 200])), [a], [[[117, 223], [139, 253]]]),
        Case("linear", lambda x: mb.linear(x=x, weight=b), [a], [[[17, 23], [39, 53]]], label="no bias"),
        Case("matmul", lambda x, y: mb.matmul(x=x, y=y), [a, b], [[[19, 22], [43, 50]]]),
        Case("matmul", lambda x, y: mb.matmul(x=x, y=y, transpose_x=True), [a, b], [[[26, 30], [38, 44]]], label="transpose_x"),
        Case("matmul", lambda x, y: mb.matmul(x=x, y=y, transpose_y=True), [a, b], [[[17, 23], [39, 53]]], label="transpose_y"),
        Case("matmul", lambda x, y: mb.matmul(x=x, y=y, transpose_y=True), [many, more], [many @ more.swapaxes(-1, -2)], label="broadcast"),
        Case("einsum", lambda x, y: mb.einsum(values=(x, y), equation="nchw,nwhu->nchu"), [left, right], [together]),
        Case(
            "einsum",
            lambda x, y: mb.einsum(values=(x, y), equation="chw,whr->chr"),
            [left[0, :, :1], right[0]],
            [np.stack([left[0, :, 0] @ right[0, :, h] for h in range(3)], 1)],
            label="broadcast",
        ),
        Case(
            "scaled_dot_product_attention",
            lambda x, y, z: mb.scaled_dot_product_attention(query=x, key=y, value=z),
            [q, k, v],
            [attention(0)],
            target="iOS18",
        ),
        Case(
            "scaled_dot_product_attention",
            lambda x, y, z: mb.scaled_dot_product_attention(query=x, key=y, value=z, attn_mask=mask),
            [q, k, v],
            [attention(mask)],
            target="iOS18",
            label="added",
        ),
        Case(
            "scaled_dot_product_attention",
            lambda x, y, z: mb.scaled_dot_product_attention(query=x, key=y, value=z, attn_mask=(hidden == 0)[None].repeat(3, 0)),
            [q, k, v],
            [attention(hidden)],
            target="iOS18",
            label="hidden",
        ),
    ]


def _activations() -> list[Case]:
    x = SIGNED
    wide = x.astype(np.float64)
    inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)
    channels = noise(1, 3, 2, 2)
    slopes = f32([0.1, 0.2, -0.5])
    soft = np.exp(X.astype(np.float64))
    return [
        Case("relu", lambda v: mb.relu(x=v), [x], [[0, 0, 0, 0, 0.25, 0.5, 1.5, 2.5, 7]]),
        Case("relu6", lambda v: mb.relu6(x=v), [x], [[0, 0, 0, 0, 0.25, 0.5, 1.5, 2.5, 6]]),
        Case("leaky_relu", lambda v: mb.leaky_relu(x=v, alpha=0.1), [x], [np.where(x < 0, x * f32(0.1), x)]),
        Case("elu", lambda v: mb.elu(x=v, alpha=2.0), [x], [np.where(wide > 0, wide, 2 * (np.exp(wide) - 1))]),
        Case("prelu", lambda v: mb.prelu(x=v, alpha=slopes), [channels], [np.where(channels > 0, channels, channels * slopes[:, None, None])]),
        Case("clamped_relu", lambda v: mb.clamped_relu(x=v, alpha=-4.0, beta=5.0), [x], [[5, 5, 2, 0, 0.25, 0.5, 1.5, 2.5, 5]]),
        Case("thresholded_relu", lambda v: mb.thresholded_relu(x=v, alpha=0.5), [x], [[0, 0, 0, 0, 0, 0.5, 1.5, 2.5, 7]]),
        Case("sigmoid", lambda v: mb.sigmoid(x=v), [x], [sigmoid(x)]),
        Case("sigmoid_hard", lambda v: mb.sigmoid_hard(x=v, alpha=0.5, beta=0.25), [x], [[0, 0, 0, 0.25, 0.375, 0.5, 1, 1, 1]]),
        Case("silu", lambda v: mb.silu(x=v), [x], [wide * sigmoid(x)]),
        Case("softplus", lambda v: mb.softplus(x=v), [np.append(x, f32(40))], [np.append(np.log1p(np.exp(wide)), 40)]),
        Case(
            "softplus_parametric",
            lambda v: mb.softplus_parametric(x=v, alpha=f32([0.5, 1, 2]), beta=f32([2, 1, 0.5])),
            [channels],
            [f32([0.5, 1, 2])[:, None, None] * np.log1p(np.exp(f32([2, 1, 0.5])[:, None, None] * channels))],
        ),
        Case("linear_activation", lambda v: mb.linear_activation(x=v, alpha=2.0, beta=0.5), [x], [2 * wide + 0.5]),
        Case("softsign", lambda v: mb.softsign(x=v), [x], [wide / (1 + abs(wide))]),
        Case("tanh", lambda v: mb.tanh(x=v), [x], [np.tanh(wide)]),
        Case("gelu", lambda v: mb.gelu(x=v), [x], [0.5 * wide * (1 + erf(wide / math.sqrt(2)))]),
        Case("gelu", lambda v: mb.gelu(x=v, mode="TANH_APPROXIMATION"), [x], [0.5 * wide * (1 + np.tanh(inner))], label="tanh"),
        Case("gelu", lambda v: mb.gelu(x=v, mode="SIGMOID_APPROXIMATION"), [x], [wide * sigmoid(1.702 * wide)], label="sigmoid"),
        Case("softmax", lambda v: mb.softmax(x=v, axis=1), [X], [soft / soft.sum(1, keepdims=True)]),
        Case("softmax", lambda v: mb.softmax(x=v), [X], [soft / soft.sum(-1, keepdims=True)], label="last axis"),
    ]


def _elementwise() -> list[Case]:
    x, (p, q) = SIGNED, PAIR
    wide = x.astype(np.float64)
    yes, no = f32([1, 1, 0, 0]), f32([1, 0, 1, 0])

    def both(kind: str, expected: Any, **options: Any) -> Case:
        return Case(kind, lambda a, b: getattr(mb, kind)(x=a, y=b), [p, q], [expected], **options)

    def compared(kind: str, expected: Sequence[int]) -> Case:
        return Case(kind, lambda a, b: whole(getattr(mb, kind)(x=a, y=b)), [f32([1, 2, 2, 3]), f32([2, 2, 1, 3])], [expected])

    def logical(kind: str, expected: Sequence[int]) -> Case:
        return Case(kind, lambda a, b: whole(getattr(mb, kind)(x=mb.cast(x=a, dtype="bool"), y=mb.cast(x=b, dtype="bool"))), [yes, no], [expected])

    def one(kind: str, expected: Any, given: Array = x, **options: Any) -> Case:
        return Case(kind, lambda v: getattr(mb, kind)(x=v), [given], [expected], **options)

    return [
        one("abs", [3, 1.5, 0.5, 0, 0.25, 0.5, 1.5, 2.5, 7]),
        one("ceil", [-3, -1, 0, 0, 1, 1, 2, 3, 7]),
        one("floor", [-3, -2, -1, 0, 0, 0, 1, 2, 7]),
        one("round", [-3, -2, 0, 0, 0, 0, 2, 2, 7]),
        one("sign", [-1, -1, -1, 0, 1, 1, 1, 1, 1]),
        one("square", [9, 2.25, 0.25, 0, 0.0625, 0.25, 2.25, 6.25, 49]),
        one("exp2", [0.125, 2**-1.5, 2**-0.5, 1, 2**0.25, 2**0.5, 2**1.5, 2**2.5, 128], tolerance=2e-5),
        one("cos", np.cos(wide)),
        one("sin", np.sin(wide)),
        one("tan", [0, 1, -1, 3**0.5], f32([0, math.pi / 4, -math.pi / 4, math.pi / 3]), tolerance=2e-5),
        one("acos", [math.pi, math.pi / 2, math.pi / 3, 0], f32([-1, 0, 0.5, 1])),
        one("asin", [-math.pi / 2, 0, math.pi / 6, math.pi / 2], f32([-1, 0, 0.5, 1])),
        one("atan", [-math.pi / 4, 0, math.pi / 3, math.pi / 2], f32([-1, 0, 3**0.5, np.inf])),
        one("sinh", [-3 / 4, 0, 3 / 4, 4 / 3], f32([-math.log(2), 0, math.log(2), math.log(3)])),
        one("cosh", [5 / 4, 1, 5 / 4, 5 / 3], f32([-math.log(2), 0, math.log(2), math.log(3)])),
        one("atanh", [-math.log(3) / 2, 0, math.log(3) / 2, math.log(2)], f32([-0.5, 0, 0.5, 0.6])),
        one("erf", erf(x)),
        one("exp", np.exp(wide), tolerance=2e-4),
        one("sqrt", [0, 1e-3, 0.5, 1, 3], POSITIVE),
        Case("clip", lambda v: mb.clip(x=v, alpha=-0.5, beta=1.5), [x], [[-0.5, -0.5, -0.5, 0, 0.25, 0.5, 1.5, 1.5, 1.5]]),
        Case("threshold", lambda v: mb.threshold(x=v, alpha=0.3), [x], [[0.3, 0.3, 0.3, 0.3, 0.3, 0.5, 1.5, 2.5, 7]]),
        # The small constants are added to the number itself; without one the reference's defaults hold: 1e-4, 1e-45, 1e-12.
        one("inverse", [1e4, 1 / 1.01e-4, 1 / 0.2501, 1 / 1.0001, 1 / 9.0001], POSITIVE, tolerance=2e-3),
        Case("inverse", lambda v: mb.inverse(x=v, epsilon=1.0), [POSITIVE], [[1, 1 / 1.000001, 0.8, 0.5, 0.1]], label="epsilon"),
        one("log", [math.log(2**-149), math.log(1e-6), math.log(0.25), 0, math.log(9)], POSITIVE, tolerance=2e-5),
        Case("log", lambda v: mb.log(x=v, epsilon=1.0), [POSITIVE], [[0, 1e-6, math.log(1.25), math.log(2), math.log(10)]], label="epsilon"),
        one("rsqrt", [1e6, 1e3, 2, 1, 1 / 3], POSITIVE, tolerance=0.2),
        Case("rsqrt", lambda v: mb.rsqrt(x=v, epsilon=0.75), [POSITIVE], [1 / np.sqrt(POSITIVE + 0.75)], label="epsilon"),
        both("add", [10, -4, 4, -10, 9, 0.75]),
        both("sub", [4, -10, 10, -4, 3, 0.25]),
        both("mul", [21, -21, -21, 21, 18, 0.125]),
        both("real_div", [7 / 3, -7 / 3, -7 / 3, 7 / 3, 2, 2]),
        both("floor_div", [2, -3, -3, 2, 2, 2]),
        both("mod", [1, 2, -2, -1, 0, 0]),
        both("maximum", [7, 3, 7, -3, 6, 0.5]),
        both("minimum", [3, -7, -3, -7, 3, 0.25]),
        both("pow", [343, -343, 1 / 343, -1 / 343, 216, 0.5**0.25], tolerance=1e-4),
        Case("sub", lambda a, b: mb.sub(x=a, y=b), [counting(2, 1, 3), counting(4, 1)], [counting(2, 1, 3) - counting(4, 1)], label="broadcast"),
        Case("mul", lambda a: mb.mul(x=a, y=2.0), [p], [p * 2], label="number"),
        compared("equal", [0, 1, 0, 1]),
        compared("not_equal", [1, 0, 1, 0]),
        compared("greater", [0, 0, 1, 0]),
        compared("greater_equal", [0, 1, 1, 1]),
        compared("less", [1, 0, 0, 0]),
        compared("less_equal", [1, 1, 0, 1]),
        logical("logical_and", [1, 0, 0, 0]),
        logical("logical_or", [1, 1, 1, 0]),
        logical("logical_xor", [0, 1, 1, 0]),
        Case("logical_not", lambda a: whole(mb.logical_not(x=mb.cast(x=a, dtype="bool"))), [yes], [[0, 0, 1, 1]]),
        Case("select", lambda a, b: mb.select(cond=mb.greater(x=a, y=b), a=a, b=2.0), [p, q], [[7, 2, 7, 2, 6, 0.5]]),
        Case("cast", lambda a: whole(mb.cast(x=a, dtype="int32")), [x], [[-3, -1, 0, 0, 0, 0, 1, 2, 7]], label="cut off"),
        Case("cast", lambda a: whole(mb.cast(x=a, dtype="bool")), [x], [[1, 1, 1, 0, 1, 1, 1, 1, 1]], label="bool"),
        Case("cast", lambda a: whole(mb.cast(x=a, dtype="uint16")), [abs(x)], [[3, 1, 0, 0, 0, 0, 1, 2, 7]], label="uint16"),
    ]


def _reductions() -> list[Case]:
    x = noise(2, 3, 4)
    wide = x.astype(np.float64)
    functions: dict[str, Callable[..., Array]] = {
        "reduce_mean": np.mean,
        "reduce_sum": np.sum,
        "reduce_max": np.max,
        "reduce_min": np.min,
        "reduce_l1_norm": lambda v, **o: np.sum(abs(v), **o),
        "reduce_l2_norm": lambda v, **o: np.sqrt(np.sum(v**2, **o)),
        "reduce_sum_square": lambda v, **o: np.sum(v**2, **o),
    }
    logs = f32([[math.log(2), math.log(6), 100.0], [math.log(3), math.log(5), 100.0]])
    by_hand = [
        Case("cumsum", lambda v: mb.cumsum(x=v, axis=1), [f32([[1, -2, 3], [0.5, 4, 0]])], [[[1, -1, 2], [0.5, 4.5, 4.5]]]),
        Case(
            "cumsum",
            lambda v: mb.cumsum(x=v, axis=-1, exclusive=True, reverse=True),
            [f32([[1, -2, 3], [0.5, 4, 0]])],
            [[[1, 3, 0], [4, 0, 0]]],
            witness=False,
            label="from behind",
        ),
        Case("reduce_prod", lambda v: mb.reduce_prod(x=v, axes=[0]), [f32([[1, -2, 3], [0.5, 4, 0]])], [[0.5, -8, 0]]),
        Case("reduce_prod", lambda v: mb.reduce_prod(x=v, axes=[-1, 0], keep_dims=True), [f32([[1, -2], [0.5, 4]])], [[[-4]]], label="kept"),
        Case("reduce_prod", lambda v: mb.expand_dims(x=mb.reduce_prod(x=v), axes=[0]), [f32([[1, -2], [0.5, 4]])], [[-4]], label="all"),
        Case("reduce_log_sum", lambda v: mb.reduce_log_sum(x=v, axes=[1]), [f32([[1, 2, 5], [0.25, 0.5, 0.25]])], [[math.log(8), 0]]),
        Case("reduce_log_sum_exp", lambda v: mb.reduce_log_sum_exp(x=v, axes=[0]), [logs], [[math.log(5), math.log(11), 100 + math.log(2)]]),
    ]
    return by_hand + [
        case
        for kind, function in functions.items()
        for case in (
            Case(kind, lambda v, k=kind: getattr(mb, k)(x=v, axes=[-1, 0], keep_dims=True), [x], [function(wide, axis=(0, 2), keepdims=True)], 2e-5),
            Case(kind, lambda v, k=kind: getattr(mb, k)(x=v, axes=[1]), [x], [function(wide, axis=(1,))], 2e-5, label="dropped"),
            Case(kind, lambda v, k=kind: mb.expand_dims(x=getattr(mb, k)(x=v), axes=[0]), [x], [[function(wide)]], 2e-5, label="all"),
        )
    ]


def _norms() -> list[Case]:
    x = noise(2, 3, 4, 5)
    gamma, beta, mean, variance = (noise(3, seed=s, low=0.5) for s in (1, 2, 3, 4))
    at = (slice(None), None, None)
    scale, shift = noise(5, seed=5), noise(5, seed=6)
    deep, inner = noise(3, 5, seed=7), noise(3, 5, seed=8)
    scored = (x - mean[at]) / np.sqrt(variance[at].astype(np.float64) + 1e-5)
    flat = np.sqrt((x.astype(np.float64) ** 2).sum((1, 2, 3), keepdims=True) + 1e-6)
    return [
        Case("batch_norm", lambda v: mb.batch_norm(x=v, mean=mean, variance=variance), [x], [scored]),
        Case(
            "batch_norm",
            lambda v: mb.batch_norm(x=v, mean=mean, variance=variance, gamma=gamma, beta=beta, epsilon=0.5),
            [x],
            [(x - mean[at]) / np.sqrt(variance[at] + 0.5) * gamma[at] + beta[at]],
            label="gamma, beta, epsilon",
        ),
        Case("instance_norm", lambda v: mb.instance_norm(x=v), [x], [normalized(x, (2, 3), 1e-5)], 1e-5),
        Case(
            "instance_norm",
            lambda v: mb.instance_norm(x=v, gamma=gamma, beta=beta, epsilon=0.5),
            [x],
            [normalized(x, (2, 3), 0.5) * gamma[at] + beta[at]],
            label="gamma, beta, epsilon",
        ),
        Case("layer_norm", lambda v: mb.layer_norm(x=v, axes=[0, 1, 2, 3]), [x], [normalized(x, (0, 1, 2, 3), 1e-5)], 1e-5, label="all axes"),
        Case(
            "layer_norm",
            lambda v: mb.layer_norm(x=v, axes=[-1], gamma=scale, beta=shift, epsilon=0.5),
            [x],
            [normalized(x, (3,), 0.5) * scale + shift],
            label="gamma, beta, epsilon",
        ),
        Case(
            "layer_norm",
            lambda v: mb.layer_norm(x=v, axes=[1, 3], gamma=deep, beta=inner),
            [x],
            [normalized(x, (1, 3), 1e-5) * deep[:, None] + inner[:, None]],
            1e-5,
            label="two axes",
        ),
        Case("l2_norm", lambda v: mb.l2_norm(x=v), [x], [x / flat]),
        Case(
            "l2_norm", lambda v: mb.l2_norm(x=v, epsilon=9.0), [x[0]], [x[0] / np.sqrt((x[0].astype(np.float64) ** 2).sum() + 9)], label="three axes"
        ),
    ]


def _quantized() -> list[Case]:
    x = f32([-300, -1.5, -0.75, -0.25, 0, 0.25, 0.75, 1.25, 300])
    two = f32([[-1, 0.26, 9], [-1, 0.26, 9]])
    levels = np.int8([[-128, 1, 127], [3, 4, 5]])
    return [
        # Halves go to the even neighbour; what the type cannot hold saturates.
        Case(
            "quantize", lambda v: whole(mb.quantize(input=v, scale=np.float32(0.5), output_dtype="int8")), [x], [[-128, -3, -2, 0, 0, 0, 2, 2, 127]]
        ),
        Case(
            "quantize",
            lambda v: whole(mb.quantize(input=v, scale=np.float32(0.5), zero_point=np.uint8(3), output_dtype="uint8")),
            [x],
            [[0, 0, 1, 3, 3, 3, 5, 5, 255]],
            label="zero point",
        ),
        Case(
            "quantize",
            lambda v: whole(mb.quantize(input=v, scale=f32([0.5, 0.1]), zero_point=np.int8([0, -1]), axis=-2, output_dtype="int8")),
            [two],
            [[[-2, 1, 18], [-11, 2, 89]]],
            label="per row",
        ),
        Case(
            "dequantize",
            lambda v: mb.add(x=v, y=mb.dequantize(input=levels, scale=np.float32(0.5))),
            [two * 0],
            [[[-64, 0.5, 63.5], [1.5, 2, 2.5]]],
            witness=False,
        ),
        Case(
            "dequantize",
            lambda v: mb.add(x=v, y=mb.dequantize(input=levels, scale=f32([1, 2, 4]), zero_point=np.int8([1, -1, 0]), axis=1)),
            [two * 0],
            [[[-129, 4, 508], [2, 10, 20]]],
            witness=False,
            label="per column",
        ),
    ]


CASES = [*_conv(), *_pools(), *_resizes(), *_shapes(), *_products(), *_activations(), *_elementwise(), *_reductions(), *_norms(), *_quantized()]


def several(results: Any) -> list[Any]:
    return list(results) if isinstance(results, list | tuple) else [results]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each case gives: all of one system's cases in one package, read back and executed once in each mode."""
    folder, found = tmp_path_factory.mktemp("operators"), {}

    def build_all(cases: Sequence[Case], counts: list[int], *inputs: Any) -> list[Any]:
        outputs, position = [], 0
        for case in cases:
            given = inputs[position : position + len(case.inputs)]
            position += len(case.inputs)
            try:
                made = several(case.build(*given))
            except Exception as error:
                error.add_note(str(case))
                raise
            counts.append(len(made))
            outputs += made
        return outputs

    for target in ("iOS17", "iOS18"):
        cases, counts = [case for case in CASES if case.target == target], []
        inputs = [x for case in cases for x in case.inputs]
        program = written(lambda *given, c=cases, n=counts: build_all(c, n, *given), inputs, target)
        file = save(program, folder / f"{target}.mlpackage", target=target)
        exact, faithful = (evaluated(file, inputs, faithful=mode) for mode in (False, True))
        kinds = {operation.kind for operation in Program(file).operations}
        position = 0
        for case, count in zip(cases, counts, strict=True):
            assert case.kind in kinds
            found[case] = exact[position : position + count], faithful[position : position + count]
            position += count
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operator(case, results):
    exact, faithful = results[case]
    assert len(exact) == len(case.expected)
    for result, same, expected in zip(exact, faithful, case.expected, strict=True):
        assert result.shape == np.shape(expected)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=case.tolerance)
        np.testing.assert_array_equal(result, same, err_msg="nothing here is fp16, so the faithful mode changes nothing")


def test_no_operator_is_left_without_a_case():
    assert sorted({case.kind for case in CASES}) == sorted(OPERATORS)


def test_defaults_that_the_builder_always_writes_out():
    """A file from another writer may leave them out."""
    x = noise(2, 3, 4, 5)
    for kind, expected in (("layer_norm", normalized(x, (0, 1, 2, 3), 1e-5)), ("instance_norm", normalized(x, (2, 3), 1e-5))):
        np.testing.assert_allclose(OPERATORS[kind](torch.from_numpy(x)), expected, atol=1e-5)
    for kind, epsilon in (("inverse", 1e-4), ("log", 2.0**-149), ("rsqrt", 1e-12)):
        expected = {"inverse": 1 / epsilon, "log": math.log(epsilon), "rsqrt": epsilon**-0.5}[kind]
        assert float(OPERATORS[kind](torch.zeros(1))) == pytest.approx(expected)


WITHOUT = {"conv", "conv_transpose", "max_pool", "avg_pool"}
"""Among those for which coremltools computes shapes only."""


def test_coremltools_own_numpy_agrees():
    """Where an operator's definition can evaluate constants, it gives what was worked out here."""
    agreed = set()

    def build(unused: Any) -> Any:
        for case in CASES:
            if not case.witness or case.target != target:
                continue
            for var, expected in zip(several(case.build(*(x.copy() for x in case.inputs))), case.expected, strict=True):
                if var.val is not None:
                    np.testing.assert_allclose(np.asarray(var.val, np.float64), expected, rtol=1e-5, atol=case.tolerance, err_msg=str(case))
                    agreed.add(case.kind)
        return mb.relu(x=unused)

    for target in ("iOS17", "iOS18"):
        written(build, [f32([0])], target)
    assert len(agreed) >= 60 and not agreed & WITHOUT


# Constants that Core ML unpacks ------------------------------------------------------------------------------------------------------------------------------


def _packed(levels: Array, bits: int) -> Array:
    """Little-endian bit fields, written bit by bit."""
    stream = [int(level) >> bit & 1 for level in levels.flatten() for bit in range(bits)]
    stream += [0] * (-len(stream) % 8)
    return np.uint8([sum(bit << i for i, bit in enumerate(stream[start : start + 8])) for start in range(0, len(stream), 8)])


def _levels(bits: int, *shape: int, signed: bool = False) -> Array:
    low = -(2 ** (bits - 1)) if signed else 0
    return np.random.default_rng(bits).integers(low, low + 2**bits, shape)


def _small(kind: str, levels: Array) -> Array:
    """As coremltools carries integers of less than 8 bits."""
    return levels.astype(types.nptype_from_builtin(types.string_to_builtin(kind)))


SCALES = noise(4, 1, 2, 1, low=0.01, high=0.1).astype(np.float16)
MASK = np.random.default_rng(0).integers(0, 2, (3, 4))
KEPT = noise(int(MASK.sum())).astype(np.float16)

PACKED: dict[str, tuple[str, Callable[[], Any]]] = {
    "affine": (
        "iOS17",
        lambda: mb.constexpr_affine_dequantize(
            quantized_data=_levels(8, 4, 3, 2, 2).astype(np.uint8), zero_point=np.uint8([0, 3, 128, 255]), scale=noise(4, low=0.01), axis=np.int32(0)
        ),
    ),
    "affine, last axis, fp16": (
        "iOS17",
        lambda: mb.constexpr_affine_dequantize(
            quantized_data=_levels(8, 2, 5, signed=True).astype(np.int8),
            zero_point=np.int8(-3),
            scale=noise(5, low=0.01).astype(np.float16),
            axis=np.int32(-1),
        ),
    ),
    **{
        f"packed table of {bits} bits": (
            "iOS17",
            lambda bits=bits: mb.constexpr_lut_to_dense(
                indices=_packed(_levels(bits, 3, 5, 3), bits), lut=noise(2**bits, seed=bits).astype(np.float16), shape=np.uint32([3, 5, 3])
            ),
        )
        for bits in (1, 2, 4, 6, 8)
    },
    "packed mask": (
        "iOS17",
        lambda: mb.constexpr_sparse_to_dense(nonzero_data=KEPT, mask=_packed(MASK, 1), shape=np.uint32([3, 4])),
    ),
    "cast": ("iOS17", lambda: mb.constexpr_cast(source_val=noise(2, 3).astype(np.float16), output_dtype="fp32")),
    "blocks of int8": (
        "iOS18",
        lambda: mb.constexpr_blockwise_shift_scale(data=_levels(8, 4, 3, 4, 1, signed=True).astype(np.int8), scale=SCALES),
    ),
    "blocks of uint8, offsets": (
        "iOS18",
        lambda: mb.constexpr_blockwise_shift_scale(
            data=_levels(8, 8, 3, 4, 1).astype(np.uint8), scale=SCALES, offset=_levels(8, 4, 1, 2, 1).astype(np.uint8)
        ),
    ),
    "blocks of int4": (
        "iOS18",
        lambda: mb.constexpr_blockwise_shift_scale(data=_small("int4", _levels(4, 4, 6, 4, 1, signed=True)), scale=SCALES),
    ),
    "blocks of uint4, offsets": (
        "iOS18",
        lambda: mb.constexpr_blockwise_shift_scale(
            data=_small("uint4", _levels(4, 4, 6, 4, 1)), scale=SCALES, offset=_small("uint4", _levels(4, 4, 1, 2, 1))
        ),
    ),
    **{
        f"grouped tables of {bits} bits": (
            "iOS18",
            lambda bits=bits: mb.constexpr_lut_to_dense(
                indices=_small(f"uint{bits}", _levels(bits, 6, 4)), lut=noise(3, 2, 2**bits, 1, seed=bits).astype(np.float16)
            ),
        )
        for bits in (1, 2, 3, 4, 6, 8)
    },
    "mask": ("iOS18", lambda: mb.constexpr_sparse_to_dense(nonzero_data=KEPT, mask=_small("uint1", MASK))),
}


@pytest.mark.parametrize("name", PACKED)
def test_packed_constants(name, tmp_path):
    """From the file on disk, against coremltools' own unpacking."""
    target, build = PACKED[name]

    def program(x: Any) -> Any:
        constant = build()
        return mb.add(x=x, y=constant if constant.dtype == x.dtype else mb.cast(x=constant, dtype="fp32"))

    file = save(written(program, [f32(0.0)[None]], target), tmp_path / "m.mlpackage", target=target)
    (operation,) = [o for o in package.load(file)[1].functions["main"].operations if o.op_type.startswith("constexpr_")]
    expected = operation.materialized_val_inference()
    assert np.array_equal(constants.value_of(operation), expected) and len(np.unique(expected)) > 1
    assert np.array_equal(evaluated(file, [f32(0.0)[None]])[0], expected.astype(np.float32))


# Whole networks -------------------------------------------------------------------------------------------------------------------------------------------


def photograph(side: int, channels: int = 3) -> torch.Tensor:
    """A tile of a real photograph, which comes with the tests' calibration pictures."""
    from edgekit.cli.sets import test_set

    _, picture = next(iter(test_set().pictures))
    return picture[:, :channels, 64 : 64 + side, 64 : 64 + side].contiguous()


@pytest.mark.parametrize("name", models.names())
def test_built_in_models(name, tmp_path):
    """As the pipeline lowers them; 64x64."""
    enhancer = models.load(name)
    assert 64 % enhancer.multiple_of == 0
    large = photograph(64 * enhancer.scale)
    example = tuple(t[..., :64, :64].contiguous() for t in enhancer.degrade(large))
    graph = rewrite.apply(enhancer.module, example, CoreML.rewrites).module
    with torch.no_grad():
        expected = graph(*example)
    exact = Program(CoreML().lower(graph, example, None, [], tmp_path / "fp32.mlpackage").file)(example, faithful=False)[0]
    half = Program(CoreML().lower(graph, example, Quantize("fp16"), [], tmp_path / "fp16.mlpackage").file)
    assert float((exact - expected).abs().max()) <= 1e-4
    weights_only, faithful = (psnr(half(example, faithful=mode)[0], expected) for mode in (False, True))
    assert 60 <= faithful < weights_only


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 24, 1)

    def forward(self, x):
        q, k, v = self.mix(x).flatten(2).unflatten(1, (3, 2, 4)).unbind(1)
        return ((q.transpose(-1, -2) @ k / 2).softmax(-1) @ v.transpose(-1, -2)).transpose(-1, -2).reshape(x.shape[0], 8, *x.shape[2:])


class FusedAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(3), nn.Linear(3, 24)

    def forward(self, x):
        q, k, v = self.mix(self.norm(x.flatten(2).transpose(1, 2))).chunk(3, -1)
        return nn.functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 1), nn.Hardsigmoid())

    def forward(self, x):
        return x * self.gate(x)


class Pieces(nn.Module):
    def forward(self, x):
        a, b = x.chunk(2, 2)
        c, d = x.split([5, x.shape[3] - 5], 3)
        mixed = torch.cat([a, b], 1)
        shuffled = mixed.view(1, 2, 3, *mixed.shape[2:]).transpose(1, 2).reshape(mixed.shape)
        return torch.cat([shuffled.mean(1, keepdim=True), torch.cat([c, d], 3).roll((2, -3), (2, 3))[:, :1, ::2]], 1)


class GlobalStatistics(nn.Module):
    def forward(self, x):
        mean, deviation = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True)
        return (x - mean) / (deviation + 1e-3) + x.amax(1, keepdim=True) - x.square().sum((2, 3), keepdim=True).rsqrt()


class Pointwise(nn.Module):
    def forward(self, x):
        y = torch.exp(-x) + torch.log(x + 1) + torch.sqrt(x) + x.abs().pow(2.2) + torch.clamp(x, 0.2, 0.7) + torch.maximum(x, 1 - x) + torch.sin(x)
        return torch.where(y > 2, y, x / (y + 1)) + torch.floor(3 * x) + torch.remainder(x, 0.3)


def upsampled(**options: Any) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Upsample(**options))


def up(*arguments: int, **options: Any) -> nn.Module:
    return nn.ConvTranspose2d(3, 6, *arguments, **options)


def after(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), layer)


ZOO: dict[str, Callable[[], nn.Module]] = {
    "transposed 2": lambda: up(2, 2),
    "transposed 4, padding": lambda: up(4, 2, 1, bias=False),
    "transposed, output_padding": lambda: up(3, 2, 1, output_padding=1),
    "transposed, groups, dilation": lambda: up(3, 1, 2, groups=3, dilation=2),
    "transposed, unequal": lambda: up((3, 5), (2, 3), (1, 0)),
    "depthwise, strided, dilated": lambda: nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1, groups=3), nn.Conv2d(6, 4, 3, padding=2, dilation=2)),
    "instance norm": lambda: after(nn.InstanceNorm2d(8, affine=True)),
    "group norm": lambda: after(nn.GroupNorm(2, 8)),
    "batch norm": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)),
    "layer norm": lambda: nn.LayerNorm((3, 16, 20)),
    "reflection": lambda: nn.Sequential(nn.ReflectionPad2d((3, 1, 2, 4)), nn.Conv2d(3, 4, 3)),
    "replication": lambda: nn.Sequential(nn.ReplicationPad2d((3, 1, 2, 4)), nn.Conv2d(3, 4, 3)),
    "zeros": lambda: nn.Sequential(nn.ZeroPad2d((1, 0, 0, 3)), nn.Conv2d(3, 4, 3)),
    "bilinear 2": lambda: upsampled(scale_factor=2, mode="bilinear"),
    "bilinear, corners": lambda: upsampled(scale_factor=3, mode="bilinear", align_corners=True),
    "bilinear, size": lambda: upsampled(size=(20, 25), mode="bilinear", align_corners=True),
    "nearest 3": lambda: upsampled(scale_factor=3, mode="nearest"),
    "nearest, size": lambda: upsampled(size=(24, 31), mode="nearest"),
    "prelu": lambda: after(nn.PReLU(8, 0.3)),
    "leaky relu, elu, softplus": lambda: after(nn.Sequential(nn.LeakyReLU(0.2), nn.ELU(1.5), nn.Softplus())),
    "silu, gelu": lambda: after(nn.Sequential(nn.SiLU(), nn.GELU(), nn.GELU(approximate="tanh"))),
    "hard": lambda: after(nn.Sequential(nn.Hardswish(), nn.ReLU6(), nn.Hardsigmoid(), nn.Hardtanh())),
    "mish, tanh, sigmoid": lambda: after(nn.Sequential(nn.Mish(), nn.Tanh(), nn.Sigmoid())),
    "max pool": lambda: after(nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, ceil_mode=True))),
    "average pool": lambda: after(nn.Sequential(nn.AvgPool2d(3, 2, 1), nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False))),
    "adaptive pool": lambda: after(nn.AdaptiveAvgPool2d((4, 5))),
    "attention": Attention,
    "fused attention": FusedAttention,
    "pixel unshuffle": lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 16, 1), nn.PixelShuffle(4)),
    "squeeze and excite": SqueezeExcite,
    "pieces": Pieces,
    "statistics": GlobalStatistics,
    "pointwise": Pointwise,
}


class Zoo(nn.Module):
    """All side by side: one export and one conversion instead of forty."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.networks = nn.ModuleList(make() for make in ZOO.values())
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)

    def forward(self, x):
        return tuple(network(x) for network in self.networks)


@pytest.fixture(scope="module", params=["iOS17", "iOS18"])
def zoo(request, tmp_path_factory):
    """Name -> (expected, evaluated)."""
    network, example = Zoo().eval().requires_grad_(False), (photograph(20)[:, :, :16].contiguous(),)
    program = torch.export.export(network, example).run_decompositions({})
    file = save(program, tmp_path_factory.mktemp("zoo") / "m.mlpackage", target=request.param, passes=True)
    return dict(zip(ZOO, zip(network(*example), Program(file)(example, faithful=False), strict=True), strict=True))


@pytest.mark.parametrize("name", ZOO)
def test_zoo(zoo, name):
    expected, result = zoo[name]
    assert result.shape == expected.shape
    assert float((result - expected).abs().max()) <= 1e-4


# What it refuses -----------------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A compressed network with most kinds of content: (package, its tile)."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(8), nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(8, 3, 3))
    tile = (pictures(1)[0],)
    out = tmp_path_factory.mktemp("small") / "m.mlpackage"
    return CoreML().lower(network.eval(), tile, Quantize("palettized-4", tiles=1), [tile], out).file, tile


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda x: mb.band_part(x=x, lower=1, upper=0), "operator band_part;"),
        (lambda x: mb.non_zero(x=mb.band_part(x=x, lower=1, upper=0)), "operators band_part, non_zero;"),
        (lambda x: mb.scatter_nd(data=x, indices=np.int32([[0]]), updates=f32([[1, 2]])), "operator scatter_nd;"),
    ],
)
def test_unknown_operators_are_named(build, named, tmp_path):
    file = save(written(build, [f32([[1, 2], [3, 4]])]), tmp_path / "m.mlpackage")
    for reader in (Program, EvaluatorSession):
        with pytest.raises(CannotRunHere, match=f"m.mlpackage: the evaluator does not know the {named} not measured"):
            reader(file)


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (
            lambda x: mb.gather(x=x, indices=np.int32([-1]), axis=1),
            r"gather 'gather_0' \(indices below 0 or beyond the end, which are undefined since iOS 17\)",
        ),
        (lambda x: mb.gather(x=x, indices=np.int32([[0], [1]]), axis=1, batch_dims=1), "gather with batch_dims"),
        (
            lambda x: mb.scatter(data=x, indices=np.int32([1, 1]), updates=f32([[1, 2], [3, 4]]), axis=0, mode="update"),
            "two updates of one place, of which either may come last",
        ),
        (lambda x: mb.scatter(data=x, indices=np.int32([1]), updates=f32([[1, 2]]), axis=0, mode="mul"), "mul of scattered values"),
        (
            lambda x: resampled(mb.expand_dims(x=x, axes=[0, 1]), [[0, 0]], padding_value=1.0),
            "resample with padding_mode constant of 1, align_corners False",
        ),
        (lambda x: resampled(mb.expand_dims(x=x, axes=[0, 1]), [[0, 0]], padding_mode="reflection"), "resample with padding_mode reflection"),
        (
            lambda x: resampled(mb.expand_dims(x=x, axes=[0, 1]), [[0, 0]], coordinates_mode="unnormalized"),
            "resample with coordinates_mode unnormalized",
        ),
        (lambda x: mb.topk(x=x, k=2)[0], "topk of equal values, whose order is undefined"),
        (lambda x: mb.topk(x=x, k=2, sort=False)[0], "topk without order, which is undefined"),
        (
            lambda x: mb.resize_nearest_neighbor(x=mb.expand_dims(x=x, axes=[0]), target_size_height=1, target_size_width=1),
            "neighbours of a larger picture",
        ),
        (
            lambda x: mb.upsample_bilinear(x=mb.expand_dims(x=x, axes=[0]), align_corners=True, half_pixel_centers=True),
            "align_corners and half_pixel_centers",
        ),
        (
            lambda x: mb.avg_pool(x=mb.expand_dims(x=x, axes=[0]), kernel_sizes=[1], strides=[5], pad_type="valid", ceil_mode=True),
            "step over the end",
        ),
        (lambda x: mb.cast(x=mb.cast(x=mb.mul(x=x, y=f32(1e6)), dtype="int16"), dtype="fp32"), "cast of what int16 cannot hold"),
        (lambda x: mb.cast(x=mb.real_div(x=mb.cast(x=x, dtype="int32"), y=2), dtype="fp32"), "real_div of whole numbers"),
    ],
)
def test_what_the_reference_leaves_open_is_not_guessed(build, why, tmp_path):
    program = Program(save(written(build, [f32([[1, 2], [3, 4]])]), tmp_path / "m.mlpackage"))
    with pytest.raises(CannotRunHere, match=f"the evaluator cannot execute .*{why}.*; not measured"):
        program([torch.ones(2, 2)])


def test_vectors_in_tables_are_unknown(tmp_path):
    def program(x: Any) -> Any:
        indices, lut = _small("uint1", _levels(1, 2, 2)), noise(1, 1, 2, 2)
        return mb.add(x=x, y=mb.constexpr_lut_to_dense(indices=indices, lut=lut, vector_axis=np.int32(1)))

    file = save(written(program, [f32([[0]])], "iOS18"), tmp_path / "m.mlpackage", target="iOS18")
    with pytest.raises(CannotRunHere, match="does not know the constant operator constexpr_lut_to_dense with vectors; not measured"):
        Program(file)


def test_absent_and_cut_packages(small, tmp_path):
    with pytest.raises(InvalidFile, match="no such package"):
        Program(tmp_path / "none.mlpackage")
    file, _ = small
    for name in ("Manifest.json", str(package.SPECIFICATION), "Data/com.apple.CoreML/weights/weight.bin"):
        for keep in (0, 0.5):
            copy = tmp_path / f"{Path(name).name}-{keep}.mlpackage"
            shutil.copytree(file, copy)
            data = (copy / name).read_bytes()
            (copy / name).write_bytes(data[: int(len(data) * keep)])
            with pytest.raises(InvalidFile, match="not a readable ML Program .*; export it again"):
                Program(copy)


def test_altered_packages_fail_in_two_ways_only(small, tmp_path):
    """Bytes changed, cut out or doubled anywhere: the package is refused, or it still runs."""
    file, tile = small
    draw = random.Random(0)
    names = [str(f.relative_to(file)) for f in sorted(file.rglob("*")) if f.is_file()]
    originals = {name: (file / name).read_bytes() for name in names}
    copy, outcomes = tmp_path / "m.mlpackage", Counter()
    shutil.copytree(file, copy)
    for round_ in range(160):
        name = names[draw.choice([0, 1, 1, 1, 2]) % len(names)]
        data = bytearray(originals[name])
        at = draw.randrange(len(data))
        length = draw.choice([1, 1, 4, 64])
        if round_ % 4 == 0:
            del data[at : at + length]
        elif round_ % 4 == 1:
            data[at:at] = data[at : at + length]
        else:
            data[at : at + length] = draw.randbytes(length)
        (copy / name).write_bytes(data)
        try:
            EvaluatorSession(copy)(tile)
            outcomes["runs"] += 1
        except (InvalidFile, CannotRunHere) as error:
            assert "\n" not in str(error)
            outcomes[type(error).__name__] += 1
        (copy / name).write_bytes(originals[name])
    assert outcomes["InvalidFile"] >= 40 and outcomes["runs"] >= 10 and sum(outcomes.values()) == 160, outcomes


# Numbers' types --------------------------------------------------------------------------------------------------------------------------------------------


def test_faithful_overflows_where_fp16_does(tmp_path):
    """(300 x)^2 - (300 x)^2 + x: 90000 is infinite in fp16, and infinity less infinity no number."""

    def program(x: Any) -> Any:
        square = mb.square(x=mb.mul(x=x, y=f32(300.0)))
        return mb.add(x=mb.sub(x=square, y=mb.mul(x=square, y=f32(0.5))), y=x)

    file = save(written(program, [f32([[1.0]])]), tmp_path / "m.mlpackage", half=True)
    x = torch.tensor([[1.0]])
    assert {operation.dtypes for operation in Program(file).operations if operation.kind != "cast"} == {("fp16",)}
    assert Program(file)([x], faithful=False)[0].item() == 45001
    assert math.isnan(Program(file)([x])[0].item())
    assert Program(file)([x / 100])[0].item() == pytest.approx(4.51, abs=2e-3)


def test_faithful_rounds_every_result(tmp_path):
    """2048 + 1 is 2048 in fp16 (to the even neighbour), 2048 + 3 is 2052; 2e-8 is gone, 4e-8 becomes the smallest there is."""
    file = save(written(lambda x: mb.mul(x=mb.add(x=x, y=f32(2048.0)), y=f32(1.0)), [f32([[1]])]), tmp_path / "a.mlpackage", half=True)
    assert Program(file)([torch.tensor([[1.0, 3.0, 0.5]])])[0].tolist() == [[2048, 2052, 2048]]
    file = save(written(lambda x: mb.relu(x=x), [f32([[1]])]), tmp_path / "b.mlpackage", half=True)
    assert Program(file)([torch.tensor([[2e-8, 4e-8, 65519.0, 65520.0]])])[0].tolist() == [[0, 2.0**-24, 65504, math.inf]]


def test_watch_sees_results_before_they_are_rounded(tmp_path):
    file = save(written(lambda x: mb.square(x=x), [f32([[1]])]), tmp_path / "m.mlpackage", half=True)
    seen = {}
    Program(file)(
        [torch.tensor([[300.0]])],
        watch=lambda operation, results, arguments: seen.update({operation.kind: (results[0].item(), arguments["x"].item())}),
    )
    assert seen["square"] == (90000.0, 300.0)


def test_nothing_is_kept_longer_than_it_is_read(small):
    program = Program(small[0])
    dropped = [name for operation in program.operations for name in operation.last]
    made = [name for operation in program.operations for name in operation.results]
    assert sorted(dropped) == sorted({*program.inputs, *made} - set(program.outputs)) and len(dropped) == len(set(dropped))


def test_images_are_bytes(tmp_path):
    torch.manual_seed(0)
    network = nn.Conv2d(3, 3, 3, padding=1).eval()
    picture = (pictures(1)[0] * 255).round().to(torch.uint8)
    file = CoreML(io="image").lower(network, (picture / 255,), Quantize("fp16"), [], tmp_path / "m.mlpackage").file
    (result,) = EvaluatorSession(file)((picture,))
    with torch.no_grad():
        expected = (network(picture / 255) * 255).round().clamp(0, 255)
    assert result.dtype == torch.uint8 and result.shape == picture.shape
    assert (result.float() - expected).abs().max() <= 1 and (result.float() == expected).float().mean() > 0.95
