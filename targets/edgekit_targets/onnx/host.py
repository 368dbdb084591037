"""Runs an ONNX file on this machine's CPU with ONNX Runtime."""

# ruff: noqa: TID253
from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # pyright: ignore[reportAttributeAccessIssue]
from torch import Tensor

from edgekit.errors import InvalidFile, first_line

BROKEN = (
    ort_errors.Fail,
    ort_errors.InvalidProtobuf,
    ort_errors.InvalidGraph,
    ort_errors.InvalidArgument,
    ort_errors.NotImplemented,
    ort_errors.NoModel,
)
"""What ONNX Runtime raises on files that are no model, are cut off, or hold operators it does not know."""


class Session:
    """An opened file. `threads` (default: PyTorch's number) share each operator's work.

    Files for TensorRT run too: their QDQ operators mean the same here, though the arithmetic order differs from an engine's.
    """

    def __init__(self, file: Path, threads: int | None = None) -> None:
        """Raises InvalidFile if the file is missing or is not an ONNX model that ONNX Runtime can run."""
        self._file = file
        self._threads = threads or torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(file.read_bytes(), session_options(self._threads), providers=["CPUExecutionProvider"])
        except OSError as error:
            raise InvalidFile(f"{file}: cannot be read ({error.strerror}); expected an ONNX file") from error
        except BROKEN as error:
            raise InvalidFile(f"{file}: ONNX Runtime cannot open it ({first_line(error)[:200]}); export it again") from error

    @property
    def threads(self) -> int:
        return self._threads

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """NCHW tensors in the file's dtypes, in the order of its inputs -> its outputs. Raises InvalidFile if number, shape or dtype do not fit."""
        expected = self._session.get_inputs()
        if len(inputs) != len(expected):
            raise InvalidFile(f"{self._file.name}: got {len(inputs)} inputs; expected {len(expected)}")
        feed = {e.name: np.ascontiguousarray(t.detach().numpy()) for e, t in zip(expected, inputs, strict=True)}
        try:
            outputs = self._session.run(None, feed)
        except ort_errors.InvalidArgument as error:
            raise InvalidFile(f"{self._file.name}: the input does not fit: {first_line(error)[:200]}") from error
        return tuple(torch.from_numpy(np.ascontiguousarray(o)) for o in outputs)


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """One operator at a time, `threads` threads in it. On x86 processors without VNNI, whose u8 x s8 products saturate, ONNX Runtime is told to take its
    exact kernels; elsewhere these are not needed and three times slower."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if saturates():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def saturates() -> bool:
    """Whether this is an x86 processor that is known to lack VNNI. Only Linux tells; elsewhere False, ONNX Runtime's own default."""
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not cpuinfo.exists():
        return False
    flags = next((line.split() for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), [])
    return bool(flags) and not {"avx512_vnni", "avx_vnni"} & set(flags)
