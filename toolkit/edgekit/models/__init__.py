"""Trained networks: the table of built-in ones, and people's own checkpoints of the same architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from torch import Tensor, nn

from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidCheckpoint, InvalidFile, UnknownName
from edgekit.models import checkpoint, edsr
from edgekit.models.degrade import downscale

Degrade = Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Entry:
    """A network that ships with its weights (a file in models/weights/), and the recogniser of other people's weights for it.

    `build` makes it untrained. `from_state_dict` makes what the tensors show (depth, widths, scale); it raises InvalidCheckpoint, and its result has a `scale`.
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
)


def names() -> list[str]:
    return sorted(entry.name for entry in MODELS)


def entry(name: str) -> Entry:
    """Raises UnknownName."""
    for known in MODELS:
        if known.name == name:
            return known
    raise UnknownName("model", name, names())


def load(name_or_path: str, weights: Path | None = None) -> Enhancer:
    """A built-in network by name (with its own weights, or those in `weights`), or a checkpoint of a known network.

    The module is in eval mode and needs no gradients; its output is not clamped (a rewrite adds that). Raises UnknownName, InvalidCheckpoint,
    InvalidFile.
    """
    if name_or_path in names():
        known = entry(name_or_path)
        if weights is not None:
            return _enhancer(name_or_path, known, weights, weights.name, "unknown")
        with as_file(files("edgekit.models") / "weights" / known.weights) as path:
            return _enhancer(name_or_path, known, path, known.source, known.licence)
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
    if known is None:
        known = next((candidate for candidate in MODELS if candidate.matches(state)), None)
    if known is None:
        first = ", ".join(f"'{key[:40]}'" for key in list(state)[:3])
        raise InvalidCheckpoint(f"{path}: its tensors ({first} ...) fit no known network; expected one of {', '.join(names())}")
    try:
        module = known.from_state_dict(state)
    except InvalidCheckpoint as error:
        raise InvalidCheckpoint(f"{path}: {error}") from error
    scale = int(module.scale)  # type: ignore[arg-type]
    return Enhancer(
        name=name,
        module=module.eval().requires_grad_(False),
        degrade=known.degrade_at(scale),
        scale=scale,
        source=source,
        licence=licence,
        sha256=checkpoint.sha256(path),
    )
