"""How near to the clean test pictures classical steps come, beside a network and its files: whether the network is worth its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from torch import Tensor

from edgekit import classical, metrics
from edgekit.adjustment import adjusted, settings
from edgekit.colour import luma
from edgekit.enhancer import ClassicalStep, Colour, Enhancer
from edgekit.evidence import Fidelity
from edgekit.models.degrade import resize
from edgekit.parity import ParitySet
from edgekit.preparation import Progress

SETTINGS: dict[str, tuple[ClassicalStep, ...]] = {
    "histogram equalization": (ClassicalStep("equalize", {}),),
    "CLAHE": tuple(ClassicalStep("clahe", {"regions": 8.0, "limit": limit}) for limit in (1.5, 2.0, 4.0)),
    "bilateral filter": tuple(ClassicalStep("bilateral", {"sigma_space": 2.0, "sigma_colour": colour}) for colour in (0.1, 0.2, 0.4)),
}
"""For networks that keep a picture's size: the best of these on every TUNED_ON-th test picture, which favours the step."""

TUNED_ON = 4

Way = Callable[[Tensor], Tensor]
"""(1, 3, h, w) RGB in [0, 1] -> (1, 3, h * scale, w * scale)."""


def beside(enhancer: Enhancer, parity_set: ParitySet, given: Mapping[str, Sequence[Tensor]], progress: Progress) -> list[Fidelity]:
    """The classical ways first, then `given`: name -> one output per tile. Empty if there is no clean picture, or more than one picture goes in."""
    colour = enhancer.inputs[0].colour
    pairs = [(_rgb(picture.inputs[0], colour), picture.clean) for picture in parity_set.pictures if picture.clean is not None]
    if len(pairs) < len(parity_set.pictures) or len(enhancer.inputs) > 1:
        return []
    result: Colour = "rgb" if enhancer.apply else enhancer.outputs[0].colour
    ways = _ways(enhancer.scale, [(rgb, clean) for rgb, clean in pairs[::TUNED_ON]], result, progress)
    found = []
    for number, (name, way) in enumerate(ways.items()):
        progress("classical steps", number, len(ways))
        found.append(_fidelity(name, "classical", [(clean, _in_colour(way(rgb), result)) for rgb, clean in pairs]))
    for name, outputs in given.items():
        outputs = [output.nan_to_num(0.0, 1.0, 0.0).clamp(0, 1) for output in outputs]
        if enhancer.apply:
            pictures = [adjusted(rgb, settings(enhancer.apply, output)) for (rgb, _), output in zip(pairs, outputs, strict=True)]
        else:
            pictures = parity_set.stitch(outputs)
        found.append(_fidelity(name, "network", [(clean, picture) for (_, clean), picture in zip(pairs, pictures, strict=True)]))
    return found


def _ways(scale: int, tuning: Sequence[tuple[Tensor, Tensor]], colour: Colour, progress: Progress) -> dict[str, Way]:
    if scale > 1:
        return {"bicubic enlargement": lambda rgb: resize(rgb, *(side * scale for side in rgb.shape[-2:])).clamp(0, 1)}
    found: dict[str, Way] = {"the input as it is": lambda rgb: rgb}
    for number, (name, choices) in enumerate(SETTINGS.items()):
        progress("classical steps: settings", number, len(SETTINGS))

        def psnr(step: ClassicalStep) -> float:
            return sum(metrics.psnr_uint8_db(clean, _in_colour(_step(step)(rgb), colour)) for rgb, clean in tuning)

        best = max(choices, key=psnr)
        told = ", ".join(f"{key} {value:g}" for key, value in best.parameters.items())
        found[f"{name}, {told}" if told else name] = _step(best)
    return found


def _step(step: ClassicalStep) -> Way:
    return lambda rgb: classical.apply(step, rgb[0])[None]


def _fidelity(name: str, kind: Literal["classical", "network"], pairs: Sequence[tuple[Tensor, Tensor]]) -> Fidelity:
    psnr = [metrics.psnr_uint8_db(clean, made) for clean, made in pairs]
    similar = [metrics.ssim(clean, made) for clean, made in pairs]
    return Fidelity(name, kind, sum(psnr) / len(psnr), min(psnr), sum(similar) / len(similar))


def _rgb(picture: Tensor, colour: Colour) -> Tensor:
    return picture.flip(1) if colour == "bgr" else picture.expand(-1, 3, -1, -1)


def _in_colour(rgb: Tensor, colour: Colour) -> Tensor:
    return rgb.flip(1) if colour == "bgr" else rgb if colour == "rgb" else luma(rgb)
