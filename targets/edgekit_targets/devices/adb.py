"""A phone at the end of a cable (or of `adb connect`): the C++ runner is pushed, runs there, and its outputs are pulled back."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from edgekit.device import ExecutedBy, Latency, Run
from edgekit.errors import CannotRunHere, InvalidFile
from edgekit_targets.devices import arm64, jobs
from edgekit_targets.devices.qemu_arm64 import explain

PLACE = "/data/local/tmp/edgekit"
"""Where the shell of any phone may write and execute. What stays there is the runner (some 20 MB); `adb shell rm -r` of it frees them."""

ABI = "arm64-v8a"
SECONDS = 900
"""After which an adb command counts as hanging."""

THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Android's PowerManager.THERMAL_STATUS_*, 0 to 6. From moderate on, phones slow down."""


class Adb:
    """The phone `serial`, as `adb devices` lists it. Use as a context manager: the end removes the pushed models.

    The runner is the one that qemu runs: ExecuTorch's libraries for Linux aarch64 with glibc's own loader, since Android's C library is another. An app's
    libraries are built apart and may choose other kernels. Raises CannotRunHere if adb or the runner is absent, or the phone is not ready or not ARM64.
    """

    executed_by: ExecutedBy = "adb"

    def __init__(self, serial: str, kit: arm64.Kit | None = None) -> None:
        self._serial = serial
        if shutil.which("adb") is None:
            raise CannotRunHere("adb is not here; expected Android's platform tools on the PATH: on Debian, apt-get install adb")
        self._kit = kit or arm64.find()
        self._require_connected()
        self._properties = {key: self._shell(f"getprop {key}") for key in ("ro.product.manufacturer", "ro.product.model", "ro.product.cpu.abi")}
        self._properties |= {key: self._shell(f"getprop {key}") for key in ("ro.soc.model", "ro.build.version.release", "ro.build.version.sdk")}
        if (abi := self._properties["ro.product.cpu.abi"]) != ABI:
            raise CannotRunHere(f"phone '{serial}' is {abi or 'of an unknown ABI'}; expected {ABI}, which the runner is built for")
        self._models: dict[Path, str] = {}
        self._features: tuple[str, ...] = ()
        self._thermal: list[str] = []
        self._runner = ""

    @property
    def name(self) -> str:
        """The phone's model, fit for a file's name."""
        text = " ".join(part for key in ("ro.product.manufacturer", "ro.product.model") if (part := self._properties[key])) or self._serial
        return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "phone"

    def __enter__(self) -> Adb:
        return self

    def __exit__(self, *_: object) -> None:
        if self._models:
            self._adb("shell", "rm -f " + " ".join(self._models.values()))
            self._models.clear()

    def run(self, file: Path, inputs: Sequence[tuple[Tensor, ...]], repeats: int = 0) -> Run:
        """See `edgekit.device.Device`. Raises CannotRunHere for other files than `.pte` and if the phone goes away, InvalidFile, LoweringError."""
        if file.suffix != ".pte":
            raise CannotRunHere(f"{file.name}: not measured on the phone: the runner that goes there executes .pte files only")
        if not file.is_file():
            raise InvalidFile(f"{file}: cannot be read; expected a model file")
        runner, model = self._pushed_runner(), self._pushed_model(file)
        place = f"{PLACE}/job-{secrets.token_hex(6)}"
        before = self._thermal_state()
        with TemporaryDirectory(prefix="edgekit-") as scratch:
            folder = Path(scratch)
            jobs.write(folder, inputs)
            try:
                self._shell(f"mkdir -p {place}/in {place}/out")
                self._checked("push", f"{folder / 'in'}/.", f"{place}/in/")
                command = " ".join((*arm64.RUN, model, place, str(len(inputs)), str(repeats)))
                done = self._adb("shell", f"cd {runner} && {command}")
                explain(done.returncode, done.stderr or done.stdout, file.name, f"phone '{self._serial}'")
                self._checked("pull", f"{place}/out/.", str(folder / "out"))
            finally:
                self._adb("shell", f"rm -rf {place}")
            report = jobs.read_report(folder, file.name)
            outputs = jobs.read(folder, len(inputs), report, file.name)
        self._features = report.features
        self._thermal = [*self._thermal[:1], self._thermal_state()] if self._thermal else [before, self._thermal_state()]
        times = sorted(report.times_ms)
        latency = None
        if times:
            median, p90 = times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.9))]
            latency = Latency(median, p90, len(times), report.threads, self.facts()["description"], report.peak_memory_mb)
        return Run(outputs, latency, "adb")

    def facts(self) -> dict[str, str]:
        """What the phone says of itself; the thermal state before the first run and after the last one."""
        p = self._properties
        model = f"{p['ro.product.manufacturer']} {p['ro.product.model']}".strip() or "a phone that does not say its model"
        state = self._thermal or ["not read", "not read"]
        return {
            "description": f"{model}, Android {p['ro.build.version.release'] or '?'} (API {p['ro.build.version.sdk'] or '?'}), {ABI}",
            "soc": p["ro.soc.model"],
            "cpu_features": " ".join(self._features),
            "thermal_before": state[0],
            "thermal_after": state[1],
            "runtimes": f"ExecuTorch {self._kit.versions.executorch}, its aarch64 wheel for Linux",
            "note": "the kernels are those that XNNPACK picks for this processor; an app's own build of it may pick others",
        }

    # What adb does

    def _require_connected(self) -> None:
        states = self._states()
        if self._serial not in states and ":" in self._serial:
            self._adb("connect", self._serial, anywhere=True)
            states = self._states()
        if self._serial not in states:
            seen = ", ".join(sorted(states)) or "none"
            raise CannotRunHere(
                f"no phone '{self._serial}' is connected; adb sees: {seen}. Switch USB debugging on, or `adb connect` it, and look at `adb devices`"
            )
        if (state := states[self._serial]) != "device":
            raise CannotRunHere(f"phone '{self._serial}' is {state}; expected it ready: accept its prompt for debugging, or plug it in again")

    def _states(self) -> dict[str, str]:
        """Serial -> state."""
        done = self._adb("devices", anywhere=True)
        if done.returncode:
            raise CannotRunHere(f"`adb devices` failed: {_last(done)}; expected an adb server: adb start-server")
        return {words[0]: words[1] for line in done.stdout.splitlines()[1:] if len(words := line.split()) >= 2 and not line.startswith("*")}

    def _adb(self, *words: str, anywhere: bool = False) -> subprocess.CompletedProcess[str]:
        command = ["adb", *([] if anywhere else ["-s", self._serial]), *words]
        try:
            return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotRunHere(f"`adb {words[0]}` did not answer ({error}); expected phone '{self._serial}' ready: look at `adb devices`") from error

    def _checked(self, *words: str) -> str:
        done = self._adb(*words)
        if done.returncode:
            raise CannotRunHere(f"`adb {words[0]}` failed on phone '{self._serial}': {_last(done)}; expected it connected, with some 50 MB free")
        return done.stdout

    def _shell(self, command: str) -> str:
        return self._checked("shell", command).strip()

    def _pushed_runner(self) -> str:
        """The folder of the runner on the phone, pushed unless it is there whole."""
        if not self._runner:
            place = f"{PLACE}/{self._kit.digest()}"
            if self._adb("shell", f"test -e {place}/.whole").returncode:
                self._shell(f"rm -rf {place} && mkdir -p {place}")
                self._checked("push", f"{self._kit.runner}/.", f"{place}/")
                self._shell(f"chmod 755 {place}/runner {place}/{arm64.RUN[0].removeprefix('./')} && touch {place}/.whole")
            self._runner = place
        return self._runner

    def _pushed_model(self, file: Path) -> str:
        path = file.resolve()
        place = f"{self._runner}/model-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.pte"
        if self._models.get(path) != place:
            self._checked("push", str(path), place)
            self._models[path] = place
        return place

    def _thermal_state(self) -> str:
        """Such as 'none, battery 31.2 C'; what the phone does not tell is called not read."""
        status = re.search(r"Thermal Status: (\d)", self._adb("shell", "dumpsys thermalservice").stdout)
        battery = re.search(r"temperature: (\d+)", self._adb("shell", "dumpsys battery").stdout)
        word = THERMAL[int(status[1])] if status and int(status[1]) < len(THERMAL) else "not read"
        return f"{word}, battery {int(battery[1]) / 10:.1f} C" if battery else word


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"status {done.returncode}"
