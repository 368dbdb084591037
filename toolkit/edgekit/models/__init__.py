"""Trained networks: the table of built-in ones, people's own checkpoints, exported programs and factories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidCheckpoint, InvalidFile, MissingToolchain, UnknownName
from edgekit.models import architectures, checkpoint, community, edsr, edsr_mobile, factory, parametrized, program, unet, zero_dce
from edgekit.models.architectures import Architecture
from edgekit.models.contract import Contract
from edgekit.models.degrade import Degrade, darkened, downscale, noisy
from edgekit.models.enhancers import enhancer_of
from edgekit.models.pixels import Pixels, in_pixels


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
    """The network of edgekit's own whose names and shapes the tensors have, in eval mode, taking and giving pixels. Raises InvalidCheckpoint."""
    known = architectures.recognized(state)
    if known is None:
        raise InvalidCheckpoint(
            f"its tensors ({_first(state)}) are of none of edgekit's own networks; expected one of {', '.join(architectures.names())}"
        )
    module = known.from_state_dict(state)
    contract = known.contract(module)
    return in_pixels(module, contract.inputs, contract.outputs).eval()


def to_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """A network's tensors, with what `rebuild` needs beside the parameters."""
    network = module.network if isinstance(module, Pixels) else module
    known = architectures.recognized(network.state_dict())
    state = known.to_state_dict(network) if known else network.state_dict()
    return {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in state.items()}


def _recognized(state: Mapping[str, Tensor]) -> tuple[nn.Module, Contract]:
    """(network, contract): of edgekit's own, else of spandrel's. Raises InvalidCheckpoint."""
    parts = checkpoint.networks_in(state)
    for part in parts:
        if known := architectures.recognized(part):
            module = known.from_state_dict(part)
            return module, known.contract(module)
    unknown = f"its tensors ({_first(state)}) fit no known network"
    factory_line = "or give --model package.module:factory (toolkit/docs/your-model.md)"
    try:
        found = next((one for part in parts if (one := community.recognized(part))), None)
    except MissingToolchain as error:
        raise InvalidCheckpoint(
            f'{unknown} of edgekit\'s own; expected spandrel for those of the community: pip install "edgekit[{error.extra}]", {factory_line}'
        ) from error
    if found is None:
        raise InvalidCheckpoint(f"{unknown} of edgekit's or spandrel's; expected one of {', '.join(architectures.names()[:6])} ... {factory_line}")
    return found.module, found.contract


def _first(state: Mapping[str, Tensor]) -> str:
    """What the names look like."""
    return ", ".join(f"'{key[:40]}'" for key in list(state)[:3]) + " ..."


def weights_path(name: str) -> Path:
    """The file of a built-in model's weights. Raises UnknownName."""
    return Path(__file__).parent / "weights" / entry(name).weights


def load(name_or_path: str, weights: Path | None = None, contract: Path | None = None) -> Enhancer:
    """A built-in network by name (with its own weights, or those in `weights`), a checkpoint of a known network, an exported program (.pt2), or what
    package.module:factory makes (with the weights in `weights`, if any; this runs the user's own code).

    `contract` is the TOML file of a .pt2 or factory. The module takes and gives pixels, is in eval mode and needs no gradients; its output may exceed [0, 1]
    (a rewrite clamps it). Raises UnknownName, InvalidCheckpoint, InvalidFile.
    """
    path = Path(name_or_path)
    suffix = path.suffix.lower()
    if factory.is_factory(name_or_path):
        return factory.load(name_or_path, weights, contract)
    if suffix == program.SUFFIX:
        _require_none(weights, f"{path}: holds its weights already, and --weights")
        return program.load(path, contract)
    _require_none(contract, f"{name_or_path}: its image contract is known, and --contract")
    if name_or_path in names():
        known = entry(name_or_path)
        if weights is not None:
            return _of_architecture(name_or_path, known.architecture, weights, weights.name, "unknown")
        return _of_architecture(name_or_path, known.architecture, weights_path(name_or_path), known.source, known.licence)
    if suffix in checkpoint.SUFFIXES:
        _require_none(weights, f"{path}: is a checkpoint already, and --weights")
        return _of_architecture(path.stem, None, path, path.name, "unknown")
    if suffix or ":" in name_or_path or path.name != name_or_path:
        kinds = ", ".join((*checkpoint.SUFFIXES, program.SUFFIX))
        raise InvalidFile(f"{name_or_path}: is neither a built-in name ({', '.join(names())}) nor one of {kinds} nor package.module:factory")
    raise UnknownName("model", name_or_path, names())


def _require_none(file: Path | None, fault: str) -> None:
    if file is not None:
        raise InvalidFile(f"{fault} {file.name} is another; expected one of them")


def _of_architecture(name: str, known: Architecture | None, path: Path, source: str, licence: str) -> Enhancer:
    """`known` None: the one whose names the tensors have."""
    stored = checkpoint.read(path)
    try:
        state = parametrized.plain(stored)
        if known is None:
            module, contract = _recognized(state)
        else:
            module = known.from_state_dict(state)
            contract = known.contract(module)
    except InvalidCheckpoint as error:
        raise InvalidCheckpoint(f"{path}: {error}") from error
    return enhancer_of(name, module, contract, source=source, licence=licence, sha256=checkpoint.sha256(path))
