"""LPIPS (Zhang, Isola, Efros, Shechtman, Wang 2018, arXiv 1801.03924): only where its package and its network's weights are on the machine already."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekit.errors import first_line

SMALLEST_SIDE = 64
"""Pixels. AlexNet reduces a smaller picture to nothing."""


def missing() -> str | None:
    """Why LPIPS cannot be measured here; None if it can. Imports nothing heavy but torchvision, and downloads nothing."""
    absent = [name for name in ("lpips", "torchvision") if find_spec(name) is None]
    if absent:
        return f"LPIPS needs the Python package {' and '.join(absent)} and AlexNet's weights on this machine; nothing is downloaded"
    try:
        weights = _weights()
    except Exception as error:  # a torchvision built for another torch raises what it likes
        return f"LPIPS needs torchvision, which cannot be imported here ({first_line(error)}): install the one made for torch {torch.__version__}"
    if not weights.is_file():
        return f"LPIPS needs AlexNet's weights {weights.name} in torch's own cache folder (torch.hub.get_dir()); nothing is downloaded"
    return None


def lpips(a: Tensor, b: Tensor) -> float | None:
    """LPIPS of two sRGB pictures (N, 3, H, W) in [0, 1], AlexNet, lower is nearer. None for sides below 64 px. Call it only if `missing()` is None."""
    if min(a.shape[-2:]) < SMALLEST_SIDE:
        return None
    with torch.no_grad():
        return float(_network()(a.clamp(0, 1) * 2 - 1, b.clamp(0, 1) * 2 - 1).mean())


def _weights() -> Path:
    """Where torchvision keeps AlexNet's weights once they were fetched."""
    url = import_module("torchvision.models").AlexNet_Weights.DEFAULT.url
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


@cache
def _network() -> Any:
    with warnings.catch_warnings(action="ignore"):  # it builds AlexNet by torchvision's older names
        return import_module("lpips").LPIPS(net="alex", verbose=False).eval()
