"""Pictures made larger or smaller, and read at given places: nearest and bilinear; pixels out of channels and back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit_targets.coreml.operators.values import Operator, named


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


PADDINGS = {("constant", False): "zeros", ("constant", True): "zeros", ("border", False): "border", ("border", True): "border",
            ("symmetric", False): "reflection", ("reflection", True): "reflection"}  # fmt: skip
"""(padding_mode, align_corners) -> PyTorch's padding: it mirrors at the edges of pixels, or at the middles of the outermost ones."""


def resample(x, coordinates, sampling_mode, padding_mode, padding_value, coordinates_mode, align_corners):
    padding = PADDINGS.get((padding_mode, bool(align_corners)))
    if padding is None or (padding == "zeros" and float(padding_value) != 0):
        raise NotImplementedError(f"resample with padding_mode {padding_mode} of {float(padding_value):g}, align_corners {bool(align_corners)}")
    if coordinates_mode != "normalized_minus_one_to_one":
        raise NotImplementedError(f"resample with coordinates_mode {coordinates_mode}")
    return F.grid_sample(x.float(), coordinates.float(), mode=sampling_mode, padding_mode=padding, align_corners=bool(align_corners))


OPERATORS: dict[str, Operator] = {
    **named(upsample_nearest_neighbor, upsample_bilinear, resize_nearest_neighbor, resize_bilinear, resample),
    "pixel_shuffle": lambda x, upscale_factor: F.pixel_shuffle(x, int(upscale_factor)),
    "pixel_unshuffle": lambda x, downscale_factor: F.pixel_unshuffle(x, int(downscale_factor)),
}
