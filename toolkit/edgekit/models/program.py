"""Exported programs (.pt2): a network as torch.export.save wrote it, without its Python code."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidCheckpoint, InvalidFile
from edgekit.models import checkpoint, contract_file
from edgekit.models.contract_file import ContractFile
from edgekit.models.enhancers import enhancer_of
from edgekit.models.program_archive import AGAIN, cleaned
from edgekit.models.unseen import contract_of

SUFFIX = ".pt2"


class Program(nn.Module):
    """The graph as a module. It is what it was exported as: there is no other mode to switch to."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.program = graph

    def train(self, mode: bool = True) -> Program:
        self.training = mode
        return self

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.program(*inputs)


def load(path: Path, contract: Path | None = None) -> Enhancer:
    """`contract` is a TOML file; without it FILE.toml beside FILE.pt2, if there is one. Raises InvalidCheckpoint, InvalidFile."""
    program = read(path)
    beside = path.with_suffix(".toml")
    stated_in = contract or (beside if beside.exists() else None)
    stated = contract_file.read(stated_in) if stated_in else ContractFile()
    try:
        stated, only = _with_shapes(stated, program)
        module = Program(program.module(check_guards=False))
        pixels, found = contract_of(module, stated, only=only)
    except InvalidFile as error:
        raise InvalidFile(f"{path}: {error}") from error
    return enhancer_of(stated.name or path.stem, pixels, found, source=path.name, licence=stated.licence, sha256=checkpoint.sha256(path))


def read(path: Path) -> torch.export.ExportedProgram:
    """Loads what `program_archive` lets through. Raises InvalidCheckpoint."""
    archive = cleaned(path)
    log = logging.getLogger("torch.export")
    before, log.disabled = log.disabled, True
    try:
        return torch.export.load(archive)
    except Exception as error:  # a damaged graph raises nearly anything
        raise InvalidCheckpoint(f"{path}: torch could not read its graph ({checkpoint.brief(error)}); {AGAIN}") from error
    finally:
        log.disabled = before


def _with_shapes(stated: ContractFile, program: torch.export.ExportedProgram) -> tuple[ContractFile, tuple[int, int] | None]:
    """The contract with the channels that the program has, and the one size it takes (None: any). Raises InvalidFile."""
    placeholders = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    values = [placeholders[name] for name in program.graph_signature.user_inputs if isinstance(name, str)]
    if len(values) != len(stated.input):
        raise InvalidFile(f"takes {len(values)} inputs; expected {len(stated.input)}: write an [[input]] table for each into its contract")
    tensors, sides = [], set()
    for number, (tensor, value) in enumerate(zip(stated.input, values, strict=True), 1):
        if not isinstance(value, Tensor) or value.dtype != torch.float32 or value.ndim not in (2, 4):
            what = f"{value.dtype} of {value.ndim} dimensions" if isinstance(value, Tensor) else type(value).__name__
            raise InvalidFile(f"input {number} is {what}; expected float32 (1, channels, height, width), or (1, channels) for scalars")
        batch, channels = value.shape[0], value.shape[1]
        if (isinstance(batch, int) and batch != 1) or not isinstance(channels, int):
            raise InvalidFile(f"input {number} is {tuple(value.shape)}; expected a batch of 1 and channels that are fixed")
        if tensor.channels not in (None, channels):
            raise InvalidFile(f"its contract says channels of input {number} are {tensor.channels}, the program takes {channels}; expected the same")
        colour = tensor.colour or ("scalar" if value.ndim == 2 else "grey" if channels == 1 else None)
        tensors.append(replace(tensor, channels=channels, colour=colour))
        if value.ndim == 4:
            sides.add(tuple(side if isinstance(side, int) else None for side in value.shape[2:]))
    if len(sides) != 1:
        raise InvalidFile("its inputs differ in height or width; expected pictures of one size")
    ((height, width),) = sides
    if height is None and width is None:
        return replace(stated, input=tuple(tensors)), None
    if height is None or width is None:
        raise InvalidFile("its height or its width is fixed, but not both; expected both dynamic (torch.export.Dim), or both fixed")
    return replace(stated, input=tuple(tensors)), (height, width)
