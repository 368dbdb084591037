"""Where the patches of `unfold` and `fold` lie, along each axis of the picture."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True)
class Axis:
    """`count` patches of `kernel` pixels that are `dilation` apart, each patch `stride` behind the one before."""

    kernel: int
    count: int
    dilation: int
    stride: int

    @property
    def has_holes_and_steps(self) -> bool:
        """Then what patches have in common is no slice without steps, of which XNNPACK takes none."""
        return self.dilation > 1 and self.stride > 1


def axes(sides: Pair, kernel: Pair, dilation: Pair, stride: Pair) -> tuple[Axis, Axis]:
    """Of rows and of columns, in a picture of `sides` (height, width), borders included."""
    rows, columns = (Axis(k, (side - d * (k - 1) - 1) // s + 1, d, s) for side, k, d, s in zip(sides, kernel, dilation, stride, strict=True))
    return rows, columns
