"""Weights that a checkpoint stores in parts -> plain weights, exactly as torch computes them in eval mode: weight norm (Salimans, Kingma 2016, arXiv 1602.07868),
spectral norm (Miyato et al. 2018, arXiv 1802.05957) and pruning masks, under the names of torch.nn.utils and of its parametrizations."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from math import prod

import torch
from torch import Tensor

from edgekit.errors import InvalidCheckpoint

_PARTS = (
    re.compile(r"(?P<place>(?:.*\.)?)(?P<name>weight)_(?P<part>g|v|u|orig|mask)"),
    re.compile(r"(?P<place>(?:.*\.)?)parametrizations\.(?P<name>\w+)\.(?P<part>original[01]?|\d+\.\w+)"),
)
_SAME_PART = {"original0": "g", "original1": "v", "original": "orig", "0._u": "u", "0._v": "v"}


def plain(state: Mapping[str, Tensor], besides: Collection[str] = ()) -> dict[str, Tensor]:
    """`state` with `X.weight` in place of its parts, in their place; keys that `besides` has too (a network that is parametrized itself) stay.

    Raises InvalidCheckpoint, one line, for parts that are incomplete, of other kinds, do not fit one another, or give values that are not finite.
    """
    parts: dict[str, dict[str, str]] = {}
    target: dict[str, str] = {}
    for key in state:
        found = next((m for pattern in _PARTS if (m := pattern.fullmatch(key))), None)
        if found and key not in besides:
            target[key] = found["place"] + found["name"]
            parts.setdefault(target[key], {})[_SAME_PART.get(found["part"], found["part"])] = key
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        if key not in target:
            result[key] = value
        elif target[key] not in result:
            result[target[key]] = _weight(target[key], parts[target[key]], state)
    return result


def _weight(name: str, keys: Mapping[str, str], state: Mapping[str, Tensor]) -> Tensor:
    if name in state:
        raise InvalidCheckpoint(f"'{name}' is there, and '{next(iter(keys.values()))}' too; expected one of them")
    values = {part: state[key].float() for part, key in keys.items()}
    match sorted(keys):
        case ["g", "v"]:
            weight = _weight_norm(values["g"], values["v"])
        case ["orig", "u", "v"]:
            weight = _spectral_norm(values["orig"], values["u"], values["v"])
        case ["mask", "orig"]:
            weight = values["orig"] * values["mask"] if values["orig"].shape == values["mask"].shape else None
        case _:
            raise InvalidCheckpoint(
                f"'{name}' is stored as {', '.join(keys.values())[:160]} alone; expected weight_g and _v, or weight_orig, _u and _v, or weight_orig and _mask: "
                "save the state dict after remove_weight_norm, remove_spectral_norm or remove_parametrizations"
            )
    if weight is None:
        shapes = ", ".join(f"{key} {tuple(state[key].shape)}" for key in keys.values())
        raise InvalidCheckpoint(f"the parts of '{name}' do not fit one another: {shapes[:200]}; expected the shapes that torch.nn.utils gives them")
    if not weight.isfinite().all():
        raise InvalidCheckpoint(
            f"'{name}' is not finite once its parts are put together; expected a norm above 0: train it again or use an earlier file"
        )
    return weight.contiguous()


def _weight_norm(g: Tensor, v: Tensor) -> Tensor | None:
    """g v / |v|, the norm over all axes but the one that `g` has; None if the shapes do not fit."""
    if not v.ndim or not v.numel():
        return None
    if g.ndim == 0:
        return torch._weight_norm(v, g, -1)  # the number that stands for all axes there
    axis = next((i for i, side in enumerate(g.shape) if side > 1), next((i for i, side in enumerate(v.shape) if side == 1), 0))
    expected = tuple(side if i == axis else 1 for i, side in enumerate(v.shape))
    return torch._weight_norm(v, g, axis) if tuple(g.shape) == expected else None


def _spectral_norm(original: Tensor, u: Tensor, v: Tensor) -> Tensor | None:
    """The weight / (u^T W v), W the matrix whose rows are the outputs: axis 0, or axis 1 of a transposed convolution. None if the shapes do not fit.

    Where both fit (as many channels in as out), u is along W v for one of them only, which tells.
    """
    axes = range(min(original.ndim, 2))
    fitting = [i for i in axes if u.shape == original.shape[i : i + 1] and v.shape == (prod(original.shape[:i] + original.shape[i + 1 :]),)]
    if not fitting or not original.numel():
        return None
    products = [torch.mv(original.movedim(axis, 0).reshape(len(u), -1), v) for axis in fitting]
    closest = max(products, key=lambda product: float(torch.dot(u, product) / product.norm().clamp(min=1e-30)))
    return original / torch.dot(u, closest)
