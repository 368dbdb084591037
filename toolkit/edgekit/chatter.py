"""Toolchains print. What they print belongs in a log file, also when it comes from C++: also when they end the process with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LISTEN = """
read -r farewell && exit
words=$(tail -c "+$2" "$1" | tail -n 20)
if [ -n "$words" ]
then printf 'error: a toolchain ended the process; its last words, which %s has whole:\\n%s\\n' "$1" "$words"
else printf 'error: a toolchain ended the process without a word; %s has what it said before\\n' "$1"
fi
"""
"""For sh, with the log and the byte (from 1) to read from. Its stdin ends without a farewell when the process that holds the other end does."""


@contextmanager
def to_log(path: Path) -> Iterator[None]:
    """File descriptors 1 and 2 go to the end of `path` inside the block. Whoever must still reach the terminal holds a duplicate made before.

    If the process is ended inside the block (C++ aborts, or the system runs out of memory), the last lines that the block put there follow on stderr.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with path.open("ab") as log, _heard(path, log.tell() + 1, saved[1]):
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


@contextmanager
def _heard(log: Path, start: int, stderr: int) -> Iterator[None]:
    """A shell outlives the process, because nothing that Python runs does. Where there is none the words stay in the log."""
    shell = None
    with suppress(OSError):
        command = ["sh", "-c", LISTEN, "sh", str(log), str(start)]
        shell = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stderr, stderr=stderr, start_new_session=True)
    try:
        yield
    finally:
        if shell:
            shell.communicate(b"farewell\n")
