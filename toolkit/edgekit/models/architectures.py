"""The networks that edgekit builds itself, each from the tensors of anyone's checkpoint of it. Add a network: its file, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from edgekit.models import edsr, edsr_mobile, unet, zero_dce
from edgekit.models.contract import Contract
from edgekit.models.degrade import darkened, downscale, noisy


@dataclass(frozen=True)
class Architecture:
    """`build(**widths)` makes the network untrained; its defaults are those of the paper, or of the model that ships.

    `matches` knows the names of a checkpoint's tensors; `from_state_dict` makes the network whose depth, widths and scale the tensors show, and raises
    InvalidCheckpoint. `contract` is that of such a network. `to_state_dict` gives what `from_state_dict` takes.
    """

    name: str
    build: Callable[..., nn.Module]
    matches: Callable[[Mapping[str, Tensor]], bool]
    from_state_dict: Callable[[Mapping[str, Tensor]], nn.Module]
    contract: Callable[[nn.Module], Contract]
    paper: str
    description: str
    to_state_dict: Callable[[nn.Module], Mapping[str, Tensor]] = lambda network: network.state_dict()


def _enlarges(network: nn.Module) -> Contract:
    """Super-resolution by the network's own `scale`; the input is a reduced photograph."""
    scale = int(network.scale)  # type: ignore[arg-type]
    return Contract(scale, downscale(scale))


ARCHITECTURES = (
    Architecture(
        name="edsr",
        build=edsr.EDSR,
        matches=edsr.matches,
        from_state_dict=edsr.from_state_dict,
        contract=_enlarges,
        paper="Lim et al. 2017, arXiv 1707.02921",
        description="super-resolution x2, x3, x4: residual blocks and PixelShuffle",
        to_state_dict=lambda network: edsr.to_state_dict(network),  # type: ignore[arg-type]
    ),
    Architecture(
        name="edsr-mobile",
        build=edsr_mobile.EDSRMobile,
        matches=edsr_mobile.matches,
        from_state_dict=edsr_mobile.from_state_dict,
        contract=_enlarges,
        paper="after Du et al. 2021, arXiv 2105.09750, and Berger et al. 2023, arXiv 2303.04336",
        description="super-resolution for camera preview: plain 3x3 convolutions",
    ),
    Architecture(
        name="unet",
        build=unet.UNet,
        matches=unet.matches,
        from_state_dict=unet.from_state_dict,
        contract=lambda network: Contract(1, noisy(), multiple_of=int(network.multiple_of)),  # type: ignore[arg-type]
        paper="after Ronneberger et al. 2015, arXiv 1505.04597",
        description="denoiser without normalization that predicts the noise",
    ),
    Architecture(
        name="zero-dce",
        build=zero_dce.ZeroDCE,
        matches=zero_dce.matches,
        from_state_dict=zero_dce.from_state_dict,
        contract=lambda network: Contract(1, darkened()),
        paper="after Guo et al. 2020, arXiv 2001.06826",
        description="low-light enhancer that draws a brightening curve per pixel",
    ),
)


def names() -> list[str]:
    return sorted(one.name for one in ARCHITECTURES)


def named(name: str) -> Architecture:
    """The architecture of the table with this name, which exists."""
    return next(one for one in ARCHITECTURES if one.name == name)


def recognized(state: Mapping[str, Tensor]) -> Architecture | None:
    """The one whose names the tensors have."""
    return next((one for one in ARCHITECTURES if one.matches(state)), None)
