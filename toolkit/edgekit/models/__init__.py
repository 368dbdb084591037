"""Trained networks: the table of built-in ones, and people's own checkpoints of the same architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidCheckpoint, InvalidFile, UnknownName
from edgekit.models import architectures, checkpoint, edsr, edsr_mobile, unet, zero_dce
from edgekit.models.architectures import Architecture
from edgekit.models.contract import Contract
from edgekit.models.degrade import Degrade, darkened, downscale, noisy
from edgekit.models.pixels import Pixels, in_pixels, plain


@dataclass(frozen=True)
class Entry:
    """A network that ships with its weights (a file in models/weights/).

    `build` makes it untrained, as it trains; `merge` makes of that the network as it ships. `scale` is that of the shipped weights, `degrade` makes their
    input from a clean photograph.
    """

    name: str
    architecture: Architecture
    build: Callable[[], nn.Module]
    degrade: Degrade
    scale: int
    weights: str
    source: str
    licence: str
    description: str
    merge: Callable[[nn.Module], nn.Module] = lambda network: network


MODELS = (
    Entry(
        name="edsr",
        architecture=architectures.named("edsr"),
        build=edsr.EDSR,
        degrade=downscale(2),
        scale=2,
        weights="edsr.safetensors",
        source="trained from scratch by `edgekit train edsr`; architecture of Lim et al. 2017, arXiv 1707.02921",
        licence="Apache-2.0",
        description="super-resolution x2, EDSR baseline (16 blocks of 64 channels)",
    ),
    Entry(
        name="edsr-x4",
        architecture=architectures.named("edsr"),
        build=lambda: edsr.EDSR(scale=4),
        degrade=downscale(4),
        scale=4,
        weights="edsr-x4.safetensors",
        source="trained by `edgekit train edsr-x4` from the weights of edsr, as its authors do; architecture of Lim et al. 2017, arXiv 1707.02921",
        licence="Apache-2.0",
        description="super-resolution x4, EDSR baseline (16 blocks of 64 channels)",
    ),
    Entry(
        name="edsr-mobile",
        architecture=architectures.named("edsr-mobile"),
        build=edsr_mobile.build,
        degrade=downscale(2),
        scale=2,
        weights="edsr-mobile.safetensors",
        source="trained from scratch by `edgekit train edsr-mobile`; architecture in edgekit.models.edsr_mobile",
        licence="Apache-2.0",
        description="super-resolution x2 for camera preview: six 3x3 convolutions of 32 channels, merged from branches",
        merge=edsr_mobile.merge,
    ),
    Entry(
        name="denoise",
        architecture=architectures.named("unet"),
        build=unet.UNet,
        degrade=noisy(),
        scale=1,
        weights="denoise.safetensors",
        source="trained from scratch by `edgekit train denoise`; after Ronneberger et al. 2015, arXiv 1505.04597",
        licence="Apache-2.0",
        description="denoiser for photographs, Gaussian noise of sigma 5 to 50, unknown to it; UNet of 32, 64 and 128 channels",
    ),
    Entry(
        name="lowlight",
        architecture=architectures.named("zero-dce"),
        build=zero_dce.ZeroDCE,
        degrade=darkened(),
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
    """The network whose names and shapes the tensors have, in eval mode, taking and giving pixels. Raises InvalidCheckpoint."""
    module, contract = _built(_known(state), state)
    return in_pixels(module, contract.inputs, contract.outputs).eval()


def to_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """A network's tensors, with what `rebuild` needs beside the parameters."""
    network = module.network if isinstance(module, Pixels) else module
    known = architectures.recognized(network.state_dict())
    state = known.to_state_dict(network) if known else network.state_dict()
    return {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in state.items()}


def _known(state: Mapping[str, Tensor]) -> Architecture:
    found = architectures.recognized(state)
    if found is None:
        first = ", ".join(f"'{key[:40]}'" for key in list(state)[:3])
        raise InvalidCheckpoint(f"its tensors ({first} ...) fit no known network; expected one of {', '.join(architectures.names())}")
    return found


def _built(known: Architecture, state: Mapping[str, Tensor]) -> tuple[nn.Module, Contract]:
    module = known.from_state_dict(state)
    return module, known.contract(module)


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
            return _enhancer(name_or_path, known.architecture, weights, weights.name, "unknown")
        return _enhancer(name_or_path, known.architecture, weights_path(name_or_path), known.source, known.licence)
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


def _enhancer(name: str, known: Architecture | None, path: Path, source: str, licence: str) -> Enhancer:
    """`known` None: the one whose names the tensors have."""
    state = checkpoint.read(path)
    try:
        module, contract = _built(known or _known(state), state)
    except InvalidCheckpoint as error:
        raise InvalidCheckpoint(f"{path}: {error}") from error
    return Enhancer(
        name=name,
        module=in_pixels(module, contract.inputs, contract.outputs).eval().requires_grad_(False),
        degrade=contract.degrade,
        scale=contract.scale,
        task=contract.task,
        inputs=tuple(map(plain, contract.inputs)),
        outputs=tuple(map(plain, contract.outputs)),
        multiple_of=contract.multiple_of,
        tiling=contract.tiling,
        source=source,
        licence=licence,
        sha256=checkpoint.sha256(path),
    )
