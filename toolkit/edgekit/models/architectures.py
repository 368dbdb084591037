"""The networks that edgekit builds itself, each from the tensors of anyone's checkpoint of it. Add a network: its file, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from edgekit.models import (
    adjust,
    cyclegan,
    diffusion,
    dncnn,
    ecbsr,
    edsr,
    edsr_bicubic,
    edsr_mobile,
    espcn,
    fusion,
    gan_denoiser,
    inpainting,
    nafnet,
    rdn,
    restormer,
    rrdbnet,
    span,
    srresnet,
    srvgg,
    style_transfer,
    swinir,
    unet,
    unet_mobilenet,
    vae,
    zero_dce,
)
from edgekit.models.contract import Contract, of_luma
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
    contract: Callable[[Any], Contract]
    paper: str
    description: str
    to_state_dict: Callable[[nn.Module], Mapping[str, Tensor]] = lambda network: network.state_dict()


def _enlarges(network: nn.Module) -> Contract:
    """Super-resolution by the network's own `scale`; the input is a reduced photograph."""
    scale = int(network.scale)  # type: ignore[arg-type]
    return _in_its_colours(network, Contract(scale, downscale(scale), multiple_of=int(getattr(network, "multiple_of", 1))))


def _denoises(network: nn.Module) -> Contract:
    """The input is a photograph with Gaussian noise."""
    return _in_its_colours(network, Contract(1, noisy(), multiple_of=int(getattr(network, "multiple_of", 1))))


def _denoises_whole(network: nn.Module) -> Contract:
    """As `_denoises`, by statistics of the whole picture."""
    return replace(_denoises(network), tiling="whole")


def _in_its_colours(network: nn.Module, contract: Contract) -> Contract:
    return of_luma(contract) if getattr(network, "colours", 3) == 1 else contract


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
        contract=_denoises,
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
    Architecture(
        name="edsr-bicubic",
        build=edsr_bicubic.EDSRBicubic,
        matches=edsr_bicubic.matches,
        from_state_dict=edsr_bicubic.from_state_dict,
        contract=_enlarges,
        paper="Chu et al. 2020 (TecoGAN), arXiv 1811.09393",
        description="super-resolution x2, x4: residual blocks add detail to the bicubic enlargement",
    ),
    Architecture(
        name="srresnet",
        build=srresnet.SRResNet,
        matches=srresnet.matches,
        from_state_dict=srresnet.from_state_dict,
        contract=_enlarges,
        paper="Ledig et al. 2017 (SRGAN), arXiv 1609.04802",
        description="super-resolution x2, x4: batch normalization, PReLU, PixelShuffle",
    ),
    Architecture(
        name="rdn",
        build=rdn.RDN,
        matches=rdn.matches,
        from_state_dict=rdn.from_state_dict,
        contract=_enlarges,
        paper="Zhang et al. 2018, arXiv 1802.08797",
        description="super-resolution x2, x3, x4: residual dense blocks",
    ),
    Architecture(
        name="rrdbnet",
        build=rrdbnet.RRDBNet,
        matches=rrdbnet.matches,
        from_state_dict=rrdbnet.from_state_dict,
        contract=_enlarges,
        paper="Wang et al. 2018 (ESRGAN), arXiv 1809.00219; Wang et al. 2021 (Real-ESRGAN), arXiv 2107.10833",
        description="super-resolution x4, x2, x1: residual dense blocks in residual blocks, nearest enlargement",
    ),
    Architecture(
        name="espcn",
        build=espcn.ESPCN,
        matches=espcn.matches,
        from_state_dict=espcn.from_state_dict,
        contract=_enlarges,
        paper="Shi et al. 2016, arXiv 1609.05158",
        description="super-resolution of the luma alone",
    ),
    Architecture(
        name="srvgg",
        build=srvgg.SRVGGNetCompact,
        matches=srvgg.matches,
        from_state_dict=srvgg.from_state_dict,
        contract=_enlarges,
        paper="Wang et al. 2021 (Real-ESRGAN), arXiv 2107.10833",
        description="super-resolution x1 to x4, compact: a chain of convolutions and PReLU",
    ),
    Architecture(
        name="span",
        build=span.SPAN,
        matches=span.matches,
        from_state_dict=span.from_state_dict,
        contract=span.contract,
        paper="Wan et al. 2024, arXiv 2311.12770",
        description="super-resolution by attention without parameters; re-parameterized convolutions",
    ),
    Architecture(
        name="ecbsr",
        build=ecbsr.ECBSR,
        matches=ecbsr.matches,
        from_state_dict=ecbsr.from_state_dict,
        contract=_enlarges,
        paper="Zhang, Zeng, Zhang 2021, ACM Multimedia",
        description="super-resolution for phones: convolutions re-parameterized from edge filters",
    ),
    Architecture(
        name="dncnn",
        build=dncnn.DnCNN,
        matches=dncnn.matches,
        from_state_dict=dncnn.from_state_dict,
        contract=_denoises,
        paper="Zhang et al. 2017, arXiv 1608.03981",
        description="denoiser: a chain of convolutions and batch normalization that predicts the noise",
    ),
    Architecture(
        name="nafnet",
        build=nafnet.NAFNet,
        matches=nafnet.matches,
        from_state_dict=nafnet.from_state_dict,
        contract=_denoises_whole,
        paper="Chen et al. 2022, arXiv 2204.04676",
        description="restoration without activations; channel attention over the whole picture",
    ),
    Architecture(
        name="restormer",
        build=restormer.Restormer,
        matches=restormer.matches,
        from_state_dict=restormer.from_state_dict,
        contract=_denoises_whole,
        paper="Zamir et al. 2022, arXiv 2111.09881",
        description="restoration by attention between channels, over the whole picture",
    ),
    Architecture(
        name="swinir",
        build=swinir.SwinIR,
        matches=swinir.matches,
        from_state_dict=swinir.from_state_dict,
        contract=swinir.contract,
        paper="Liang et al. 2021, arXiv 2108.10257",
        description="super-resolution and denoising by attention in shifted windows",
        to_state_dict=swinir.to_state_dict,
    ),
    Architecture(
        name="cyclegan",
        build=cyclegan.CycleGAN,
        matches=cyclegan.matches,
        from_state_dict=cyclegan.from_state_dict,
        contract=cyclegan.contract,
        paper="Zhu et al. 2017, arXiv 1703.10593",
        description="generator between two kinds of pictures, with instance normalization",
    ),
    Architecture(
        name="style-transfer",
        build=style_transfer.StyleTransfer,
        matches=style_transfer.matches,
        from_state_dict=style_transfer.from_state_dict,
        contract=style_transfer.contract,
        paper="Johnson et al. 2016, arXiv 1603.08155",
        description="fast style transfer, with instance normalization",
    ),
    Architecture(
        name="unet-mobilenet",
        build=unet_mobilenet.UNetMobileNetV3,
        matches=unet_mobilenet.matches,
        from_state_dict=unet_mobilenet.from_state_dict,
        contract=unet_mobilenet.contract,
        paper="after Ronneberger et al. 2015, arXiv 1505.04597, and Howard et al. 2019, arXiv 1905.02244",
        description="segmentation into masks of 1 to N classes",
    ),
    Architecture(
        name="fusion",
        build=fusion.Fusion,
        matches=fusion.matches,
        from_state_dict=fusion.from_state_dict,
        contract=fusion.contract,
        paper="after Li and Wu 2019, arXiv 1804.08361",
        description="an infrared and a visible picture in one",
    ),
    Architecture(
        name="inpainting",
        build=inpainting.Inpainting,
        matches=inpainting.matches,
        from_state_dict=inpainting.from_state_dict,
        contract=inpainting.contract,
        paper="Yu et al. 2019, arXiv 1806.03589",
        description="fills what a mask covers, by gated convolutions",
    ),
    Architecture(
        name="vae",
        build=vae.VAE,
        matches=vae.matches,
        from_state_dict=vae.from_state_dict,
        contract=vae.contract,
        paper="Kingma and Welling 2014, arXiv 1312.6114; Im et al. 2017, arXiv 1511.06406",
        description="denoiser by a variational autoencoder, its mean",
    ),
    Architecture(
        name="gan-denoiser",
        build=gan_denoiser.GANDenoiser,
        matches=gan_denoiser.matches,
        from_state_dict=gan_denoiser.from_state_dict,
        contract=gan_denoiser.contract,
        paper="after Isola et al. 2017, arXiv 1611.07004",
        description="denoiser of the luma, generator of pix2pix",
    ),
    Architecture(
        name="diffusion",
        build=diffusion.Diffusion,
        matches=diffusion.matches,
        from_state_dict=diffusion.from_state_dict,
        contract=diffusion.contract,
        paper="Ho et al. 2020, arXiv 2006.11239; Song et al. 2021, arXiv 2010.02502; Saharia et al. 2021, arXiv 2104.07636",
        description="denoiser by diffusion: one step",
    ),
    Architecture(
        name="adjust",
        build=adjust.Adjust,
        matches=adjust.matches,
        from_state_dict=adjust.from_state_dict,
        contract=adjust.contract,
        paper="after Hu et al. 2018, arXiv 1709.09602",
        description="predicts gain, gamma and saturation for the whole picture",
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
