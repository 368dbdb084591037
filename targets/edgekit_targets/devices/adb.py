"""A phone at the end of a cable (or of `adb connect`): the C++ runner is pushed, runs there, and its outputs are pulled back."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from edgekit.device import ExecutedBy, Latency, Run
from edgekit.errors import CannotRunHere, InvalidFile
from edgekit_targets.devices import arm64, jobs
from edgekit_targets.devices.adb_shell import AdbShell
from edgekit_targets.devices.qemu_arm64 import explain

PLACE = "/data/local/tmp/edgekit"
"""Where the shell of any phone may write and execute. What stays there is the runner (some 20 MB); `adb shell rm -r` of it frees them."""

ABI = "arm64-v8a"
THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Android's PowerManager.THERMAL_STATUS_*, 0 to 6. From moderate on, phones slow down."""


class Adb:
    """The phone `serial`, as `adb devices` lists it. Use as a context manager: the end removes the pushed models.

    The runner is the one that qemu runs: ExecuTorch's libraries for Linux aarch64 with glibc's own loader, since Android's C library is another. An app's
    libraries are built apart and may choose other kernels. Raises CannotRunHere if adb or the runner is absent, or the phone is not ready or not ARM64.
    """

    executed_by: ExecutedBy = "adb"

    def __init__(self, serial: str, kit: arm64.Kit | None = None) -> None:
        self._phone = AdbShell(serial)
        self._kit = kit or arm64.find()
        self._properties = {key: self._phone.shell(f"getprop {key}") for key in ("ro.product.manufacturer", "ro.product.model", "ro.product.cpu.abi")}
        self._properties |= {key: self._phone.shell(f"getprop {key}") for key in ("ro.soc.model", "ro.build.version.release", "ro.build.version.sdk")}
        if (abi := self._properties["ro.product.cpu.abi"]) != ABI:
            raise CannotRunHere(f"phone '{serial}' is {abi or 'of an unknown ABI'}; expected {ABI}, which the runner is built for")
        self._models: dict[Path, str] = {}
        self._features: tuple[str, ...] = ()
        self._thermal: list[str] = []
        self._runner = ""

    @property
    def name(self) -> str:
        """The phone's model, fit for a file's name."""
        text = " ".join(part for key in ("ro.product.manufacturer", "ro.product.model") if (part := self._properties[key])) or self._phone.serial
        return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "phone"

    def __enter__(self) -> Adb:
        return self

    def __exit__(self, *_: object) -> None:
        if self._models:
            self._phone.adb("shell", "rm -f " + " ".join(self._models.values()))
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
                self._phone.shell(f"mkdir -p {place}/in {place}/out")
                self._phone.checked("push", f"{folder / 'in'}/.", f"{place}/in/")
                command = " ".join((*arm64.RUN, model, place, str(len(inputs)), str(repeats)))
                done = self._phone.adb("shell", f"cd {runner} && {command}")
                explain(done.returncode, done.stderr or done.stdout, file.name, f"phone '{self._phone.serial}'")
                self._phone.checked("pull", f"{place}/out/.", str(folder / "out"))
            finally:
                self._phone.adb("shell", f"rm -rf {place}")
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

    # What goes there

    def _pushed_runner(self) -> str:
        """The folder of the runner on the phone, pushed unless it is there whole."""
        if not self._runner:
            place = f"{PLACE}/{self._kit.digest()}"
            if self._phone.adb("shell", f"test -e {place}/.whole").returncode:
                self._phone.shell(f"rm -rf {place} && mkdir -p {place}")
                self._phone.checked("push", f"{self._kit.runner}/.", f"{place}/")
                self._phone.shell(f"chmod 755 {place}/runner {place}/{arm64.RUN[0].removeprefix('./')} && touch {place}/.whole")
            self._runner = place
        return self._runner

    def _pushed_model(self, file: Path) -> str:
        path = file.resolve()
        place = f"{self._runner}/model-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.pte"
        if self._models.get(path) != place:
            self._phone.checked("push", str(path), place)
            self._models[path] = place
        return place

    def _thermal_state(self) -> str:
        """Such as 'none, battery 31.2 C'; what the phone does not tell is called not read."""
        status = re.search(r"Thermal Status: (\d)", self._phone.adb("shell", "dumpsys thermalservice").stdout)
        battery = re.search(r"temperature: (\d+)", self._phone.adb("shell", "dumpsys battery").stdout)
        word = THERMAL[int(status[1])] if status and int(status[1]) < len(THERMAL) else "not read"
        return f"{word}, battery {int(battery[1]) / 10:.1f} C" if battery else word
