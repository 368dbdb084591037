"""A network of pixels and its contract -> an Enhancer."""

from __future__ import annotations

from torch import nn

from edgekit.enhancer import Enhancer
from edgekit.models.contract import Contract
from edgekit.models.pixels import in_pixels, plain


def enhancer_of(name: str, module: nn.Module, contract: Contract, *, source: str, licence: str, sha256: str) -> Enhancer:
    """`module` is the network in its own values, or already wrapped in `Pixels`; the enhancer's takes and gives pixels and needs no gradients."""
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
        sha256=sha256,
        smallest=contract.smallest,
        only=contract.only,
        probed=contract.probed,
        sampler=contract.sampler,
        apply=contract.apply,
    )
