"""Fetches and builds what executes ARM64 code, into one folder. Nothing is installed and nobody needs to be root.

python -m edgekit_targets.devices.make_arm64 [FOLDER]       default: build/arm64, or what EDGEKIT_ARM64 names. What is there already is kept.

qemu-user comes from Debian's backports (qemu 7.2, Debian 12's own, computes int8 wrongly where SVE is on), Python, glibc and libstdc++ from Debian's ARM64
packages, ExecuTorch and LiteRT from their aarch64 wheels, in the versions that are installed here. The runner is cross-compiled against the wheel's libraries.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from edgekit.errors import CannotRunHere, EdgekitError, MissingToolchain
from edgekit_targets.devices import arm64
from edgekit_targets.devices.debian import Debian

COMPILER = "aarch64-linux-gnu-g++"
LIBRARIES = ("libexecutorch.so", "libexecutorch_threadpool.so", "libexecutorch_backend_xnnpack.so")
LIBRARIES += ("libexecutorch_kernels_optimized.so", "libexecutorch_kernels_quantized.so")
SYSTEM_LIBRARIES = ("ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libgcc_s.so.1", "libstdc++.so.6")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


def make(place: Path) -> arm64.Kit:
    """The kit in `place`, made if it is not there or of other versions. Raises CannotRunHere, MissingToolchain."""
    try:
        return arm64.find(place)
    except CannotRunHere:
        pass  # absent or of other versions: made now
    executorch, litert, numpy = (_required(package) for package in ("executorch", "ai-edge-litert", "numpy"))
    place = place.resolve()
    place.mkdir(parents=True, exist_ok=True)
    (place / "kit.json").unlink(missing_ok=True)
    debian = Debian(place / "debian")
    if not (place / "qemu-aarch64").exists():
        _say("qemu-user")
        debian.unpack_alone("qemu-user", place / "unpacked")
        (place / "unpacked/usr/bin/qemu-aarch64").replace(place / "qemu-aarch64")
        shutil.rmtree(place / "unpacked")
    if not (place / "sysroot/.whole").exists():
        _say("Python for ARM64")
        shutil.rmtree(place / "sysroot", ignore_errors=True)
        debian.unpack(["python3", "libstdc++6"], place / "sysroot", architecture="arm64")
        (place / "sysroot/.whole").touch()
    python = (place / "sysroot/usr/bin/python3").readlink().name.removeprefix("python")
    _say("the aarch64 wheels of LiteRT and ExecuTorch")
    _wheel(place, "site", python, f"ai-edge-litert=={litert}", f"numpy=={numpy}")
    _wheel(place, "executorch", python, f"executorch=={executorch}")
    compiler = _compiler(place, debian)
    _say("the runner")
    _compile(compiler, place)
    _collect(place)
    _try(place, python)
    qemu = _run([str(place / "qemu-aarch64"), "--version"], "make it again").split()[2]
    arm64.save(place, arm64.Versions(executorch, litert, arm64.source_digest(), python, qemu))
    return arm64.find(place)


def _required(package: str) -> str:
    if not (found := arm64.installed(package)):
        raise MissingToolchain("the ARM64 kit", package, "executorch,tflite")
    return found


def _wheel(place: Path, name: str, python: str, *packages: str) -> None:
    """Unzips wheels into `place`/`name`, anew if they are others than last time."""
    wanted = "\n".join(packages)
    note = place / name / ".packages"
    if note.exists() and note.read_text("utf-8") == wanted:
        return
    shutil.rmtree(place / name, ignore_errors=True)
    downloads = place / "wheels"
    shutil.rmtree(downloads, ignore_errors=True)
    tags = [word for platform in PLATFORMS for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", *tags]
    _run(
        [*command, "--implementation", "cp", "--python-version", python, "--dest", str(downloads), *packages], "check the network and pip's settings"
    )
    for wheel in sorted(downloads.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place / name)
    shutil.rmtree(downloads)
    note.write_text(wanted, "utf-8")


def _compiler(place: Path, debian: Debian) -> list[str]:
    """The cross-compiler's command: this machine's own, or Debian's, unpacked."""
    if shutil.which(COMPILER):
        return [COMPILER]
    cross = place / "cross"
    if not (cross / ".whole").exists():
        _say("the cross-compiler")
        shutil.rmtree(cross, ignore_errors=True)
        debian.unpack(["g++-aarch64-linux-gnu"], cross, missing_only=True)
        (cross / ".whole").touch()
    return ["env", f"LD_LIBRARY_PATH={cross / 'usr/lib/x86_64-linux-gnu'}", str(cross / "usr/bin" / COMPILER), f"--sysroot={cross}"]


def _compile(compiler: list[str], place: Path) -> None:
    package = place / "executorch/executorch"
    include, libraries = package / "include", package / "lib"
    portable = include / "executorch/runtime/core/portable_type/c10"
    (place / "runner").mkdir(exist_ok=True)
    linked = [f"-l{name.removeprefix('lib').removesuffix('.so')}" for name in reversed(LIBRARIES)]
    _run(
        [
            *compiler,
            *("-std=c++17", "-O2", f"-I{include}", f"-I{portable}", "-DC10_USING_CUSTOM_GENERATED_MACROS", str(arm64.SOURCE)),
            *("-o", str(place / "runner/runner"), f"-L{libraries}", "-Wl,--no-as-needed", *linked, "-Wl,--allow-shlib-undefined"),
        ],
        "see runner.cpp",
    )


def _collect(place: Path) -> None:
    """All that the runner loads, beside it."""
    for name in LIBRARIES:
        shutil.copyfile(place / "executorch/executorch/lib" / name, place / "runner" / name)
    for name in SYSTEM_LIBRARIES:
        found = [p for folder in ("lib", "usr/lib") if (p := place / "sysroot" / folder / "aarch64-linux-gnu" / name).exists()]
        if not found:
            raise CannotRunHere(f"Debian's ARM64 packages hold no {name}; expected one: delete {place} and make it again")
        shutil.copyfile(found[0], place / "runner" / name)
    for name in ("runner", "ld-linux-aarch64.so.1"):
        (place / "runner" / name).chmod(0o755)


def _try(place: Path, python: str) -> None:
    """Starts both runtimes once. Python keeps the bytecode that it compiles then: later starts take a third of the time."""
    _say("a first start")
    qemu = [str(place / "qemu-aarch64"), "-cpu", "max"]
    _run(
        [*qemu, str(place / "runner" / arm64.RUN[0]), "--library-path", str(place / "runner"), str(place / "runner/runner")],
        "make it again",
        status=2,
    )
    environment = {"PATH": os.defpath, "PYTHONPATH": str(place / "site")}
    command = ["-L", str(place / "sysroot"), str(place / "sysroot/usr/bin" / f"python{python}"), "-S", "-c", "import ai_edge_litert.interpreter"]
    _run([*qemu, *command], "make it again", environment=environment)


def _run(command: list[str], advice: str, *, status: int = 0, environment: dict[str, str] | None = None) -> str:
    """The command's output. Raises CannotRunHere if it ends with another status."""
    try:
        done = subprocess.run(
            command,
            env=environment or os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise CannotRunHere(f"`{Path(command[0]).name}` does not start ({error.strerror}); {advice}") from error
    if done.returncode != status:
        said = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines() or ["no message"]
        name = next(word for word in command if not word.startswith("-") and "=" not in word and word != "env")
        raise CannotRunHere(f"`{Path(name).name}` failed with status {done.returncode}: {said[0].strip()}; {advice}")
    return done.stdout


def _say(what: str) -> None:
    sys.stderr.write(f"ARM64: {what}\n")


def main() -> int:
    start = time.monotonic()
    try:
        kit = make(Path(sys.argv[1]) if len(sys.argv) > 1 else arm64.folder())
    except EdgekitError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stderr.write(f"ARM64: {kit.folder} is ready, qemu {kit.versions.qemu}, {time.monotonic() - start:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
