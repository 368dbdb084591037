"""Parts of tensors, tensors put together, and their sides in another order or number."""

from __future__ import annotations

import torch

from edgekit_targets.coreml.operators.values import Operator, as_tensor, ints, named


def crop(x, crop_height, crop_width):
    (top, bottom), (left, right) = ints(crop_height), ints(crop_width)
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def concat(values, axis, interleave=False):
    parts = [as_tensor(v) for v in values]
    if interleave:
        place = int(axis) % parts[0].dim()
        return torch.stack(parts, place + 1).flatten(place, place + 1)
    return torch.cat(parts, int(axis))


def split(x, axis, num_splits=None, split_sizes=None):
    parts = int(num_splits or 1)
    return torch.split(x, ints(split_sizes) if split_sizes is not None else [x.shape[int(axis)] // parts] * parts, int(axis))


def stack(values, axis):
    return torch.stack([as_tensor(v) for v in values], int(axis))


def slice_by_index(x, begin, end, stride=None, begin_mask=None, end_mask=None, squeeze_mask=None):
    rank = x.dim()
    starts, ends = ints(begin), ints(end)
    steps = ints(stride) if stride is not None else [1] * rank
    masks = [ints(m) if m is not None else [0] * rank for m in (begin_mask, end_mask, squeeze_mask)]
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
    for i, (start, length) in enumerate(zip(ints(begin), ints(size), strict=True)):
        begin = start + x.shape[i] if start < 0 else start
        x = x.narrow(i, begin, x.shape[i] - begin if length == -1 else length)
    return x


def reshape(x, shape):
    """A 0 takes the side that stands as far from the right in x, 1 where x has none there."""
    sides = ints(shape)
    given = [1] * max(0, len(sides) - x.dim()) + list(x.shape)
    return x.reshape([given[i - len(sides)] if side == 0 else side for i, side in enumerate(sides)])


def expand_dims(x, axes):
    result, rank = as_tensor(x), as_tensor(x).dim() + len(ints(axes))
    for axis in sorted(a % rank for a in ints(axes)):
        result = result.unsqueeze(axis)
    return result


def squeeze(x, axes=None):
    return x.squeeze(ints(axes)) if axes is not None else x.squeeze()


def transpose(x, perm):
    return x.permute(ints(perm)).contiguous()


def tile(x, reps):
    return x.repeat(ints(reps))


def fill(shape, value=0.0):
    return torch.full(ints(shape), value)


def reverse(x, axes=None):
    return x.flip(ints(axes) if axes is not None else list(range(x.dim())))


OPERATORS: dict[str, Operator] = {
    **named(crop, concat, split, stack, slice_by_index, slice_by_size),
    **named(reshape, expand_dims, squeeze, transpose, tile, fill, reverse),
    "identity": lambda x: x,
    "shape": lambda x: torch.tensor(x.shape, dtype=torch.int32),
}
