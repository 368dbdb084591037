"""Debian packages unpacked into a folder: without being root, and without touching the machine's own apt and dpkg."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgekit.errors import CannotRunHere

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Debian:
    """A private view of the packages of a Debian release and of its backports, through the mirror that the machine's own apt uses.

    `folder` holds the view and may be deleted at any time. `release` is a code name such as trixie; None: this machine's own. Raises CannotRunHere where there
    is no Debian, no apt or no network.
    """

    def __init__(self, folder: Path, release: str | None = None) -> None:
        self._folder = folder.resolve()
        own = _codename()
        self.release = release or own
        self._foreign = self.release != own
        site = _site(own)
        for name in ("lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "nothing-installed").touch()
        signed = f" signed-by={KEYRING}" if KEYRING.exists() else ""
        lines = [f"deb [arch=amd64,arm64{signed}] {site} {self.release} main", f"deb [arch=amd64{signed}] {site} {self.release}-backports main"]
        (self._folder / "sources.list").write_text("\n".join(lines) + "\n", "utf-8")
        self._run(["apt-get", *self._options(), "-qq", "update"])

    def unpack(
        self, packages: Sequence[str], into: Path, *, architecture: str = "amd64", missing_only: bool = False, backports: bool = False
    ) -> None:
        """Unpacks `packages` and all they depend on into `into`; with `missing_only` just what this machine has not installed. No package's scripts run.

        Raises ValueError for `missing_only` with another release than this machine's.
        """
        if missing_only and self._foreign:
            raise ValueError(f"what this machine has installed is not of {self.release}; expected missing_only for its own release only")
        options = self._options(architecture, as_installed=missing_only)
        if backports:
            options += ["-t", f"{self.release}-backports"]
        archives = self._folder / "cache/archives"
        for old in archives.glob("*.deb"):
            old.unlink()
        self._run(["apt-get", *options, "-qq", "-y", "--no-install-recommends", "--download-only", "install", *packages])
        self._unpack(sorted(archives.glob("*.deb")), into)

    def unpack_alone(self, package: str, into: Path) -> None:
        """Unpacks one package of the backports, without what it depends on."""
        archives = self._folder / "cache/archives"
        for old in archives.glob("*.deb"):
            old.unlink()
        self._run(["apt-get", *self._options(), "-qq", "-t", f"{self.release}-backports", "download", package], archives)
        self._unpack(sorted(archives.glob("*.deb")), into)

    def source(self, package: str, into: Path) -> Path:
        """The upstream sources that `package` was built from, as one archive in `into`."""
        listed = self._folder / "sources.list"
        if "deb-src" not in (text := listed.read_text("utf-8")):
            listed.write_text(f"{text}{text.splitlines()[0].replace('deb ', 'deb-src ').replace('arch=amd64,arm64 ', '')}\n", "utf-8")
            self._run(["apt-get", *self._options(), "-qq", "update"])
        into.mkdir(parents=True, exist_ok=True)
        self._run(["apt-get", *self._options(), "-qq", "source", "--download-only", "--tar-only", package], into)
        return next(into.glob("*.orig.tar.*"))

    def _unpack(self, files: Sequence[Path], into: Path) -> None:
        into.mkdir(parents=True, exist_ok=True)
        for file in files:
            self._run(["dpkg-deb", "-x", str(file), str(into)])
            file.unlink()

    def _options(self, architecture: str = "amd64", *, as_installed: bool = True) -> list[str]:
        settings = {
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": self._folder / "lists",
            "Dir::Cache": self._folder / "cache",
            "Debug::NoLocking": "1",
            "APT::Sandbox::User": "root",
        }
        if architecture != "amd64":
            settings |= {"APT::Architecture": architecture, "APT::Architectures::": architecture}
        if not as_installed:
            settings |= {"Dir::State::status": self._folder / "nothing-installed"}
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]

    def _run(self, command: list[str], place: Path | None = None) -> None:
        environment = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            command, cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg-deb:"))] or done.stderr.splitlines() or ["no message"]
            words = " ".join(word for word in command[1:] if not word.startswith("-") and "=" not in word)
            raise CannotRunHere(
                f"`{command[0]} {words}` failed with status {done.returncode}: {said[-1].strip()}; check the network and apt's sources"
            )


def _codename() -> str:
    """Such as bookworm."""
    if not all(shutil.which(tool) for tool in ("apt-get", "dpkg-deb")):
        raise CannotRunHere("apt-get and dpkg-deb are not here; expected a Debian system")
    lines = Path("/etc/os-release").read_text("utf-8").splitlines() if Path("/etc/os-release").exists() else []
    fields = dict(line.replace('"', "").split("=", 1) for line in lines if "=" in line)
    if fields.get("ID") != "debian" or not fields.get("VERSION_CODENAME"):
        raise CannotRunHere(f"this system is {fields.get('PRETTY_NAME', 'unknown')}; expected a Debian release (its mirrors hold all architectures)")
    machine = os.uname().machine
    if machine != "x86_64":
        raise CannotRunHere(f"this machine is {machine}; expected x86_64")
    return fields["VERSION_CODENAME"]


def _site(release: str) -> str:
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    for words in (line.split() for line in found):
        if words[1:] == [release, "main"]:
            return words[0]
    raise CannotRunHere(f"apt has no source for Debian {release} main; expected one in /etc/apt")
