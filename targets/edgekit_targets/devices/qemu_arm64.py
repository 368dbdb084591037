"""ARM64 on this desk: the files' own runtimes for Linux aarch64, executed by qemu-user. It tells numbers, never speed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from edgekit.device import ExecutedBy, Run
from edgekit.errors import CannotRunHere, InvalidFile, LoweringError
from edgekit_targets.devices import arm64, jobs

CPU = "max"
"""All that the emulator offers (NEON, fp16, dotprod, i8mm, SVE), like the newest phones."""

OLDEST_QEMU = 9
"""qemu 7.2 computes int8 wrongly where SVE is on (Debian 12's own, an EDSR off by 0.5); 10.0 is what was compared with real code, bit for bit."""

WHY_NO_LATENCY = "qemu translates ARM64 code for this machine's processor: its time says nothing about a phone"

SECONDS = 1800
"""After which an emulated run counts as hanging."""


class QemuArm64:
    """The C++ runner on ExecuTorch's aarch64 libraries for `.pte`; LiteRT's aarch64 wheel for `.tflite`. Raises CannotRunHere where `arm64.find` does."""

    name = "qemu-arm64"
    executed_by: ExecutedBy = "qemu-arm64"

    def __init__(self, kit: arm64.Kit | None = None, cpu: str = CPU) -> None:
        self._kit, self._cpu = kit or arm64.find(), cpu
        self._features: tuple[str, ...] = ()
        major = self._kit.versions.qemu.split(".")[0]
        if not major.isdecimal() or int(major) < OLDEST_QEMU:
            raise CannotRunHere(f"qemu is {self._kit.versions.qemu}; expected {OLDEST_QEMU} or newer (7.2 computes int8 wrongly): {arm64.MAKE}")

    def run(self, file: Path, inputs: Sequence[tuple[Tensor, ...]], repeats: int = 0) -> Run:
        """See `edgekit.device.Device`; the latency is None whatever `repeats` is. Raises CannotRunHere, InvalidFile, LoweringError."""
        if file.suffix not in (".pte", ".tflite"):
            raise CannotRunHere(f"{file.name}: no runtime for '{file.suffix}' under qemu; expected .pte or .tflite")
        if not file.is_file():
            raise InvalidFile(f"{file}: cannot be read; expected a model file")
        nhwc = file.suffix == ".tflite"
        with TemporaryDirectory(prefix="edgekit-") as scratch:
            folder = Path(scratch)
            jobs.write(folder, inputs, nhwc=nhwc)
            (self._run_tflite if nhwc else self._run_pte)(file.resolve(), folder, len(inputs))
            report = jobs.read_report(folder, file.name)
            self._features = report.features or self._features
            return Run(jobs.read(folder, len(inputs), report, file.name, nhwc=nhwc), None, "qemu-arm64", WHY_NO_LATENCY)

    def facts(self) -> dict[str, str]:
        """The emulator, and the processor features that the kernels chose by (known once a `.pte` file ran)."""
        versions = self._kit.versions
        return {
            "description": f"qemu-aarch64 {versions.qemu}, cpu {self._cpu}",
            "cpu_features": " ".join(self._features),
            "runtimes": f"ExecuTorch {versions.executorch} and LiteRT {versions.litert}, their aarch64 wheels for Linux",
            "note": "the kernels are those that XNNPACK picks for the emulated processor; an app's own build of it may pick others",
        }

    def _run_pte(self, file: Path, folder: Path, tiles: int) -> None:
        self._execute([*arm64.RUN, str(file), str(folder), str(tiles), "0"], file)

    def _run_tflite(self, file: Path, folder: Path, tiles: int) -> None:
        script = Path(jobs.__file__).with_name("litert_job.py")
        python = ["-L", str(self._kit.folder / "sysroot"), str(self._kit.python), "-S", "-B"]
        self._execute([*python, str(script), str(file), str(folder), str(tiles), str(os.cpu_count() or 1)], file)

    def _execute(self, command: list[str], file: Path) -> None:
        environment = {"PATH": os.defpath, "LC_ALL": "C", "PYTHONPATH": str(self._kit.folder / "site")}
        try:
            done = subprocess.run(
                [self._kit.qemu, "-cpu", self._cpu, *command],
                cwd=self._kit.runner,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotRunHere(f"{file.name}: qemu did not run it ({error}); {arm64.MAKE} again") from error
        explain(done.returncode, done.stderr, file.name, "qemu-arm64")


def explain(status: int, said: str, where: str, device: str) -> None:
    """Raises what a runner's exit status stands for: InvalidFile if the file cannot be loaded or does not fit, LoweringError if it cannot be run."""
    if status == 0:
        return
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else "no message"
    if status in (2, 4):
        raise InvalidFile(f"{where} on {device}: {last}; export it again")
    if status < 0 or status > 128:
        number = -status if status < 0 else status - 128
        last = f"ended by {signal.Signals(number).name if number in signal.valid_signals() else f'signal {number}'} ({last})"
    raise LoweringError(f"{where} on {device}: {last}")
