"""One phone's end of adb: commands to it, and what goes wrong on the way, in one line."""

from __future__ import annotations

import shutil
import subprocess

from edgekit.errors import CannotRunHere

SECONDS = 900
"""After which an adb command counts as hanging."""


class AdbShell:
    """The phone `serial`, as `adb devices` lists it. Raises CannotRunHere if adb is absent or the phone is not ready."""

    def __init__(self, serial: str) -> None:
        self.serial = serial
        if shutil.which("adb") is None:
            raise CannotRunHere("adb is not here; expected Android's platform tools on the PATH: on Debian, apt-get install adb")
        self._require_connected()

    def adb(self, *words: str, anywhere: bool = False) -> subprocess.CompletedProcess[str]:
        """Any adb command, whatever its status. Raises CannotRunHere if there is no answer."""
        command = ["adb", *([] if anywhere else ["-s", self.serial]), *words]
        try:
            return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotRunHere(f"`adb {words[0]}` did not answer ({error}); expected phone '{self.serial}' ready: look at `adb devices`") from error

    def checked(self, *words: str) -> str:
        """What a command prints. Raises CannotRunHere if it fails."""
        done = self.adb(*words)
        if done.returncode:
            raise CannotRunHere(f"`adb {words[0]}` failed on phone '{self.serial}': {last_line(done)}; expected it connected, with some 50 MB free")
        return done.stdout

    def shell(self, command: str) -> str:
        """What a command on the phone prints. Raises CannotRunHere if it fails."""
        return self.checked("shell", command).strip()

    def _require_connected(self) -> None:
        states = self._states()
        if self.serial not in states and ":" in self.serial:
            self.adb("connect", self.serial, anywhere=True)
            states = self._states()
        if self.serial not in states:
            seen = ", ".join(sorted(states)) or "none"
            raise CannotRunHere(
                f"no phone '{self.serial}' is connected; adb sees: {seen}. Switch USB debugging on, or `adb connect` it, and look at `adb devices`"
            )
        if (state := states[self.serial]) != "device":
            raise CannotRunHere(f"phone '{self.serial}' is {state}; expected it ready: accept its prompt for debugging, or plug it in again")

    def _states(self) -> dict[str, str]:
        """Serial -> state."""
        done = self.adb("devices", anywhere=True)
        if done.returncode:
            raise CannotRunHere(f"`adb devices` failed: {last_line(done)}; expected an adb server: adb start-server")
        return {words[0]: words[1] for line in done.stdout.splitlines()[1:] if len(words := line.split()) >= 2 and not line.startswith("*")}


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"status {done.returncode}"
