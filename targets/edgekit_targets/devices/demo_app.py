"""The demo app on a phone: its self-test, started from here, and the reports that it left."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from edgekit.errors import CannotRunHere
from edgekit_targets.devices.adb_shell import AdbShell, last_line

PACKAGE = "edgekit.demo"
ACTIVITY = f"{PACKAGE}/.SelfTestActivity"
FOLDER = f"/sdcard/Android/data/{PACKAGE}/files"
"""The app's external files folder, which the shell of a phone may read."""

SELF_TEST_S = 300
"""After which a self-test counts as hanging: some twenty runs of each file, on a slow phone."""


def is_installed(phone: AdbShell) -> bool:
    done = phone.adb("shell", f"pm path {PACKAGE}")
    return done.returncode == 0 and done.stdout.startswith("package:")


def roles(phone: AdbShell) -> list[str]:
    """Of the bundles whose self-test ran on this phone."""
    listed = phone.adb("shell", f"ls {FOLDER}").stdout.split()
    return sorted(found[1] for name in listed if (found := re.fullmatch(r"device-report-([A-Za-z0-9_][A-Za-z0-9._-]{0,63})\.json", name)))


@contextmanager
def report(phone: AdbShell, role: str) -> Iterator[Path]:
    """A copy of the role's report, for as long as the context lasts. Raises CannotRunHere if there is none."""
    with TemporaryDirectory(prefix="edgekit-") as scratch:
        file = Path(scratch) / _name(role)
        phone.checked("pull", f"{FOLDER}/{_name(role)}", str(file))
        yield file


def self_test(phone: AdbShell, role: str, seconds: float = SELF_TEST_S) -> None:
    """Starts the app anew with its self-test of the bundle `role` (letters, digits and ._-), and waits until a fresh report lies on the phone.

    Raises CannotRunHere if the app does not start, or leaves no report in time.
    """
    before = _text(phone, role)
    # -S: a new process, so that the peak memory is the test's own.
    done = phone.adb("shell", f"am start -W -S -n {ACTIVITY} --ez run true --es role {role}")
    wrong = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("Error", "Exception"))]
    if done.returncode or wrong:
        said = wrong[-1] if wrong else last_line(done)
        raise CannotRunHere(f"the self-test did not start on phone '{phone.serial}': {said}; expected {PACKAGE} of this edgekit: install it again")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = _text(phone, role)
        if found not in (None, before) and _is_whole(found):
            return
        time.sleep(0.5)
    raise CannotRunHere(
        f"the self-test of '{role}' left no fresh report on phone '{phone.serial}' within {seconds:.0f} s; expected it unlocked, with a bundle '{role}' "
        f"in the app: look at its screen"
    )


def _name(role: str) -> str:
    return f"device-report-{role}.json"


def _text(phone: AdbShell, role: str) -> str | None:
    """The report as it is now, None if there is none. Raises CannotRunHere if the phone went away."""
    done = phone.adb("shell", f"cat {FOLDER}/{_name(role)}")
    if done.returncode == 0:
        return done.stdout
    if "No such file" in done.stdout + done.stderr:
        return None
    raise CannotRunHere(
        f"phone '{phone.serial}' does not show {FOLDER}/{_name(role)}: {last_line(done)}; expected it connected: look at `adb devices`"
    )


def _is_whole(text: str | None) -> bool:
    try:
        return isinstance(json.loads(text or ""), dict)
    except (ValueError, RecursionError):
        return False
