"""Running a .tflite file on this machine's CPU with LiteRT's interpreter (XNNPACK delegate on)."""
# ruff: noqa: TID253

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor

from edgekit.errors import InvalidFile, first_line
from edgekit_targets.tflite import flatbuffer


class Session:
    """An opened file. `threads` is how many the interpreter uses. Not for use by several threads at once."""

    def __init__(self, file: Path, threads: int | None = None) -> None:
        """Raises InvalidFile if the file is missing, damaged or not TFLite."""
        try:
            content = file.read_bytes()
        except OSError as error:
            raise InvalidFile(f"{file}: cannot be read ({error.strerror}); expected a .tflite file") from error
        self._load(content, file.name, threads)

    @classmethod
    def of(cls, content: bytes, where: str, threads: int | None = None) -> Session:
        """From a file's bytes; `where` opens the messages."""
        session = cls.__new__(cls)
        session._load(content, where, threads)
        return session

    def _load(self, content: bytes, where: str, threads: int | None) -> None:
        self.threads = threads or os.cpu_count() or 1
        flatbuffer.read(content, where)  # the interpreter trusts offsets; damaged ones could crash the process
        try:
            self._interpreter = Interpreter(model_content=content, num_threads=self.threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InvalidFile(f"{where}: LiteRT cannot load it ({first_line(error)}); export it again") from error
        self._inputs: list[dict[str, Any]] = self._interpreter.get_input_details()
        self._outputs: list[dict[str, Any]] = self._interpreter.get_output_details()

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """NCHW tensors of the file's dtype in, contiguous NCHW tensors out; the outputs are copies. Raises InvalidFile if a shape or dtype does not fit."""
        if len(inputs) != len(self._inputs):
            raise InvalidFile(f"the file takes {len(self._inputs)} inputs; got {len(inputs)}")
        for detail, tensor in zip(self._inputs, inputs, strict=True):
            values = to_file(tensor)
            try:
                self._interpreter.set_tensor(detail["index"], values)
            except ValueError as error:
                expected = f"{detail['shape'].tolist()} {detail['dtype'].__name__} (NHWC)"
                raise InvalidFile(f"input is {list(values.shape)} {values.dtype} (NHWC); the file expects {expected}") from error
        self._interpreter.invoke()
        return tuple(from_file(self._interpreter.get_tensor(detail["index"])) for detail in self._outputs)


def to_file(tensor: Tensor) -> Any:
    """NCHW tensor -> NHWC array in plain memory order; other ranks unchanged."""
    return (tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor).contiguous().numpy()


def from_file(array: Any) -> Tensor:
    """NHWC array -> contiguous NCHW tensor; other ranks unchanged."""
    tensor = torch.from_numpy(array)
    return (tensor.permute(0, 3, 1, 2) if tensor.dim() == 4 else tensor).contiguous()
