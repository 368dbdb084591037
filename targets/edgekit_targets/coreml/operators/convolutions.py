"""Convolutions, and other products of pictures or rows with weights and with each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from edgekit_targets.coreml.operators.padding import borders, padded
from edgekit_targets.coreml.operators.values import ints, named


def conv(x, weight, bias=None, strides=None, pad_type="valid", pad=None, dilations=None, groups=1):
    spatial = weight.dim() - 2
    stride, dilation = (ints(v) if v is not None else [1] * spatial for v in (strides, dilations))
    bordered = padded(x, borders(x, weight.shape[2:], stride, dilation, pad_type, pad))
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[spatial]
    return function(bordered, weight, bias, stride, 0, dilation, int(groups))


def conv_transpose(x, weight, bias=None, pad=None, output_shape=None, pad_type="valid", strides=None, dilations=None, groups=1):
    spatial = weight.dim() - 2
    stride, dilation = (ints(v) if v is not None else [1] * spatial for v in (strides, dilations))
    function = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[spatial]
    whole = function(x, weight, None, stride, 0, 0, int(groups), dilation)
    sides = whole.shape[2:]
    wanted = ints(output_shape)[-spatial:] if output_shape is not None else None
    if pad_type == "valid" or (pad_type == "custom" and pad is None):
        cuts = [0] * (2 * spatial)
    elif pad_type == "custom":
        cuts = ints(pad)
    elif pad_type == "same":  # as much as the convolution whose gradient this is would have padded
        excess = [max(0, side - (wanted[i] if wanted else stride[i] * x.shape[2 + i])) for i, side in enumerate(sides)]
        cuts = [n for e in excess for n in (e // 2, e - e // 2)]
    else:
        raise NotImplementedError(f"conv_transpose with pad_type {pad_type}")
    kept = wanted or [stride[i] * x.shape[2 + i] if pad_type == "same" else side - cuts[2 * i] - cuts[2 * i + 1] for i, side in enumerate(sides)]
    missing = [n for i, side in enumerate(sides) for n in (0, max(0, cuts[2 * i] + kept[i] - side))]  # rows that only the bias reaches
    result = padded(whole, missing)
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


OPERATORS = named(conv, conv_transpose, linear, matmul, einsum, scaled_dot_product_attention)
