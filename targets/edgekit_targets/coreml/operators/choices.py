"""Values chosen by their places, by their size or by a condition."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit_targets.coreml.operators.values import Value, as_tensor, named


def gather(x, indices, axis=0, batch_dims=0, validate_indices=False):
    if batch_dims:
        raise NotImplementedError("gather with batch_dims")
    axis = int(axis) % x.dim()
    places = _places(indices, x.shape[axis])
    return x.index_select(axis, places.flatten()).reshape([*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]])


def gather_along_axis(x, indices, axis=0, validate_indices=False):
    return x.gather(int(axis), _places(indices, x.shape[int(axis)]))


def _places(indices: Value, side: int) -> Tensor:
    places = as_tensor(indices).long()
    if places.numel() and not 0 <= int(places.min()) <= int(places.max()) < side:
        raise NotImplementedError("indices below 0 or beyond the end, which are undefined since iOS 17")
    return places


def scatter(data, indices, updates, axis=0, mode="add", validate_indices=False):
    axis = int(axis) % data.dim()
    places = _places(indices, data.shape[axis]).flatten()
    shape = [len(places) if i == axis else 1 for i in range(data.dim())]
    return scatter_along_axis(data, places.reshape(shape).expand_as(updates), updates, axis, mode)


def scatter_along_axis(data, indices, updates, axis=0, mode="add", validate_indices=False):
    axis = int(axis) % data.dim()
    places = _places(indices, data.shape[axis])
    if mode == "add":
        return data.scatter_add(axis, places, updates)
    if mode != "update":
        raise NotImplementedError(f"{mode} of scattered values")
    if bool((places.sort(axis)[0].diff(dim=axis) == 0).any()):
        raise NotImplementedError("two updates of one place, of which either may come last")
    return data.scatter(axis, places, updates)


def topk(x, k=1, axis=-1, ascending=False, sort=True, return_indices=True, output_indices_dtype="int32"):
    if not sort:
        raise NotImplementedError("topk without order, which is undefined")
    axis = int(axis) % x.dim()
    values, places = torch.topk(x, x.shape[axis] if int(k) == -1 else int(k), axis, largest=not ascending)
    if bool((values.diff(dim=axis) == 0).any()):
        raise NotImplementedError("topk of equal values, whose order is undefined")
    return (values, places.int()) if return_indices else values


def select(cond, a, b):
    return torch.where(as_tensor(cond).bool(), as_tensor(a), as_tensor(b))


OPERATORS = named(gather, gather_along_axis, scatter, scatter_along_axis, topk, select)
