"""A network's widths, depths and scale, read off the shapes of a state dict's tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isqrt, prod

from torch import Tensor

from edgekit.errors import InvalidCheckpoint


class Shapes:
    """`state` as a network called `network` reads it. Every method raises InvalidCheckpoint that names the tensor which does not fit."""

    def __init__(self, state: Mapping[str, Tensor], network: str) -> None:
        self.state, self.network = state, network

    def misfit(self, fault: str) -> InvalidCheckpoint:
        """The error to raise for `fault`."""
        return InvalidCheckpoint(f"the tensors do not fit {self.network}: {fault}")

    def size(self, key: str, axis: int = 0, *, ndim: int = 4) -> int:
        """One side of a tensor of `ndim` dimensions; of a convolution's weight, axis 0 counts the channels it gives and axis 1 those it takes."""
        shape = tuple(self.state[key].shape) if key in self.state else None
        if shape is None or len(shape) != ndim or min(shape) < 1:
            raise self.misfit(f"'{key}' is {'missing' if shape is None else shape}, expected {ndim} sides of at least 1")
        return shape[axis]

    def count(self, pattern: str, least: int = 1) -> int:
        """How many numbers stand where `pattern`, a regular expression for whole keys, has its group."""
        found = len({m[1] for key in self.state if (m := re.fullmatch(pattern, key))})
        if found < least:
            raise self.misfit(f"there are {found} tensors named like {pattern}, expected at least {least}")
        return found

    def shuffle(self, key: str, channels: int) -> int:
        """The factor of the PixelShuffle behind a convolution that leaves `channels`."""
        out = self.size(key)
        factor = isqrt(out // channels)
        if factor < 1 or factor * factor * channels != out:
            raise self.misfit(f"'{key}' gives {out} channels, expected {channels} times a square number")
        return factor

    def enlargement(self, convolutions: Sequence[str]) -> int:
        """The product of the factors of PixelShuffles that stand between each of these convolutions' weights and the next."""
        return prod(self.shuffle(key, self.size(reader, 1)) for key, reader in pairwise(convolutions))
