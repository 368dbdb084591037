"""Swift for the tests: Debian 13's swiftlang (6.0.3) in a root of its own, entered through namespaces. Nothing is installed and nobody needs to be root.

python tests/toolchains/swift.py [FOLDER]      fetch it (default: build/swift, 2.5 GB unpacked); what is there already is kept
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cases import TestCase

from edgekit.errors import CannotRunHere
from edgekit_targets.devices.debian import Debian

REPOSITORY = Path(__file__).parents[2].resolve()
FOLDER = REPOSITORY / "build/swift"
RELEASE = "trixie"
PACKAGES = ("base-files", "swiftlang", "libc6-dev", "libstdc++-14-dev", "dash", "coreutils")
TOOLS = "/usr/libexec/swift/bin"

NO_ENTRY = 125
ENTER = r"""
enter() {
  mount -t tmpfs tmpfs "$ROOT/tmp" &&
  mount -t proc proc "$ROOT/proc" &&
  mount --rbind /dev "$ROOT/dev" &&
  mkdir -p "$ROOT$REPOSITORY" "$ROOT$SCRATCH" &&
  mount --bind "$REPOSITORY" "$ROOT$REPOSITORY" &&
  { mount -o remount,bind,ro "$ROOT$REPOSITORY" 2>/dev/null || true; } &&
  mount --bind "$SCRATCH" "$ROOT$SCRATCH"
}
enter || exit 125
exec chroot "$ROOT" /usr/bin/env -i --chdir="$PLACE" PATH="$TOOLS:/usr/bin:/bin" HOME=/tmp LC_ALL=C.UTF-8 "$@"
"""
"""The repository and the scratch folder stand at their own paths inside, so that messages name files as they are; the repository cannot be written
(where the kernel permits such a mount)."""


def make(folder: Path = FOLDER) -> None:
    """Raises CannotRunHere."""
    wanted = "\n".join((RELEASE, *PACKAGES))
    mark = folder / ".whole"
    if mark.exists() and mark.read_text("utf-8") == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    Debian(folder / "debian", RELEASE).unpack(PACKAGES, folder / "root")
    shutil.rmtree(folder / "debian")
    said = run("swift", "--version", folder=folder, check_whole=False)
    if said.returncode:
        raise CannotRunHere(f"the fetched swift does not start: {(said.stderr.strip().splitlines() or ['no message'])[-1]}")
    mark.write_text(wanted, "utf-8")


def run(
    *command: str, cwd: Path = REPOSITORY, scratch: Path | None = None, folder: Path = FOLDER, timeout: float = 500, check_whole: bool = True
) -> subprocess.CompletedProcess[str]:
    """Executes a command of the toolchain (swift, swiftc, swift-format ...) or of the root's coreutils, without network, in `cwd`, a folder of the repository.

    Only `scratch` (default: build/swift/scratch) can be written: `--scratch-path` for swift build and swift test, `-o` for swiftc. All paths are as outside.
    Raises CannotRunHere if the toolchain has not been fetched or this kernel permits no such namespaces.
    """
    if check_whole and not (folder / ".whole").exists():
        raise CannotRunHere(f"{folder}: holds no Swift; expected one: make toolchains")
    scratch = (scratch or folder / "scratch").resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    settings = {
        "ROOT": str((folder / "root").resolve()),
        "REPOSITORY": str(REPOSITORY),
        "SCRATCH": str(scratch),
        "PLACE": str(cwd.resolve()),
        "TOOLS": TOOLS,
        "PATH": f"{os.defpath}:/usr/sbin:/sbin",
    }
    alone = ["unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    done = subprocess.run(
        [*alone, "sh", "-c", ENTER, "sh", *command],
        env=settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode == NO_ENTRY or done.stderr.startswith("unshare:"):
        raise CannotRunHere(f"namespaces with a root of their own are not permitted here: {(done.stderr.strip().splitlines() or ['no message'])[0]}")
    return done


def build(package: Path, *options: str, scratch: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Compiles a SwiftPM package with its tests, warnings being errors. Raises CannotRunHere."""
    place = _build_folder(package, scratch)
    words = ["swift", "build", "--build-tests", "-Xswiftc", "-warnings-as-errors", "--scratch-path", str(place), *options]
    return run(*words, cwd=package, scratch=scratch)


def run_tests(package: Path, environment: Mapping[str, str] | None = None, only: str = "", scratch: Path | None = None) -> list[TestCase]:
    """The XCTest cases of a package that `build` compiled: all, or those whose name `only` (a regular expression) finds. A skipped one has a problem too.

    Raises AssertionError if the runner found none, or broke; CannotRunHere.
    """
    words = ["swift", "test", "--skip-build", "--scratch-path", str(_build_folder(package, scratch))]
    settings = [f"{key}={value}" for key, value in (environment or {}).items()]
    done = run("env", *settings, *words, *(["--filter", only] if only else []), cwd=package, scratch=scratch)
    said = done.stdout + done.stderr
    found = cases_of(said)
    assert found and (done.returncode == 0 or any(case.problem for case in found)), f"swift test ended with status {done.returncode}:\n{said[-5000:]}"
    return found


def _build_folder(package: Path, scratch: Path | None) -> Path:
    return (scratch or FOLDER / "scratch").resolve() / package.name


def cases_of(said: str) -> list[TestCase]:
    """A test that started and did not end took the process with it; what the process said last is its problem."""
    problems = {}
    for name, problem in re.findall(r": (?:error: )?(\w+\.\w+) : (.*)", said):
        problems.setdefault(name, problem)
    ends = dict(re.findall(r"^Test Case '(\w+\.\w+)' (passed|failed|skipped)", said, re.MULTILINE))
    cases = []
    for name in re.findall(r"^Test Case '(\w+\.\w+)' started", said, re.MULTILINE):
        suite, _, test = name.partition(".")
        last = next((line for line in said.splitlines() if "Fatal error" in line), "the process ended")
        problem = None if ends.get(name) == "passed" else problems.get(name, ends.get(name) or last)
        cases.append(TestCase(suite, test, problem))
    return cases


if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    except CannotRunHere as error:
        sys.exit(f"error: {error}")
