# ruff: noqa: TID253
"""Runs a `.pte` file on this machine, through ExecuTorch's own runtime and its XNNPACK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from executorch.extension.pybindings.portable_lib import _threadpool_get_thread_count
from executorch.runtime import Runtime, Verification
from torch import Tensor

from edgekit.errors import InvalidFile, LoweringError, first_line


class Session:
    """An opened `.pte` file. Raises InvalidFile if it is missing, truncated, altered beyond reading, or needs what this runtime does not have."""

    def __init__(self, file: Path) -> None:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InvalidFile(f"{file}: cannot be read ({error.strerror}); expected an ExecuTorch program") from error
        _check_size(file, data)
        try:
            program = Runtime.get().load_program(data, verification=Verification.InternalConsistency)
            method = program.load_method("forward") if "forward" in program.method_names else None
        except RuntimeError as error:
            raise InvalidFile(f"{file}: ExecuTorch cannot load it ({first_line(error)}); export it again") from error
        if method is None:
            raise InvalidFile(f"{file}: has no method 'forward'; export it again")
        self._file, self._program, self._method = file, program, method

    @property
    def threads(self) -> int:
        """Size of the thread pool that XNNPACK uses in this process."""
        return _threadpool_get_thread_count()

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One tile: tensors of the file's shapes and dtypes, in any memory order. Returns fresh NCHW tensors. Raises LoweringError if it cannot run."""
        with _single_threaded_torch():
            try:
                outputs = self._method.execute([contiguous(t) for t in inputs])
            except RuntimeError as error:
                raise LoweringError(f"{self._file.name}: ExecuTorch loads it but cannot run it ({first_line(error)})") from error
            # The runtime reuses its output memory on the next call.
            return tuple(contiguous(t) for t in outputs)


@contextmanager
def _single_threaded_torch() -> Iterator[None]:
    """Copying a tile in and out wakes torch's OpenMP threads, which then spin for milliseconds on the cores that XNNPACK's own threads need: a fifth of
    the processor time of an int8 EDSR tile on 2 cores (perf: libgomp). An app without torch has nothing of the kind, so it does not belong into a latency."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def contiguous(tensor: Tensor) -> Tensor:
    """A copy in plain NCHW order with plain strides. The runtime reads the memory as NCHW or NHWC by its strides: a channels-last view is taken for another
    layout than the file's, and `Tensor.contiguous()` keeps such strides where a side is 1."""
    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)


def _check_size(file: Path, data: bytes) -> None:
    """A truncated file passes the runtime's own verification and crashes the process later; the header knows how long the file must be.

    Bytes 4-7 are "ET" and a version; 8-11 "eh" and a version; then the header's length, the program's size, and the offset and size of the segments
    (little-endian; ExecuTorch's extended_header.h).
    """
    if len(data) < 64 or data[4:6] != b"ET":
        raise InvalidFile(f"{file}: is not an ExecuTorch program ({len(data)} bytes); expected a .pte file")
    if data[8:10] != b"eh":
        raise InvalidFile(f"{file}: has no extended header; expected a .pte file written by ExecuTorch 1.0 or later")
    length, program, base = (int.from_bytes(data[a:b], "little") for a, b in ((12, 16), (16, 24), (24, 32)))
    segments = int.from_bytes(data[32:40], "little") if length >= 32 else 0
    expected = max(program, base + segments)
    if len(data) < expected:
        raise InvalidFile(f"{file}: has {len(data)} bytes, its header says {expected}; export or copy it again")
