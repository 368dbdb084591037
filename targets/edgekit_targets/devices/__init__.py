"""What executes model files: this host, ARM64 code under qemu, a phone over adb. A device is made by name and imports what it needs then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from edgekit.device import Device, ExecutedBy
from edgekit.errors import CannotRunHere, UnknownName

NAMES = ("host", "qemu-arm64", "adb:SERIAL")
"""What `--on` takes."""


@runtime_checkable
class Elsewhere(Device, Protocol):
    """A device that is not this host: its measurements go into a file of their own, `measured/<name>.json`."""

    @property
    def name(self) -> str: ...

    @property
    def executed_by(self) -> ExecutedBy: ...

    def facts(self) -> dict[str, str]:
        """What it is (`description` and more) and the state it was in: known best after the runs."""
        ...


@contextmanager
def opened(name: str) -> Iterator[Device]:
    """The device that `--on` names. Raises UnknownName; CannotRunHere if what it needs is not here."""
    if name == "host":
        from edgekit_targets.devices.host import Host

        yield Host()
    elif name == "qemu-arm64":
        from edgekit_targets.devices.qemu_arm64 import QemuArm64

        yield QemuArm64()
    elif name.startswith("adb:"):
        from edgekit_targets.devices.adb import Adb

        if not (serial := name.removeprefix("adb:")):
            raise CannotRunHere("--on is 'adb:'; expected adb:SERIAL, with a serial that `adb devices` lists")
        with Adb(serial) as phone:
            yield phone
    else:
        raise UnknownName("device", name, NAMES)
