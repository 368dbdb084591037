"""Trained networks: the table of built-in ones, and people's own checkpoints of the same architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidCheckpoint, InvalidFile, UnknownName
from edgekit.models import checkpoint, edsr, edsr_mobile, unet, zero_dce
from edgekit.models.degrade import Degrade, darkened, downscale, noisy


@dataclass(frozen=True)
class Entry:
    """A network that ships with its weights (a file in models/weights/), and the recogniser of other people's weights for it.

    `build` makes it untrained, as it trains; `merge` makes of that the network as it ships. `from_state_dict` makes what the tensors show (depth, widths,
    scale); it raises InvalidCheckpoint, and its result has a `scale` and, where input sides must be multiples of more than 1, a `multiple_of`.
    `degrade_at` takes that scale; `scale` is that of the shipped weights.
    """

    name: str
    build: Callable[[], nn.Module]
    matches: Callable[[Mapping[str, Tensor]], bool]
    from_state_dict: Callable[[Mapping[str, Tensor]], nn.Module]
    degrade_at: Callable[[int], Degrade]
    scale: int
    weights: str
    source: str
    licence: str
    description: str
    merge: Callable[[nn.Module], nn.Module] = lambda network: network

    @property
    def degrade(self) -> Degrade:
        """Makes the input of the network as it ships from a clean photograph."""
        return self.degrade_at(self.scale)


MODELS = (
    Entry(
        name="edsr",
        build=edsr.EDSR,
        matches=edsr.matches,
        from_state_dict=edsr.from_state_dict,
        degrade_at=downscale,
        scale=2,
        weights="edsr.safetensors",
        source="trained from scratch by `edgekit train edsr`; architecture of Lim et al. 2017, arXiv 1707.02921",
        licence="Apache-2.0",
        description="super-resolution x2, EDSR baseline (16 blocks of 64 channels)",
    ),
    Entry(
        name="edsr-x4",
        build=lambda: edsr.EDSR(scale=4),
        matches=edsr.matches,
        from_state_dict=edsr.from_state_dict,
        degrade_at=downscale,
        scale=4,
        weights="edsr-x4.safetensors",
        source="trained by `edgekit train edsr-x4` from the weights of edsr, as its authors do; architecture of Lim et al. 2017, arXiv 1707.02921",
        licence="Apache-2.0",
        description="super-resolution x4, EDSR baseline (16 blocks of 64 channels)",
    ),
    Entry(
        name="edsr-mobile",
        build=edsr_mobile.build,
        matches=edsr_mobile.matches,
        from_state_dict=edsr_mobile.from_state_dict,
        degrade_at=downscale,
        scale=2,
        weights="edsr-mobile.safetensors",
        source="trained from scratch by `edgekit train edsr-mobile`; architecture in edgekit.models.edsr_mobile",
        licence="Apache-2.0",
        description="super-resolution x2 for camera preview: six 3x3 convolutions of 32 channels, merged from branches",
        merge=edsr_mobile.merge,
    ),
    Entry(
        name="denoise",
        build=unet.UNet,
        matches=unet.matches,
        from_state_dict=unet.from_state_dict,
        degrade_at=lambda scale: noisy(),
        scale=1,
        weights="denoise.safetensors",
        source="trained from scratch by `edgekit train denoise`; after Ronneberger et al. 2015, arXiv 1505.04597",
        licence="Apache-2.0",
        description="denoiser for photographs, Gaussian noise of sigma 5 to 50, unknown to it; UNet of 32, 64 and 128 channels",
    ),
    Entry(
        name="lowlight",
        build=zero_dce.ZeroDCE,
        matches=zero_dce.matches,
        from_state_dict=zero_dce.from_state_dict,
        degrade_at=lambda scale: darkened(),
        scale=1,
        weights="lowlight.safetensors",
        source="trained from scratch, without references, by `edgekit train lowlight`; after Guo et al. 2020, arXiv 2001.06826",
        licence="Apache-2.0",
        description="brightens dark pictures by curves it draws per pixel, Zero-DCE",
    ),
)


def names() -> list[str]:
    return sorted(entry.name for entry in MODELS)


def entry(name: str) -> Entry:
    """Raises UnknownName."""
    for known in MODELS:
        if known.name == name:
            return known
    raise UnknownName("model", name, names())


def rebuild(state: Mapping[str, Tensor]) -> nn.Module:
    """The network whose names and shapes the tensors have, in eval mode. Raises InvalidCheckpoint."""
    return _known(state).from_state_dict(state).eval()


def to_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """A network's tensors, with what `rebuild` needs beside the parameters."""
    state = edsr.to_state_dict(module) if isinstance(module, edsr.EDSR) else module.state_dict()
    return {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in state.items()}


def _known(state: Mapping[str, Tensor]) -> Entry:
    for candidate in MODELS:
        if candidate.matches(state):
            return candidate
    first = ", ".join(f"'{key[:40]}'" for key in list(state)[:3])
    raise InvalidCheckpoint(f"its tensors ({first} ...) fit no known network; expected one of {', '.join(names())}")


def weights_path(name: str) -> Path:
    """The file of a built-in model's weights. Raises UnknownName."""
    return Path(__file__).parent / "weights" / entry(name).weights


def load(name_or_path: str, weights: Path | None = None) -> Enhancer:
    """A built-in network by name (with its own weights, or those in `weights`), or a checkpoint of a known network.

    The module is in eval mode and needs no gradients; its output is not clamped (a rewrite adds that). Raises UnknownName, InvalidCheckpoint,
    InvalidFile.
    """
    if name_or_path in names():
        known = entry(name_or_path)
        if weights is not None:
            return _enhancer(name_or_path, known, weights, weights.name, "unknown")
        return _enhancer(name_or_path, known, weights_path(name_or_path), known.source, known.licence)
    path = Path(name_or_path)
    if path.suffix.lower() in checkpoint.SUFFIXES:
        if weights is not None:
            raise InvalidFile(f"{path}: is a checkpoint already, and --weights {weights.name} is another; expected one of them")
        return _enhancer(path.stem, None, path, path.name, "unknown")
    if path.suffix.lower() == ".pt2" or ":" in name_or_path:
        kind = "exported programs (.pt2)" if path.suffix.lower() == ".pt2" else "factories (package.module:name)"
        raise InvalidFile(
            f"{name_or_path}: {kind} cannot be loaded by this version; expected a built-in name or one of {', '.join(checkpoint.SUFFIXES)}"
        )
    if path.suffix or path.name != name_or_path:
        raise InvalidFile(f"{name_or_path}: is neither a built-in name ({', '.join(names())}) nor one of {', '.join(checkpoint.SUFFIXES)}")
    raise UnknownName("model", name_or_path, names())


def _enhancer(name: str, known: Entry | None, path: Path, source: str, licence: str) -> Enhancer:
    """`known` None: the one whose names the tensors have."""
    state = checkpoint.read(path)
    try:
        known = known or _known(state)
        module = known.from_state_dict(state)
    except InvalidCheckpoint as error:
        raise InvalidCheckpoint(f"{path}: {error}") from error
    scale = int(module.scale)  # type: ignore[arg-type]
    multiple_of = int(getattr(module, "multiple_of", 1))
    return Enhancer(
        name=name,
        module=module.eval().requires_grad_(False),
        degrade=known.degrade_at(scale),
        scale=scale,
        multiple_of=multiple_of,
        source=source,
        licence=licence,
        sha256=checkpoint.sha256(path),
    )
