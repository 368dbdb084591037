"""Which tile and halo go together. Apart from `tiles`, because reading a manifest needs no torch."""

from __future__ import annotations

from edgekit.errors import InvalidFile


def check(tile: tuple[int, int], halo: int, multiple_of: int = 1) -> None:
    """Raises InvalidFile if tiles of this size (height, width) have no core, or do not keep the network's phase."""
    size = f"tile {tile[0]}x{tile[1]} with halo {halo}"
    if halo < 0 or 2 * halo >= min(tile):
        raise InvalidFile(f"{size} leaves no pixels to take; expected a tile of more than {2 * max(halo, 0)} px a side: choose a larger --tile")
    if any(value % multiple_of for value in (*tile, halo)):
        raise InvalidFile(f"{size} does not fit the network's stride; expected multiples of {multiple_of}")
