"""What each kind of network is trained to make small. A loss is (network, inputs, targets) -> scalar; pictures are (N, 3, H, W) float32 in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.errors import InvalidFile

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]

EXPOSURE = 0.5
"""Mean brightness, in sRGB, that a picture should have: of a well-exposed photograph; Zero-DCE's 0.6 washes out night scenes."""


LEAST_PX = 64
"""Side of the smallest patch that `zero_reference` takes: two regions of 32 pixels."""


def l1(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error: of restoration networks."""
    return F.l1_loss(network(inputs).float(), targets)


def zero_reference(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Zero-DCE's kinds of loss (Guo et al. 2020), without the targets: a good exposure, kept contrast, smooth curves.

    Unlike the paper's, exposure is asked of the whole patch, not of each small region, which would paint sun and shadow in one grey; contrast between
    neighbouring regions should grow as brightness does, and must not turn round. The paper's grey-world loss is left out, because one curve for all colours
    cannot cast one. `network` has `curves` and `bend`, as ZeroDCE has.
    """
    height, width = inputs.shape[-2:]
    if min(height, width) < LEAST_PX:
        raise InvalidFile(
            f"patches are {height}x{width} px; expected at least {LEAST_PX}x{LEAST_PX} to compare regions with their neighbours: choose a larger --patch"
        )
    curves = network.curves(inputs).float()  # type: ignore[operator]
    enhanced = network.bend(inputs, curves)  # type: ignore[operator]
    before, after = (F.avg_pool2d(x.mean(1, keepdim=True), 4) for x in (inputs, enhanced))
    gain = (after.mean((2, 3), keepdim=True) / before.mean((2, 3), keepdim=True).clamp_min(0.01)).detach().clamp(1, 8)
    exposure = (after.mean((2, 3)) - EXPOSURE).square().mean()
    contrast = sum((after.diff(dim=d) - gain * before.diff(dim=d)).square().mean() for d in (2, 3))
    far = sum((F.avg_pool2d(after, 8).diff(dim=d) - gain * F.avg_pool2d(before, 8).diff(dim=d)).square().mean() for d in (2, 3))
    turned = sum((-after.diff(dim=d) * before.diff(dim=d).sign()).clamp_min(0).mean() for d in (2, 3))
    smooth = sum(curves.diff(dim=d).square().mean() for d in (2, 3))
    return 2 * exposure + 4 * torch.as_tensor(contrast) + 2 * torch.as_tensor(far) + 100 * torch.as_tensor(smooth) + 5 * torch.as_tensor(turned)
