"""DnCNN (Zhang, Zuo, Chen, Meng, Zhang: Beyond a Gaussian Denoiser, IEEE TIP 2017, arXiv 1608.03981): a chain of convolutions that predicts the noise.

Parameter names are KAIR's, with or without batch normalization; those of SaoYan's DnCNN-PyTorch are read too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.shapes import Shapes


class DnCNN(nn.Module):
    """(N, C, H, W) float32 in [0, 1], RGB or luma -> the same, nominally [0, 1] (not clamped here).

    `normalized` puts batch normalization behind the inner convolutions.
    """

    scale = 1

    def __init__(self, convolutions: int = 17, channels: int = 64, colours: int = 3, *, normalized: bool = True) -> None:
        super().__init__()
        self.colours = colours
        layers: list[nn.Module] = [nn.Conv2d(colours, channels, 3, padding=1), nn.ReLU()]
        for _ in range(convolutions - 2):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), *([nn.BatchNorm2d(channels)] if normalized else []), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.Conv2d(channels, colours, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x - self.model(x)


def _kairs_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """SaoYan's `dncnn.` -> `model.`; zeros stand in for the biases that it has not and KAIR has."""
    if "dncnn.0.weight" not in state:
        return dict(state)
    tensors = {re.sub(r"^dncnn\.", "model.", key): value for key, value in state.items()}
    weights = {key: value for key, value in tensors.items() if value.ndim == 4 and value.numel()}
    return {**{key.removesuffix("weight") + "bias": torch.zeros(len(value)) for key, value in weights.items()}, **tensors}


def matches(state: Mapping[str, Tensor]) -> bool:
    """A chain of `model.N` or `dncnn.N`: convolutions and nothing else but batch normalization."""
    names = re.compile(r"(model|dncnn)\.\d+\.(weight|bias|running_mean|running_var|num_batches_tracked)")
    first = state.get("model.0.weight", state.get("dncnn.0.weight"))
    return first is not None and first.ndim == 4 and all(names.fullmatch(key) for key in state) and len(state) > 2


def from_state_dict(state: Mapping[str, Tensor]) -> DnCNN:
    """Builds the network whose depth, width and colours the tensors show. Raises InvalidCheckpoint.

    Nothing in the tensors tells of dilation: KAIR's IRCNN, the same chain with dilated convolutions, would be taken for this one.
    """
    tensors = _kairs_names(state)
    shapes = Shapes(tensors, "DnCNN")
    colours = shapes.size("model.0.weight", 1)
    if colours not in (1, 3):
        raise shapes.misfit(f"'model.0.weight' takes {colours} channels, expected 1 or 3")
    convolutions = {key: value for key, value in tensors.items() if key.endswith(".weight") and value.ndim == 4}
    normalized = any(key.endswith("running_mean") for key in tensors)
    with torch.device("meta"):
        network = DnCNN(len(convolutions), shapes.size("model.0.weight"), colours, normalized=normalized)
    fit(network, tensors)
    return network
