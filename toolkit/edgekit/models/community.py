"""Checkpoints of the community, through spandrel: it recognizes an architecture by the tensors' names, reads its widths off their shapes and builds it.

It gets the tensors that our own reader took out of the file; its own file readers are never called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec
from edgekit.errors import InvalidCheckpoint, MissingToolchain, first_line
from edgekit.models import probe
from edgekit.models.contract import Contract
from edgekit.models.degrade import Degrade, darkened, downscale, holed, noisy, unchanged
from edgekit.models.traceable import CALLS, make_traceable
from edgekit.models.unseen import for_inputs

DENOISERS = {"DITN", "DnCNN", "DRUNet", "KBNet", "NAFNet", "SCUNet", "Uformer"}
LOW_LIGHT = {"HVICIDNet", "RetinexFormer"}
FACE_SIDE = 512
"""Face restorers start from a learned picture of this size."""


class Community(nn.Module):
    """(N, C, H, W) pixels in [0, 1] -> the same, as spandrel's descriptor calls the network: with the range, noise level or mask that it was trained with."""

    def __init__(self, network: nn.Module, call: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network = network
        self.call = call

    def forward(self, *pictures: Tensor) -> Tensor:
        return self.call(self.network, *pictures)


@dataclass(frozen=True)
class Recognized:
    """`name` is spandrel's of the architecture."""

    name: str
    module: nn.Module
    contract: Contract


def recognized(state: Mapping[str, Tensor]) -> Recognized | None:
    """The network whose tensors these are, with what it tells and what was probed; None if spandrel knows none, either.

    Raises MissingToolchain without spandrel, InvalidCheckpoint for tensors that do not fit the network whose names they have.
    """
    tensors = dict(state)
    for support in registry().architectures("detection"):
        if support.detect(tensors):
            return _built(support.architecture, tensors)
    return None


def names() -> list[str]:
    """Of spandrel's architectures. Raises MissingToolchain."""
    return sorted(str(support.architecture.id) for support in registry())


@cache
def registry() -> Any:
    """spandrel's table. Raises MissingToolchain."""
    if find_spec("spandrel") is None:
        raise MissingToolchain("a checkpoint that is none of edgekit's own architectures", "spandrel", "checkpoints")
    _let_torchvision_in()
    try:
        import spandrel
    except (ImportError, RuntimeError) as error:
        missing = "torchvision" if "torchvision" in str(error) else first_line(error, kind=True)
        raise MissingToolchain("spandrel", f"{missing} of this torch's version", "checkpoints") from error
    return spandrel.MAIN_REGISTRY


_declared: list[torch.library.Library] = []


def _let_torchvision_in() -> None:
    """spandrel imports a rotation and a normalization of torchvision, whose wheels bring operators for CUDA builds of torch. Beside a CPU build these do not
    load, and torchvision's import then stops because two of them are not even declared. They are declared here and never run."""
    if find_spec("torchvision") is None or _declared:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)


def _built(architecture: Any, tensors: dict[str, Tensor]) -> Recognized:
    name = str(architecture.id)
    try:
        found = architecture.load(tensors)
    except Exception as error:  # shapes that do not fit raise many types
        raise InvalidCheckpoint(f"its names are those of {name}, but its tensors do not fit it: {first_line(error, kind=True)}") from error
    make_traceable(found.model)
    masked = found.purpose == "Inpainting"
    inputs = (_image("image", found.output_channels if masked else found.input_channels), *([ImageSpec("mask", 1, "mask")] if masked else []))
    outputs = (_image("enhanced", found.output_channels),)
    module = Community(found.model, CALLS.get(name) or found._call_fn).eval().requires_grad_(False)
    return Recognized(name, module, _contract(name, found, module, inputs, outputs))


def _image(name: str, channels: int) -> ImageSpec:
    if channels not in (1, 3):
        raise InvalidCheckpoint(f"its pictures have {channels} channels; expected 1 or 3")
    return ImageSpec(name, channels, "rgb" if channels == 3 else "luma")


def _contract(name: str, found: Any, module: nn.Module, inputs: tuple[ImageSpec, ...], outputs: tuple[ImageSpec, ...]) -> Contract:
    required = found.size_requirements
    multiple = int(required.multiple_of)
    side = max(int(required.minimum), multiple)
    only = (FACE_SIDE, FACE_SIDE) if found.purpose == "FaceSR" else (side, side) if required.square else None
    sizes = probe.Sizes(multiple, max(1, int(required.minimum)), int(found.scale), (outputs[0].channels,))
    if only:
        reach, seen = probe.Reach("whole", None, 1), f"only {only[0]}x{only[1]} px, so tiling whole"
    elif found.tiling.name == "INTERNAL":
        reach, seen = probe.Reach("whole", None, multiple), "tiling whole: it needs the whole picture"
    else:
        reach = probe.reach(module, inputs, sizes)
        how = f"exact, a pixel reaches {reach.radius} px" if reach.tiling == "exact" else "whole: a pixel reaches everywhere"
        seen = f"multiple of {reach.multiple_of}, tiling {how}"
    kind, degrade = ("holes", holed()) if len(inputs) == 2 else _degrade(name, sizes.scale)
    return Contract(
        scale=sizes.scale,
        degrade=degrade if len(inputs) == 2 else for_inputs(degrade, inputs),
        inputs=inputs,
        outputs=outputs,
        multiple_of=reach.multiple_of,
        tiling=reach.tiling,
        smallest=sizes.smallest,
        only=only,
        probed=(f"architecture {name} (spandrel)", seen, f"degrade '{kind}': assumed"),
    )


def _degrade(name: str, scale: int) -> tuple[str, Degrade]:
    if scale > 1:
        return "downscale", downscale(scale)
    return ("noise", noisy()) if name in DENOISERS else ("dark", darkened()) if name in LOW_LIGHT else ("none", unchanged)
