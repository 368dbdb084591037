"""The largest value and the mean of windows."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit_targets.coreml.operators.padding import borders, padded
from edgekit_targets.coreml.operators.values import Value, ints, named


def _pool(
    x: Tensor, kernel_sizes: Value, strides: Value, pad_type: str, pad: Value, ceil_mode: bool
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Kernel, strides, paddings, and what `ceil_mode` (PyTorch's: no window begins in the padding at the end) needs beyond them."""
    kernel = ints(kernel_sizes)
    stride = ints(strides) if strides is not None else [1] * len(kernel)
    edges = borders(x, kernel, stride, [1] * len(kernel), pad_type, pad)
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
    return function(padded(padded(x, edges, float("-inf")), beyond, float("-inf")), kernel, stride)


def avg_pool(x, kernel_sizes, strides=None, pad_type="valid", pad=None, exclude_padding_from_average=False, ceil_mode=False):
    kernel, stride, edges, beyond = _pool(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    function: Any = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[len(kernel)]
    mean = function(padded(padded(x, edges), beyond), kernel, stride)
    if not exclude_padding_from_average and not any(beyond):
        return mean
    counted = padded(torch.ones_like(x), edges, 0.0 if exclude_padding_from_average else 1.0)
    return mean / function(padded(counted, beyond), kernel, stride)


OPERATORS = named(max_pool, avg_pool)
