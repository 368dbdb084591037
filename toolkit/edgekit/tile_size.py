"""Which tile and halo go together. Apart from `tiles`, because reading a manifest needs no torch."""

from __future__ import annotations

from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidFile


def check(tile: tuple[int, int], halo: int, multiple_of: int = 1) -> None:
    """Raises InvalidFile if tiles of this size (height, width) have no core, or do not keep the network's phase."""
    size = f"tile {tile[0]}x{tile[1]} with halo {halo}"
    if halo < 0 or 2 * halo >= min(tile):
        raise InvalidFile(f"{size} leaves no pixels to take; expected a tile of more than {2 * max(halo, 0)} px a side: choose a larger --tile")
    if any(value % multiple_of for value in (*tile, halo)):
        raise InvalidFile(f"{size} does not fit the network's stride; expected multiples of {multiple_of}")


def for_network(enhancer: Enhancer, asked: tuple[int, int] | None, usual: tuple[int, int]) -> tuple[int, int]:
    """The tile (height, width) that was `asked` for, else the `usual` one made to fit the network. Raises InvalidFile if the asked one does not fit."""
    if enhancer.only:
        if asked not in (None, enhancer.only):
            height, width = enhancer.only
            raise InvalidFile(f"--tile {asked[0]}x{asked[1]}: {enhancer.name} takes {height}x{width} only; expected that, or none")
        return enhancer.only
    unit, least = enhancer.multiple_of, enhancer.smallest
    if asked is None:
        height, width = (-(-max(side, least) // unit) * unit for side in usual)
        return height, width
    if any(side % unit or side < least for side in asked):
        at_least = f" of at least {least}" if least > 1 else ""
        raise InvalidFile(f"--tile {asked[0]}x{asked[1]}: {enhancer.name} takes sides in multiples of {unit}{at_least}; expected such a tile")
    return asked
