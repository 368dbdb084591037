"""Everything beside Python that the tests use, fetched by package name (Debian, npm, PyPI) into build/; nothing is installed on the machine.

python tests/toolchains/fetch.py [NAME...]      arm64, phone, kotlin, android, swift, apple; without a name, all. What is there already is kept.

What cannot be had is named, and the exit status is 1: the tests that need it skip and say so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from edgekit.errors import EdgekitError

ROOT = Path(__file__).parents[2]


def _arm64() -> None:
    from edgekit_targets.devices import make_arm64

    make_arm64.make(ROOT / "build/arm64")


def _phone() -> None:
    sys.path.insert(0, str(ROOT / "tests/targets"))
    phone = import_module("phone")
    phone.make(phone.FOLDER)


def _of(module: str) -> Callable[[], None]:
    def make() -> None:
        toolchain = import_module(module)
        toolchain.make(toolchain.FOLDER)

    return make


TOOLCHAINS: dict[str, tuple[str, Callable[[], None]]] = {
    "arm64": ("ARM64 code under qemu", _arm64),
    "phone": ("a phone's adbd", _phone),
    "kotlin": ("Kotlin, JUnit, ktlint", _of("kotlin")),
    "android": ("Android's API, D8, aapt2", _of("android")),
    "swift": ("Swift in a Debian root", _of("swift")),
    "apple": ("the names in Apple's headers", _of("apple_headers")),
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in TOOLCHAINS]
    if unknown:
        sys.exit(f"error: no toolchain named '{unknown[0]}'; expected some of {', '.join(TOOLCHAINS)}")
    missing = 0
    for name in names or TOOLCHAINS:
        what, make = TOOLCHAINS[name]
        start = time.monotonic()
        try:
            make()
        except EdgekitError as error:
            missing = 1
            print(f"{name:8} MISSING   {what}: {error}", flush=True)
        else:
            print(f"{name:8} ready     {what} ({time.monotonic() - start:.0f} s)", flush=True)
    return missing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
