"""A folder that is there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import InvalidFile
from edgekit_calibration.setfile import SET_FILE


@contextmanager
def set_folder(out: Path, *, force: bool = False) -> Iterator[Path]:
    """Gives an empty folder beside `out` to write a set into; when the block ends it becomes `out`, when the block raises it disappears.

    An existing `out` is refused, or with `force` replaced if it is a set or empty: never a folder of anything else.
    Raises InvalidFile, also for a full or unwritable disk.
    """
    _refuse(out, force)
    scratch = out.parent / f".{out.name}-{secrets.token_hex(4)}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch.mkdir()
        yield scratch
        _refuse(out, force)  # minutes may have passed
        old = out.parent / f"{scratch.name}-old"
        if out.exists():
            out.rename(old)
        scratch.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise InvalidFile(f"{out}: cannot be written ({error.strerror or error}); expected a folder on a disk with room") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _refuse(out: Path, force: bool) -> None:
    if not os.path.lexists(out):
        return
    if not force:
        raise InvalidFile(f"{out}: exists already; expected a new folder, or force to replace a set")
    if out.is_symlink() or not out.is_dir() or (any(out.iterdir()) and not (out / SET_FILE).is_file()):
        raise InvalidFile(f"{out}: holds something other than a set; refused to replace it")
