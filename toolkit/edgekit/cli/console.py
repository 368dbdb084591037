"""What the commands say. Results go to stdout only as JSON or plain text that scripts read; tables, progress and errors go to stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Any

from rich.console import Console

from edgekit.chatter import to_log

_terminal: Console | None = None


def terminal() -> Console:
    """stderr, through a descriptor of its own: it still reaches the terminal while a toolchain's output goes to the log."""
    global _terminal
    if _terminal is None:
        _terminal = Console(
            file=os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace"), width=None if sys.stderr.isatty() else 160, highlight=False
        )
    return _terminal


def say(line: str) -> None:
    terminal().print(line, markup=False, soft_wrap=True)


def emit_json(document: Any) -> None:
    """The one JSON document of `--json`, on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show_fields(fields: dict[str, Any]) -> None:
    """One thing's fields on stdout, a line each."""
    console = Console(highlight=False, soft_wrap=True)
    for key, value in fields.items():
        console.print(f"{key}: {value}", markup=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Runtimes print to the terminal from C++ while they load and run; inside this block that goes nowhere, unless --debug wants to see it, or they end the
    process."""
    terminal()
    if os.environ.get("EDGEKIT_DEBUG"):
        yield
        return
    with NamedTemporaryFile(prefix="edgekit-", suffix=".log") as log, to_log(Path(log.name)):
        yield


class ProgressLines:
    """A bar per stage on a terminal; elsewhere a plain line when a stage starts and, in long ones, every ten seconds. Use as a context manager."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._stage = ""
        self._spoke = 0.0

    def __enter__(self) -> ProgressLines:
        if terminal().is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
            self._bar = Progress(*columns, console=terminal(), redirect_stdout=False, redirect_stderr=False)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """`total` 0: unknown length."""
        if self._bar:
            if stage != self._stage:
                if self._task is not None and self._bar.tasks[self._task].total is None:
                    self._bar.update(self._task, total=1, completed=1)
                self._task = self._bar.add_task(stage, total=total or None)
            self._bar.update(self._task, completed=done, total=total or None)
        elif stage != self._stage or (done != total and time.monotonic() - self._spoke > 10):
            say(f"{stage} {done}/{total}" if total and done else stage)
            self._spoke = time.monotonic()
        self._stage = stage


class TrainingProgress:
    """A training's step, loss and time to go: a bar on a terminal, elsewhere a line a minute. Use as a context manager; call as `edgekit.train.Progress`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._spoke = float("-inf")
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> TrainingProgress:
        if terminal().is_terminal:
            from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

            self._bar = Progress(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), console=terminal())
            self._task = self._bar.add_task("training", total=1.0)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, step: int, fraction: float, loss: float, seconds: float) -> None:
        left = seconds / fraction - seconds if fraction > 0 else self._seconds
        line = f"step {step}  loss {loss:.5f}  {seconds / 60:.1f} min, {left / 60:.1f} to go"
        if self._bar:
            self._bar.update(self._task, completed=fraction, description=line)
        elif time.monotonic() - self._spoke >= 60:
            say(f"{100 * fraction:3.0f} %  {line}")
            self._spoke = time.monotonic()
