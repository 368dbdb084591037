"""What whoever runs a bundle's files does around them, in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.enhancer import Adjustment, ClassicalStep, Sampler
from edgekit.manifest import Manifest

STEPS = {"equalize": "histogram equalization", "clahe": "CLAHE", "bilateral": "a bilateral filter"}
PARAMETERS = {
    "regions": "{:g} regions a side",
    "limit": "no level more than {:g} times the mean count",
    "sigma_space": "sigma {:g} px",
    "sigma_colour": "sigma {:g} of colour",
}


def around(described: Manifest) -> list[str]:
    """A sentence or two for each thing; empty for files that are all there is to run."""
    found = []
    if described.before:
        found.append(f"Before the network, the picture gets {_steps(described.before)}.")
    if described.sampler:
        found.append(_sampled(described.sampler))
    if described.apply:
        found.append(_applied(described.apply, described.image.tile))
    if described.after:
        found.append(f"The result gets {_steps(described.after)}.")
    if described.before or described.after:
        found.append("The numbers of the files were measured without these steps.")
    return [*found, "edgekit run does all this; the demo apps refuse such a bundle."] if found else []


def _steps(steps: Sequence[ClassicalStep]) -> str:
    """In their order."""
    return ", then ".join(
        STEPS[step.name] + (f" ({', '.join(_parameter(*one) for one in step.parameters.items())})" if step.parameters else "") for step in steps
    )


def _parameter(name: str, value: float) -> str:
    return PARAMETERS[name].format(value)


def _sampled(sampler: Sampler) -> str:
    shares = ", ".join(f"{share:.3g}" for share in sampler.noise)
    return (
        f"The files are one step of a diffusion model. It starts from noise (seed {sampler.seed}) and goes over the whole picture {len(sampler.noise)} times, "
        f"with these shares of noise left: {shares} ({sampler.kind.upper()}). The numbers of the files are those of single steps."
    )


def _applied(apply: Adjustment, tile: tuple[int, int]) -> str:
    names = ("gain", "gamma", "saturation")
    ranges = ", ".join(f"{name} from {low:g} to {high:g}" for name, (low, high) in zip(names, apply.ranges, strict=True))
    return (
        f"The files give numbers instead of a picture. They see the picture resized to {tile[1]} x {tile[0]} px; their output “{apply.output}” then says how "
        f"every pixel of the picture is adjusted at its own size: {ranges}."
    )
