"""Kills processes that write a bundle, at random moments, and looks at what stands there afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from bundles import sample

from edgekit import bundle
from edgekit.errors import InvalidFile

BYTES_PER_FILE = 400_000
"""Of each of a bundle's three model files; a whole bundle is written in some ten milliseconds."""


def kill_writes(kills: int, seed: int, folder: Path, progress: Callable[[int], None]) -> tuple[Counter[str], list[str]]:
    """Kills `bundle.write` that many times; returns what was found and the faults.

    Half of the writers swap folders in one step, half take the fallback of two renames; a quarter find no bundle at the place.
    """
    bundles = []
    for number in (0, 1):
        (folder / f"parts{number}").mkdir()
        bundles.append(sample(folder / f"parts{number}", seed=number, bytes_per_file=BYTES_PER_FILE))
    place, random, found, faults = folder / "place" / "out", Random(seed), Counter[str](), []
    start = time.monotonic()
    bundle.write(place, *bundles[0])
    duration = time.monotonic() - start
    for index in range(kills):
        if random.random() < 0.25 and place.exists():
            _remove(place)
        before = _state(place, bundles, faults, f"before kill {index}")
        child = os.fork()
        if child == 0:
            try:
                _write_for_ever(place, bundles, exchange=index % 2 == 0)
            finally:
                os._exit(1)
        time.sleep(random.uniform(0, 4 * duration))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found["killed in the middle of a write"] += _leftovers(place) > 0
        found["killed between the two renames"] += not place.exists() and before != "nothing" and index % 2 == 1
        after = _state(place, bundles, faults, f"kill {index} of seed {seed}")
        found[f"{after} afterwards"] += 1
        if after == "nothing" and before != "nothing":
            faults.append(f"kill {index} of seed {seed}: the old bundle is gone")
        bundle.check_free(place, force=True)
        if _leftovers(place):
            faults.append(f"kill {index} of seed {seed}: leftovers were not cleared: {sorted(p.name for p in place.parent.iterdir())}")
        progress(index + 1)
    return found, faults


def kill_command(command: list[str], kills: int, seed: int, folder: Path, progress: Callable[[int], None]) -> tuple[Counter[str], list[str]]:
    """The same for a whole command that writes the bundle `{out}` anew each time, such as `edgekit export ... --force --out {out}`."""
    place, random, found, faults = folder / "place" / "out", Random(seed), Counter[str](), []
    words = [word.replace("{out}", str(place)) for word in command]
    start = time.monotonic()
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    duration, kept = time.monotonic() - start, bundle.read(place).manifest
    for index in range(kills):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(random.uniform(0, 1.1 * duration))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        found["killed in the middle of a write"] += _leftovers(place) > 0
        try:
            current = bundle.read(place).manifest
            found["old bundle afterwards" if current == kept else "new bundle afterwards"] += 1
            kept = current
        except InvalidFile as error:
            faults.append(f"kill {index} of seed {seed}: {error}")
        progress(index + 1)
    return found, faults


def _write_for_ever(place: Path, bundles: list, *, exchange: bool) -> None:
    if not exchange:
        bundle._exchange = lambda one, other: False
        rename = Path.rename

        def slow(self: Path, target: Path) -> Path:
            done = rename(self, target)
            time.sleep(0.02)  # or no kill would ever hit the instant between the two renames
            return done

        Path.rename = slow
    while True:
        for described, files in reversed(bundles):
            bundle.write(place, described, files, force=True)


def _state(place: Path, bundles: list, faults: list[str], where: str) -> str:
    """Which of the two whole bundles is at the place; anything but those and nothing is a fault."""
    leftovers = _leftovers(place)
    try:
        opened = bundle.read(place)
    except InvalidFile as error:
        if place.exists() or "No such file" not in str(error):
            faults.append(f"{where}: half a bundle ({error}), {leftovers} folders beside it")
            return "half a bundle"
        return "nothing"
    whole = [number for number, (described, _) in enumerate(bundles) if described == opened.manifest]
    if not whole:
        faults.append(f"{where}: a bundle that nobody wrote")
    return f"whole bundle {'AB'[whole[0]]}" if whole else "foreign bundle"


def _leftovers(place: Path) -> int:
    return sum(p.name.startswith(f".{place.name}.edgekit-") for p in place.parent.iterdir()) if place.parent.is_dir() else 0


def _remove(place: Path) -> None:
    for path in sorted(place.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    place.rmdir()
