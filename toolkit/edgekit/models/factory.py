"""package.module:factory: a network that the user's own code makes. Unlike a checkpoint, this runs that code."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidCheckpoint, InvalidFile, first_line
from edgekit.models import checkpoint, contract_file, parametrized
from edgekit.models.contract_file import ContractFile
from edgekit.models.degrade import Degrade
from edgekit.models.enhancers import enhancer_of
from edgekit.models.unseen import contract_of


def is_factory(name: str) -> bool:
    """Whether `name` reads package.module:factory."""
    module, colon, function = name.partition(":")
    return bool(colon) and function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def load(name: str, weights: Path | None = None, contract: Path | None = None) -> Enhancer:
    """Imports the module (the current directory counts as a place of modules), calls the function without arguments, and probes the network it returns.

    `weights` are loaded into it, by our own reader. `contract` is a TOML file; without it the one beside the module, MODULE.toml, if there is one.
    Raises InvalidFile, InvalidCheckpoint.
    """
    module, network = _made(name)
    if weights is not None:
        try:
            checkpoint.fit(network, parametrized.plain(checkpoint.read(weights), besides=network.state_dict().keys()))
        except InvalidCheckpoint as error:
            raise InvalidCheckpoint(str(error) if str(error).startswith(str(weights)) else f"{weights}: {error}") from error
    beside = Path(module.__file__).with_suffix(".toml") if module.__file__ else None
    path = contract or (beside if beside and beside.exists() else None)
    stated = contract_file.read(path) if path else ContractFile()
    try:
        pixels, found = contract_of(network, stated, degrade=_degrade(stated, path))
    except InvalidFile as error:
        raise InvalidFile(f"{name}: {error}") from error
    return enhancer_of(
        stated.name or module.__name__.rpartition(".")[2],
        pixels,
        found,
        source=name + (f" with {weights.name}" if weights else ""),
        licence=stated.licence,
        sha256=sha256(network),
    )


def imported(name: str) -> tuple[ModuleType, Any]:
    """(module, the thing of it that is named). Runs the module's own code. Raises InvalidFile."""
    place, _, attribute = name.partition(":")
    here = os.getcwd()  # noqa: PTH109  # the text that sys.path holds
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        missing = f"no module named '{error.name}'"
        own = error.name and (place == error.name or place.startswith(f"{error.name}."))
        hint = f"expected it in the current directory ({here}) or installed" if own else f"which {place} imports; expected it installed"
        raise InvalidFile(f"{name}: {missing}, {hint}") from error
    except Exception as error:  # the user's own code raises any
        raise InvalidFile(f"{name}: importing {place} failed: {first_line(error, kind=True)}") from error
    if not hasattr(module, attribute):
        functions = [key for key, value in vars(module).items() if isinstance(value, FunctionType) and value.__module__ == place and key[0] != "_"]
        raise InvalidFile(
            f"{name}: {place} has no '{attribute}'; expected one of {', '.join(functions[:8]) or 'its functions, of which it has none'}"
        )
    return module, getattr(module, attribute)


def _made(name: str) -> tuple[ModuleType, nn.Module]:
    module, factory = imported(name)
    if isinstance(factory, nn.Module):
        return module, factory
    if not callable(factory):
        raise InvalidFile(f"{name}: is a {type(factory).__name__}; expected a function without arguments that returns a torch.nn.Module")
    try:
        network = factory()
    except Exception as error:  # the user's own code raises any
        raise InvalidFile(f"{name}: {factory.__name__}() failed: {first_line(error, kind=True)}") from error
    if not isinstance(network, nn.Module):
        raise InvalidFile(f"{name}: {factory.__name__}() returned a {type(network).__name__}; expected a torch.nn.Module")
    return module, network.cpu().float()


def _degrade(stated: ContractFile, path: Path | None) -> Degrade | None:
    """The contract's own function, if it names one."""
    if not stated.degrade or not is_factory(stated.degrade):
        return None
    _, function = imported(stated.degrade)
    if not callable(function):
        raise InvalidFile(f"{path}: degrade is '{stated.degrade}', a {type(function).__name__}; expected a function")
    return _checked(function, stated.degrade, len(stated.input))


def _checked(function: Callable[..., Any], name: str, count: int) -> Degrade:
    def degrade(clean: torch.Tensor) -> tuple[torch.Tensor, ...]:
        try:
            found = function(clean)
        except Exception as error:  # the user's own code raises any
            raise InvalidFile(f"{name}: failed on {tuple(clean.shape)}: {first_line(error, kind=True)}") from error
        given = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(given) != count or not all(isinstance(t, torch.Tensor) for t in given):
            raise InvalidFile(f"{name}: gave {len(given)} values; expected {count} tensors, the network's inputs as pixels in [0, 1]")
        return tuple(t.float() for t in given)

    return degrade


def sha256(network: nn.Module) -> str:
    """Of the tensors with their names, types and shapes, 64 hexadecimal digits: what stands in for a file's."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        plain = value.detach().cpu().contiguous()
        digest.update(f"{key} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.flatten().view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
    return digest.hexdigest()
