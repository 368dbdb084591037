"""A phone for the tests: the real adbd in namespaces of its own, on a Debian root that answers getprop and dumpsys as Android would. Its processor is ARM64 by
qemu, registered with the kernel inside the same namespaces only. Nothing of it is reachable from outside them.

python tests/targets/phone.py [FOLDER]      fetch what it needs (default: build/phone); what is there already is kept
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import CannotRunHere
from edgekit_targets.devices import arm64
from edgekit_targets.devices.debian import Debian

FOLDER = Path(__file__).parents[2] / "build/phone"
SERIAL = "127.0.0.1:5555"
PROPERTIES = {
    "ro.product.manufacturer": "Edgekit",
    "ro.product.model": "Desk Phone",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.soc.model": "qemu",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
}
SERVICES = {"thermalservice": "IsStatusOverride: false\nThermal Status: 1\n", "battery": "  level: 90\n  temperature: 312\n"}
ARM64_ELF = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
"""A 64-bit little-endian ELF, executable or shared, for machine 183 (AArch64)."""

START = r"""
set -e
"$PYTHON" -c 'import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14x", b"lo", 0x49))' # SIOCSIFFLAGS: lo up
mkdir -p "$ROOT/proc" "$ROOT/sys" "$ROOT/dev" "$ROOT/data/local/tmp" "$ROOT/binfmt"
mount -t binfmt_misc none "$ROOT/binfmt"
printf '%s' ":aarch64:M::$ELF:$MASK:$QEMU:F" > "$ROOT/binfmt/register"
mount -t proc proc "$ROOT/proc"
mount --rbind /sys "$ROOT/sys"
mount --rbind /dev "$ROOT/dev"
exec chroot "$ROOT" /usr/lib/android-sdk/platform-tools/adbd
"""


def make(folder: Path) -> None:
    """Raises CannotRunHere."""
    if (folder / ".whole").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    debian = Debian(folder / "debian")
    debian.unpack(["dash", "coreutils", "adbd"], folder / "root", backports=True)
    debian.unpack(["adb"], folder / "adb", missing_only=True, backports=True)
    (folder / ".whole").touch()


def script(path: Path, answers: dict[str, str]) -> None:
    """A shell script that prints what belongs to its first argument."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cases = "".join(f"{key}) printf '{text.encode('unicode_escape').decode()}\\n' ;;\n" for key, text in answers.items())
    path.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}esac\n')
    path.chmod(0o755)


@dataclass(frozen=True)
class Phone:
    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    root: Path

    def run(self, *command: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """A command beside the phone: in its network."""
        place = ["nsenter", "--target", str(self.inner()), "--user", "--net", "--preserve-credentials"]
        return subprocess.run([*place, *command], env=self.environment, capture_output=True, text=True, timeout=timeout, check=False)

    def edgekit(self, *words: str) -> subprocess.CompletedProcess[str]:
        """An edgekit command beside the phone."""
        return self.run(sys.executable, "-m", "edgekit", *words)

    def inner(self) -> int:
        """The process in the namespaces, unshare's child; 0 before it is there and after it ended."""
        if self.process.poll() is not None:
            return 0
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else 0


@contextmanager
def switched_on(kit: arm64.Kit, scratch: Path, folder: Path = FOLDER) -> Iterator[Phone]:
    """The phone, ready and connected. Raises CannotRunHere if it has not been fetched or this kernel does not permit such namespaces."""
    if not (folder / ".whole").exists():
        raise CannotRunHere(f"{folder}: holds no adbd; expected one: make phone")
    root = folder / "root"
    shutil.rmtree(root / "data", ignore_errors=True)
    script(root / "usr/local/bin/getprop", PROPERTIES)
    script(root / "usr/local/bin/dumpsys", SERVICES)
    adb = wrapper(folder / "adb", scratch)
    environment = os.environ | {"PATH": f"{adb.parent}:{os.environ['PATH']}", "HOME": str(scratch), "ADB_VENDOR_KEYS": "", "TMPDIR": str(scratch)}
    settings = {
        "ROOT": str(root),
        "QEMU": str(kit.qemu),
        "ELF": ARM64_ELF,
        "MASK": MASK,
        "PYTHON": sys.executable,
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    }
    alone = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"]
    with (scratch / "adbd.log").open("wb") as log:
        process = subprocess.Popen([*alone, "sh", "-c", START], env=settings, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    phone = Phone(process, environment, root)
    try:
        said = ""
        for _ in range(100):
            if process.poll() is not None:
                lines = (scratch / "adbd.log").read_text(errors="replace").strip().splitlines() or ["no message"]
                raise CannotRunHere(f"namespaces with a phone are not permitted here: {lines[-1]}")
            said = phone.run("adb", "connect", SERIAL, timeout=20).stdout if phone.inner() else "no process"
            if said.startswith(("connected", "already connected")):
                break
            time.sleep(0.2)
        else:
            raise CannotRunHere(f"adbd did not answer: {said.strip()}")
        yield phone
    finally:
        if inner := phone.inner():
            phone.run("adb", "kill-server", timeout=20)
            os.kill(inner, signal.SIGKILL)  # unshare itself ignores SIGTERM, and ends with its child
        process.wait(20)


def wrapper(unpacked: Path, scratch: Path) -> Path:
    """This machine's adb, or the unpacked one with its libraries."""
    path = scratch / "bin/adb"
    path.parent.mkdir(exist_ok=True)
    if found := shutil.which("adb"):
        path.symlink_to(found)
        return path
    libraries = f"{unpacked}/usr/lib/x86_64-linux-gnu/android:{unpacked}/usr/lib/x86_64-linux-gnu"
    path.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{libraries}" exec "{unpacked}/usr/lib/android-sdk/platform-tools/adb" "$@"\n')
    path.chmod(0o755)
    return path


if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    except CannotRunHere as error:
        sys.exit(f"error: {error}")
