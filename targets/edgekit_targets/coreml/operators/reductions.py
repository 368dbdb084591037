"""One value of many, and sums on the way."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from edgekit_targets.coreml.operators.values import Operator, ints, named


def _reduce(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def reduction(x, axes=None, keep_dims=False):
        return function(x, ints(axes) if axes is not None else list(range(x.dim())), bool(keep_dims))

    return reduction


def _product(x: Tensor, dims: list[int], keep: bool) -> Tensor:
    for dim in sorted((d % x.dim() for d in dims), reverse=True):
        x = x.prod(dim, keep)
    return x


def reduce_argmax(x, axis=-1, keep_dims=False, output_dtype="int32"):
    """Of equal ones the first, as in torch, where Core ML promises none."""
    return x.argmax(int(axis), bool(keep_dims)).int()


def reduce_argmin(x, axis=-1, keep_dims=False, output_dtype="int32"):
    """The same."""
    return x.argmin(int(axis), bool(keep_dims)).int()


def cumsum(x, axis=0, exclusive=False, reverse=False):
    axis = int(axis)
    given = x.flip(axis) if reverse else x
    sums = given.cumsum(axis) - given if exclusive else given.cumsum(axis)
    return sums.flip(axis) if reverse else sums


OPERATORS: dict[str, Operator] = {
    **named(reduce_argmax, reduce_argmin, cumsum),
    "reduce_mean": _reduce(lambda x, dims, keep: x.mean(dims, keep)),
    "reduce_sum": _reduce(lambda x, dims, keep: x.sum(dims, keep)),
    "reduce_max": _reduce(lambda x, dims, keep: x.amax(dims, keep)),
    "reduce_min": _reduce(lambda x, dims, keep: x.amin(dims, keep)),
    "reduce_prod": _reduce(_product),
    "reduce_log_sum": _reduce(lambda x, dims, keep: x.sum(dims, keep).log()),
    "reduce_log_sum_exp": _reduce(lambda x, dims, keep: x.logsumexp(dims, keep)),
    "reduce_l1_norm": _reduce(lambda x, dims, keep: x.abs().sum(dims, keep)),
    "reduce_l2_norm": _reduce(lambda x, dims, keep: x.square().sum(dims, keep).sqrt()),
    "reduce_sum_square": _reduce(lambda x, dims, keep: x.square().sum(dims, keep)),
}
