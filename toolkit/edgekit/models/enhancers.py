"""A network of pixels and its contract -> an Enhancer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekit.enhancer import Enhancer
from edgekit.models import probe
from edgekit.models.contract import Contract
from edgekit.models.pixels import in_pixels, plain


def enhancer_of(name: str, module: nn.Module, contract: Contract, *, source: str, licence: str, sha256: str) -> Enhancer:
    """`module` is the network in its own values, or already wrapped in `Pixels`; the enhancer's takes and gives pixels, needs no gradients and leaves its
    inputs as they are."""
    pixels = in_pixels(module, contract.inputs, contract.outputs).eval().requires_grad_(False)
    if _writes_into_its_inputs(pixels, contract):
        pixels.register_forward_pre_hook(_copies)
    return Enhancer(
        name=name,
        module=pixels,
        degrade=contract.degrade,
        scale=contract.scale,
        task=contract.task,
        inputs=tuple(map(plain, contract.inputs)),
        outputs=tuple(map(plain, contract.outputs)),
        multiple_of=contract.multiple_of,
        tiling=contract.tiling,
        source=source,
        licence=licence,
        sha256=sha256,
        smallest=contract.smallest,
        only=contract.only,
        probed=contract.probed,
        sampler=contract.sampler,
        apply=contract.apply,
    )


def _writes_into_its_inputs(module: nn.Module, contract: Contract) -> bool:
    """As RCAN's `x *= 255` does: the picture that it is compared on afterwards would be another one, and Core ML refuses it."""
    unit = contract.multiple_of
    side = -(-max(contract.smallest, unit, 16) // unit) * unit
    inputs = probe.example(contract.inputs, *(contract.only or (side, side)))
    before = [tensor._version for tensor in inputs]
    try:
        with torch.no_grad():
            module(*inputs)
    except Exception:  # the user's own code raises any; who runs it on a picture says so
        return False
    return [tensor._version for tensor in inputs] != before


def _copies(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.clone() for tensor in inputs)
