"""The tiny networks' trained weights: weights/NAME.safetensors, in float16."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from edgekit import models

WEIGHTS = Path(__file__).parent / "weights"


def path_of(name: str) -> Path:
    return WEIGHTS / f"{name}.safetensors"


def save(name: str, network: nn.Module) -> int:
    """Returns the file's size in bytes."""
    WEIGHTS.mkdir(exist_ok=True)
    state = models.to_state_dict(network.eval())
    save_file({key: value.half() if value.is_floating_point() else value for key, value in state.items()}, path_of(name))
    return path_of(name).stat().st_size
