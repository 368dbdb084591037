"""The rule of a bundle with variants (`manifest.Routing`) at work: what is scored, and which session gets it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit import quality
from edgekit.colour import luma
from edgekit.enhance import Session
from edgekit.enhancer import Colour
from edgekit.manifest import Routing
from edgekit.metrics import to_uint8
from edgekit.picture import SourcePicture

BAND = 256
"""Rows of a picture that are scored at once."""


def score(planes: Tensor, colour: Colour) -> int:
    """Of what a network of this input colour sees, (3 or 1, H, W) in [0, 1] or uint8."""
    return quality.score(_pixels(planes, colour))


def picture_score(source: SourcePicture, colour: Colour) -> int:
    """The score of a whole picture, some rows at a time, as a network of this input colour sees it."""

    def band(top: int) -> NDArray[np.uint8]:
        rgb = source.colour(range(top, min(top + BAND + 2, source.height)))
        return _pixels(luma(rgb) if colour in ("luma", "grey") else rgb, "rgb")

    return quality.score_of_rows(band(top) for top in range(0, max(1, source.height - 2), BAND))


def _pixels(planes: Tensor, colour: Colour) -> NDArray[np.uint8]:
    """(3 or 1, H, W) in [0, 1] or uint8 -> (H, W, 3) RGB bytes."""
    whole = planes if planes.dtype == torch.uint8 else to_uint8(planes)
    rgb = whole.flip(0) if colour == "bgr" else whole.expand(3, -1, -1)
    return rgb.permute(1, 2, 0).numpy()


class Router:
    """Gives tiles (or pictures: `unit`) to the variants' `sessions`; `counts` says how many went to each."""

    def __init__(self, routing: Routing, sessions: Mapping[str, Session], colour: Colour) -> None:
        self.counts = dict.fromkeys((variant.name for variant in routing.variants), 0)
        self.unit = routing.unit
        self._routing, self._sessions = routing, sessions
        self._colour: Colour = colour

    def session_for(self, source: SourcePicture) -> Session:
        """What `enhance` needs for this picture."""
        if self.unit == "tile":
            return self._tile
        return self._sessions[self._counted(picture_score(source, self._colour))]

    def _tile(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self._sessions[self._counted(score(inputs[0][0], self._colour))](inputs)

    def _counted(self, score: int) -> str:
        name = self._routing.variant(score)
        self.counts[name] += 1
        return name
