"""ML Program operators in torch: one function each, its parameters named as Core ML names them.

Semantics after the MIL operator reference that comes with coremltools (docstrings of `coremltools.converters.mil.mil.ops.defs`), those of iOS 17 and later.
Floats are computed in float32 whatever the file's type; the evaluator rounds what comes out. Numbers stand for scalars, tensors for everything else.
What the reference leaves open is refused with NotImplementedError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Value = Any
"""A tensor, a Python scalar, a string, or (several results) a tuple of tensors."""

INTEGERS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535), "int32": (-(2**31), 2**31 - 1)}


def _ints(value: Value) -> list[int]:
    return [int(v) for v in value.flatten().tolist()] if isinstance(value, Tensor) else [int(value)]


def _tensor(value: Value) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value)


def _padding(x: Tensor, kernel: Sequence[int], strides: list[int], dilations: list[int], pad_type: str, pad: Value) -> list[int]:
    """Begin and end of each spatial dimension, outermost first. "same" is TensorFlow's (its converter hands the word on), so an odd row goes to the end."""
    if pad_type == "valid" or (pad_type == "custom" and pad is None):
        return [0] * (2 * len(kernel))
    if pad_type == "custom":
        return _ints(pad)
    if pad_type not in ("same", "same_lower"):
        raise NotImplementedError(f"pad_type {pad_type}")
    found = []
    for side, k, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max(0, (-(-side // stride) - 1) * stride + (k - 1) * dilation + 1 - side)
        small, large = total // 2, total - total // 2
        found += [small, large] if pad_type == "same" else [large, small]
    return found


def _pad(x: Tensor, begin_end: Sequence[int], value: float = 0.0) -> Tensor:
    """torch counts paddings from the last dimension."""
    if not any(begin_end):
        return x
    return F.pad(x, [n for i in range(len(begin_end) - 2, -1, -2) for n in begin_end[i : i + 2]], "constant", value)


def conv(x, weight, bias=None, strides=None, pad_type="valid", pad=None, dilations=None, groups=1):
    spatial = weight.dim() - 2
    stride, dilation = (_ints(v) if v is not None else [1] * spatial for v in (strides, dilations))
    padded = _pad(x, _padding(x, weight.shape[2:], stride, dilation, pad_type, pad))
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[spatial]
    return function(padded, weight, bias, stride, 0, dilation, int(groups))


def conv_transpose(x, weight, bias=None, pad=None, output_shape=None, pad_type="valid", strides=None, dilations=None, groups=1):
    spatial = weight.dim() - 2
    stride, dilation = (_ints(v) if v is not None else [1] * spatial for v in (strides, dilations))
    function = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[spatial]
    whole = function(x, weight, None, stride, 0, 0, int(groups), dilation)
    sides = whole.shape[2:]
    wanted = _ints(output_shape)[-spatial:] if output_shape is not None else None
    if pad_type == "valid" or (pad_type == "custom" and pad is None):
        cuts = [0] * (2 * spatial)
    elif pad_type == "custom":
        cuts = _ints(pad)
    elif pad_type == "same":  # as much as the convolution whose gradient this is would have padded
        excess = [max(0, side - (wanted[i] if wanted else stride[i] * x.shape[2 + i])) for i, side in enumerate(sides)]
        cuts = [n for e in excess for n in (e // 2, e - e // 2)]
    else:
        raise NotImplementedError(f"conv_transpose with pad_type {pad_type}")
    kept = wanted or [stride[i] * x.shape[2 + i] if pad_type == "same" else side - cuts[2 * i] - cuts[2 * i + 1] for i, side in enumerate(sides)]
    missing = [n for i, side in enumerate(sides) for n in (0, max(0, cuts[2 * i] + kept[i] - side))]  # rows that only the bias reaches
    result = _pad(whole, missing)
    for i in range(spatial):
        result = result.narrow(2 + i, cuts[2 * i], kept[i])
    return result if bias is None else result + bias.view(-1, *[1] * spatial)


def linear(x, weight, bias=None):
    return F.linear(x, weight, bias)


def matmul(x, y, transpose_x=False, transpose_y=False):
    return (x.transpose(-1, -2) if transpose_x else x) @ (y.transpose(-1, -2) if transpose_y else y)


def einsum(values, equation):
    return torch.einsum(equation, *values)


def scaled_dot_product_attention(query, key, value, attn_mask=None):
    return F.scaled_dot_product_attention(query, key, value, attn_mask)


def gelu(x, mode="EXACT"):
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="none" if mode == "EXACT" else "tanh")


def prelu(x, alpha):
    return F.prelu(x, alpha)


def _pool(
    x: Tensor, kernel_sizes: Value, strides: Value, pad_type: str, pad: Value, ceil_mode: bool
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Kernel, strides, paddings, and what `ceil_mode` (PyTorch's: no window begins in the padding at the end) needs beyond them."""
    kernel = _ints(kernel_sizes)
    stride = _ints(strides) if strides is not None else [1] * len(kernel)
    edges = _padding(x, kernel, stride, [1] * len(kernel), pad_type, pad)
    beyond = [0] * len(edges)
    for i, side in enumerate(x.shape[2:] if ceil_mode else ()):
        begin, end = edges[2 * i : 2 * i + 2]
        windows = -(-(side + begin + end - kernel[i]) // stride[i]) + 1
        if (windows - 1) * stride[i] >= side + begin:
            if not begin + end:  # the reference keeps such a window, PyTorch does not
                raise NotImplementedError("ceil_mode with strides that step over the end")
            windows -= 1
        beyond[2 * i + 1] = max(0, (windows - 1) * stride[i] + kernel[i] - side - begin - end)
    return kernel, stride, edges, beyond


def max_pool(x, kernel_sizes, strides=None, pad_type="valid", pad=None, ceil_mode=False):
    kernel, stride, edges, beyond = _pool(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    function = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[len(kernel)]
    return function(_pad(_pad(x, edges, float("-inf")), beyond, float("-inf")), kernel, stride)


def avg_pool(x, kernel_sizes, strides=None, pad_type="valid", pad=None, exclude_padding_from_average=False, ceil_mode=False):
    kernel, stride, edges, beyond = _pool(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    function: Any = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[len(kernel)]
    mean = function(_pad(_pad(x, edges), beyond), kernel, stride)
    if not exclude_padding_from_average and not any(beyond):
        return mean
    counted = _pad(torch.ones_like(x), edges, 0.0 if exclude_padding_from_average else 1.0)
    return mean / function(_pad(counted, beyond), kernel, stride)


def upsample_nearest_neighbor(x, scale_factor_height=1, scale_factor_width=1):
    return _nearest(x, int(x.shape[-2] * scale_factor_height), int(x.shape[-1] * scale_factor_width))


def resize_nearest_neighbor(x, target_size_height, target_size_width):
    return _nearest(x, int(target_size_height), int(target_size_width))


def _nearest(x: Tensor, height: int, width: int) -> Tensor:
    """Row i reads row floor(i * in / out). So have it the PyTorch and the TensorFlow converter, which make this operator for enlarging only."""
    if height < x.shape[-2] or width < x.shape[-1]:
        raise NotImplementedError("nearest neighbours of a larger picture")
    for axis, side in ((-2, height), (-1, width)):
        x = x.index_select(axis, torch.arange(side) * x.shape[axis] // side)
    return x


def upsample_bilinear(x, scale_factor_height=1, scale_factor_width=1, align_corners=True, half_pixel_centers=None):
    if align_corners and half_pixel_centers:
        raise NotImplementedError("upsample_bilinear with align_corners and half_pixel_centers")
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "DEFAULT" if half_pixel_centers is False else "UNALIGN_CORNERS"
    return _bilinear(x, int(x.shape[-2] * scale_factor_height), int(x.shape[-1] * scale_factor_width), mode)


def resize_bilinear(x, target_size_height=1, target_size_width=1, sampling_mode="DEFAULT"):
    return _bilinear(x, int(target_size_height), int(target_size_width), sampling_mode)


def _bilinear(x: Tensor, height: int, width: int, mode: str) -> Tensor:
    for axis, side in ((-2, height), (-1, width)):
        have = x.shape[axis]
        places = _grid(have, side, mode).clamp(0, have - 1)
        low = places.floor().long().clamp(max=max(0, have - 2))
        share = (places - low).float()
        share = share[:, None] if axis == -2 else share
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, (low + 1).clamp(max=have - 1)) * share
    return x


def _grid(have: int, side: int, mode: str) -> Tensor:
    """Where each of `side` samples lies among `have` pixels, float64."""
    i = torch.arange(side, dtype=torch.float64)
    if mode == "ALIGN_CORNERS" and side == 1:
        return i + (have - 1) / 2
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        return i * ((have - 1) / max(1, side - 1))
    if mode == "DEFAULT":
        return i * (have / side)
    if mode == "OFFSET_CORNERS":
        return (i + 0.5) * (max(1, have - 1) / side)
    if mode == "UNALIGN_CORNERS":
        return (i + 0.5) * (have / side) - 0.5
    raise NotImplementedError(f"sampling_mode {mode}")


def crop(x, crop_height, crop_width):
    (top, bottom), (left, right) = _ints(crop_height), _ints(crop_width)
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def concat(values, axis, interleave=False):
    parts = [_tensor(v) for v in values]
    if interleave:
        place = int(axis) % parts[0].dim()
        return torch.stack(parts, place + 1).flatten(place, place + 1)
    return torch.cat(parts, int(axis))


def split(x, axis, num_splits=None, split_sizes=None):
    parts = int(num_splits or 1)
    return torch.split(x, _ints(split_sizes) if split_sizes is not None else [x.shape[int(axis)] // parts] * parts, int(axis))


def stack(values, axis):
    return torch.stack([_tensor(v) for v in values], int(axis))


def slice_by_index(x, begin, end, stride=None, begin_mask=None, end_mask=None, squeeze_mask=None):
    rank = x.dim()
    starts, ends = _ints(begin), _ints(end)
    steps = _ints(stride) if stride is not None else [1] * rank
    masks = [_ints(m) if m is not None else [0] * rank for m in (begin_mask, end_mask, squeeze_mask)]
    squeezed = []
    for i in range(rank):
        side = x.shape[i]
        if masks[2][i]:
            x = x.narrow(i, 0 if masks[0][i] else starts[i] % side, 1)
            squeezed.append(i)
            continue
        indices = list(range(side))[slice(None if masks[0][i] else starts[i], None if masks[1][i] else ends[i], steps[i])]
        x = x.narrow(i, indices[0], len(indices)) if steps[i] == 1 and indices else x.index_select(i, torch.tensor(indices, dtype=torch.int64))
    return x.squeeze(squeezed) if squeezed else x


def slice_by_size(x, begin, size):
    for i, (start, length) in enumerate(zip(_ints(begin), _ints(size), strict=True)):
        begin = start + x.shape[i] if start < 0 else start
        x = x.narrow(i, begin, x.shape[i] - begin if length == -1 else length)
    return x


def pad(x, pad, mode="constant", constant_val=0.0):
    edges = _ints(pad)
    if mode == "constant":
        return _pad(x, edges, float(constant_val))
    if mode not in ("reflect", "replicate"):
        raise NotImplementedError(f"pad with mode {mode}")
    for i in range(len(edges) // 2):
        axis = x.dim() - len(edges) // 2 + i
        side = x.shape[axis]
        places = torch.arange(-edges[2 * i], side + edges[2 * i + 1])
        if mode == "reflect":  # at most side - 1, so one mirror at each end is enough
            places = (side - 1) - ((side - 1) - places.abs()).abs()
        x = x.index_select(axis, places.clamp(0, side - 1) if mode == "replicate" else places)
    return x


def reshape(x, shape):
    """A 0 takes the side that stands as far from the right in x, 1 where x has none there."""
    sides = _ints(shape)
    given = [1] * max(0, len(sides) - x.dim()) + list(x.shape)
    return x.reshape([given[i - len(sides)] if side == 0 else side for i, side in enumerate(sides)])


def expand_dims(x, axes):
    result, rank = _tensor(x), _tensor(x).dim() + len(_ints(axes))
    for axis in sorted(a % rank for a in _ints(axes)):
        result = result.unsqueeze(axis)
    return result


def squeeze(x, axes=None):
    return x.squeeze(_ints(axes)) if axes is not None else x.squeeze()


def transpose(x, perm):
    return x.permute(_ints(perm)).contiguous()


def tile(x, reps):
    return x.repeat(_ints(reps))


def gather(x, indices, axis=0, batch_dims=0, validate_indices=False):
    if batch_dims:
        raise NotImplementedError("gather with batch_dims")
    axis = int(axis) % x.dim()
    places = _places(indices, x.shape[axis])
    return x.index_select(axis, places.flatten()).reshape([*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]])


def gather_along_axis(x, indices, axis=0, validate_indices=False):
    return x.gather(int(axis), _places(indices, x.shape[int(axis)]))


def _places(indices: Value, side: int) -> Tensor:
    places = _tensor(indices).long()
    if places.numel() and not 0 <= int(places.min()) <= int(places.max()) < side:
        raise NotImplementedError("indices below 0 or beyond the end, which are undefined since iOS 17")
    return places


def topk(x, k=1, axis=-1, ascending=False, sort=True, return_indices=True, output_indices_dtype="int32"):
    if not sort:
        raise NotImplementedError("topk without order, which is undefined")
    axis = int(axis) % x.dim()
    values, places = torch.topk(x, x.shape[axis] if int(k) == -1 else int(k), axis, largest=not ascending)
    if bool((values.diff(dim=axis) == 0).any()):
        raise NotImplementedError("topk of equal values, whose order is undefined")
    return (values, places.int()) if return_indices else values


def reduce_argmax(x, axis=-1, keep_dims=False, output_dtype="int32"):
    """Of equal ones the first, as in torch, where Core ML promises none."""
    return x.argmax(int(axis), bool(keep_dims)).int()


def fill(shape, value=0.0):
    return torch.full(_ints(shape), value)


def reverse(x, axes=None):
    return x.flip(_ints(axes) if axes is not None else list(range(x.dim())))


def cast(x, dtype):
    """Fractions are cut off, as in numpy."""
    value = _tensor(x)
    if dtype == "bool":
        return value.bool()
    if dtype in ("fp16", "fp32"):
        return value.float()
    if dtype not in INTEGERS:
        raise NotImplementedError(f"cast to {dtype}")
    low, high = INTEGERS[dtype]
    whole = value.double().trunc()
    if not bool(((whole >= low) & (whole <= high)).all()):
        raise NotImplementedError(f"cast of what {dtype} cannot hold")
    return whole.to(torch.int32)


def select(cond, a, b):
    return torch.where(_tensor(cond).bool(), _tensor(a), _tensor(b))


def softmax(x, axis=-1):
    return x.softmax(int(axis))


def batch_norm(x, mean, variance, gamma=None, beta=None, epsilon=1e-5):
    return F.batch_norm(x, mean, variance, gamma, beta, False, 0.0, float(epsilon))


def instance_norm(x, gamma=None, beta=None, epsilon=1e-5):
    return _normalized(x, list(range(2, x.dim())), [-1, *[1] * (x.dim() - 2)], gamma, beta, float(epsilon))


def layer_norm(x, axes=None, gamma=None, beta=None, epsilon=1e-5):
    dims = sorted(a % x.dim() for a in (_ints(axes) if axes is not None else range(x.dim())))
    return _normalized(x, dims, [x.shape[i] if i in dims else 1 for i in range(x.dim())], gamma, beta, float(epsilon))


def _normalized(x: Tensor, dims: list[int], shape: list[int], gamma: Tensor | None, beta: Tensor | None, epsilon: float) -> Tensor:
    centred = x - x.mean(dims, keepdim=True)
    scaled = centred * torch.rsqrt(centred.square().mean(dims, keepdim=True) + epsilon)
    scaled = scaled if gamma is None else scaled * gamma.reshape(shape)
    return scaled if beta is None else scaled + beta.reshape(shape)


def l2_norm(x, epsilon=1e-6):
    return x / (x.square().sum((-3, -2, -1), keepdim=True) + float(epsilon)).sqrt()


def quantize(input, scale, output_dtype, zero_point=None, axis=None):
    low, high = INTEGERS[output_dtype]
    levels = torch.round(input / _along(scale, input, axis)) + (0 if zero_point is None else _along(zero_point, input, axis))
    return levels.clamp(low, high)


def dequantize(input, scale, zero_point=None, axis=None):
    value = input.float()
    return (value if zero_point is None else value - _along(zero_point, value, axis)) * _along(scale, value, axis)


def _along(value: Value, x: Tensor, axis: Value) -> Tensor:
    """A scalar, or a vector along `axis`, ready to broadcast with `x`."""
    tensor = _tensor(value).float()
    return tensor if tensor.numel() == 1 else tensor.reshape([-1 if i == int(axis) % x.dim() else 1 for i in range(x.dim())])


def _quotient(x: Tensor, y: Tensor) -> Tensor:
    if not (x.is_floating_point() or y.is_floating_point()):
        raise NotImplementedError("real_div of whole numbers")
    return x / y


def _reduce(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def reduction(x, axes=None, keep_dims=False):
        return function(x, _ints(axes) if axes is not None else list(range(x.dim())), bool(keep_dims))

    return reduction


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda x: function(_tensor(x))


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda x, y: function(_tensor(x), _tensor(y))


OPERATORS: dict[str, Callable[..., Value]] = {
    **{
        function.__name__: function
        for function in (
            *(conv, conv_transpose, linear, matmul, einsum, scaled_dot_product_attention, gelu, prelu, max_pool, avg_pool),
            *(upsample_nearest_neighbor, upsample_bilinear, resize_nearest_neighbor, resize_bilinear, crop, concat, split, stack),
            *(slice_by_index, slice_by_size, pad, reshape, expand_dims, squeeze, transpose, tile, gather, gather_along_axis, fill, reverse),
            *(topk, reduce_argmax),
            *(cast, select, softmax, batch_norm, instance_norm, layer_norm, l2_norm, quantize, dequantize),
        )
    },
    "identity": lambda x: x,
    "shape": lambda x: torch.tensor(x.shape, dtype=torch.int32),
    "pixel_shuffle": lambda x, upscale_factor: F.pixel_shuffle(x, int(upscale_factor)),
    "pixel_unshuffle": lambda x, downscale_factor: F.pixel_unshuffle(x, int(downscale_factor)),
    "relu": _unary(torch.relu),
    "relu6": _unary(F.relu6),
    "leaky_relu": lambda x, alpha: torch.where(x >= 0, x, x * float(alpha)),
    "elu": lambda x, alpha: F.elu(x, float(alpha)),
    "clamped_relu": lambda x, alpha, beta: torch.where(x >= 0, x, x * float(alpha)).clamp_max(float(beta)),
    "thresholded_relu": lambda x, alpha: torch.where(x >= float(alpha), x, torch.zeros_like(x)),
    "sigmoid": _unary(torch.sigmoid),
    "sigmoid_hard": lambda x, alpha, beta: (float(alpha) * x + float(beta)).clamp(0, 1),
    "silu": _unary(F.silu),
    "softplus": _unary(F.softplus),
    "softplus_parametric": lambda x, alpha, beta: _along(alpha, x, 1) * F.softplus(_along(beta, x, 1) * x),
    "softsign": _unary(F.softsign),
    "tanh": _unary(torch.tanh),
    "linear_activation": lambda x, alpha, beta: float(alpha) * x + float(beta),
    "clip": lambda x, alpha, beta: x.clamp(float(alpha), float(beta)),
    "threshold": lambda x, alpha: x.clamp_min(float(alpha)),
    "inverse": lambda x, epsilon=1e-4: 1 / (x + float(epsilon)),
    "log": lambda x, epsilon=1e-45: torch.log(x + float(epsilon)),
    "rsqrt": lambda x, epsilon=1e-12: torch.rsqrt(x + float(epsilon)),
    **{
        name: _unary(getattr(torch, name))
        for name in (
            *("abs", "ceil", "cos", "erf", "exp", "exp2", "floor", "round", "sign", "sin", "sqrt", "square"),
            *("acos", "asin", "atan", "atanh", "cosh", "sinh", "tan"),
        )
    },
    "logical_not": _unary(torch.logical_not),
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "real_div": _binary(_quotient),
    "floor_div": _binary(torch.floor_divide),
    "mod": _binary(torch.remainder),
    "pow": _binary(torch.pow),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "equal": _binary(torch.eq),
    "not_equal": _binary(torch.ne),
    "greater": _binary(torch.gt),
    "greater_equal": _binary(torch.ge),
    "less": _binary(torch.lt),
    "less_equal": _binary(torch.le),
    "logical_and": _binary(torch.logical_and),
    "logical_or": _binary(torch.logical_or),
    "reduce_mean": _reduce(lambda x, dims, keep: x.mean(dims, keep)),
    "reduce_sum": _reduce(lambda x, dims, keep: x.sum(dims, keep)),
    "reduce_max": _reduce(lambda x, dims, keep: x.amax(dims, keep)),
    "reduce_min": _reduce(lambda x, dims, keep: x.amin(dims, keep)),
    "reduce_l1_norm": _reduce(lambda x, dims, keep: x.abs().sum(dims, keep)),
    "reduce_l2_norm": _reduce(lambda x, dims, keep: x.square().sum(dims, keep).sqrt()),
    "reduce_sum_square": _reduce(lambda x, dims, keep: x.square().sum(dims, keep)),
}
"""Operator's name in the file -> its function. What is not here is not guessed."""
