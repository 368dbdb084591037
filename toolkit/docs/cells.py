"""Many exports, each measured in a process of its own, and kept in a JSON file beside the page that shows them: converters crash, loop and eat memory, and
one cell must not take the others along. The processes are forked off one that has imported every toolchain already, which costs more than a small export.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import Any

SECONDS = 1800
"""What one cell may take."""

WARM = [f"edgekit_targets.{backend}.lower" for backend in ("executorch", "tflite", "onnx", "coreml")]
"""Imported before the processes are forked."""

TEMPORARY = re.compile(r"\S*/edgekit-\w+/")
"""The folder of a file that fails: another one each time."""

Key = tuple[str, str, str]
"""Network, backend, precision."""


@dataclass(frozen=True)
class Cell:
    """`status` is green, low (computed, but further from float32 than the page allows), flat (proves nothing) or failed; `reason` says why it is not green."""

    status: str
    reason: str = ""
    sqnr_db: float | None = None
    psnr_db: float | None = None
    ssim: float | None = None
    colour_shift: float | None = None
    contribution: float | None = None
    delegated: str = ""
    bytes: int = 0
    seconds: float = 0.0


Measure = Callable[[str, str, str], Cell]


def in_a_process(measure: Measure, key: Key) -> Cell:
    """`measure(*key)`, a failure as a cell that says so."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)
    receiver, sender = context.Pipe(duplex=False)
    start = time.monotonic()
    process = context.Process(target=_send, args=(sender, measure, key))
    process.start()
    sender.close()
    try:
        if not receiver.poll(SECONDS):
            return Cell("failed", f"not done after {SECONDS} s", seconds=SECONDS)
        return receiver.recv()
    except EOFError:
        process.join()
        return Cell("failed", f"the process ended with status {process.exitcode}", seconds=time.monotonic() - start)
    finally:
        process.kill()
        process.join()


def _send(sender: Connection, measure: Measure, key: Key) -> None:
    import torch

    from edgekit.errors import first_line

    torch.set_num_threads(1)
    start = time.monotonic()
    try:
        cell = measure(*key)
    except Exception as error:
        said = TEMPORARY.sub("", first_line(error, kind=True))
        cell = Cell("failed", said[:300], seconds=time.monotonic() - start)
    sender.send(cell)


def kept(file: Path) -> dict[str, dict[str, Any]]:
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def fill(file: Path, keys: Iterable[Key], measure: Measure, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The cells of `file`, those of `keys` that were missing made and written one by one."""
    cells, end, lock = kept(file), time.monotonic() + 60 * options.minutes, Lock()
    chosen = options.only.split(",") if options.only else None
    wanted = [
        key
        for key in keys
        if (chosen is None or key[0] in chosen) and options.backend in (None, key[1]) and (options.again or "/".join(key) not in cells)
    ]

    def make(key: Key) -> None:
        if options.page or time.monotonic() > end:
            return
        cell = in_a_process(measure, key)
        with lock:
            cells["/".join(key)] = asdict(cell)
            file.write_text(json.dumps(dict(sorted(cells.items())), indent=1) + "\n", "utf-8")
            print(*key, cell.status, f"{cell.seconds:.0f} s", cell.reason, flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(make, wanted))
    return cells


def options(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="networks, with commas")
    parser.add_argument("--backend", help="one of the backends")
    parser.add_argument("--again", action="store_true", help="make cells again that are there")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no cell after so many")
    parser.add_argument("--jobs", type=int, default=1, help="cells side by side")
    return parser.parse_args()
