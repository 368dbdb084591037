"""python tests/fuzz/run.py --inputs 10000 --kills 200: hostile inputs to every reader, kills of a bundle being written. Prints the counts; 1 if any fault."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "toolkit"))  # the sample bundle

import kills
import readers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="hostile inputs for each reader")
    parser.add_argument("--kills", type=int, default=200, help="kills of a process that writes bundles")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same inputs")
    parser.add_argument("--only", help="one reader, by its file's name")
    parser.add_argument("--show", type=int, default=20, help="how many faults to print")
    parser.add_argument("--command", nargs=argparse.REMAINDER, help="kill this command instead of bundle.write; {out} stands for the bundle's place")
    options = parser.parse_args()
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="edgekit-fuzz-") as scratch:
        if options.inputs:
            faults += fuzz_readers(options.inputs, options.seed, Path(scratch), options.only)
        if options.kills:
            faults += kill(options.kills, options.seed, Path(scratch), options.command)
    for fault in faults[: options.show]:
        print(f"FAULT {fault}")
    print(f"{len(faults)} faults")
    return 1 if faults else 0


def fuzz_readers(inputs: int, seed: int, scratch: Path, only: str | None) -> list[str]:
    (scratch / "beside").mkdir()
    (scratch / "work").mkdir()
    faults, total = [], 0
    for reader in readers.all_readers(scratch / "beside"):
        if only in (None, reader.name):
            start = time.monotonic()
            outcome = readers.fuzz(reader, inputs, seed, scratch / "work", lambda done, name=reader.name: _progress(f"{name} {done}/{inputs}"))
            refused = ", ".join(f"{count} {kind}" for kind, count in outcome.refused.most_common())
            print(
                f"{reader.name}: {outcome.total} inputs, {outcome.read} read, refused: {refused}; {len(outcome.faults)} faults, {time.monotonic() - start:.0f} s"
            )
            faults += outcome.faults
            total += outcome.total
    print(f"{total} hostile inputs")
    return faults


def kill(count: int, seed: int, scratch: Path, command: list[str] | None) -> list[str]:
    def progress(done: int) -> None:
        _progress(f"kill {done}/{count}")

    (scratch / "kills").mkdir()
    start = time.monotonic()
    if command:
        found, faults = kills.kill_command(command, count, seed, scratch / "kills", progress)
    else:
        found, faults = kills.kill_writes(count, seed, scratch / "kills", progress)
    print(f"{count} kills: {', '.join(f'{n} {what}' for what, n in sorted(found.items()))}; {len(faults)} faults, {time.monotonic() - start:.0f} s")
    return faults


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="\r", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
