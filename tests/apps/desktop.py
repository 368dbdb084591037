"""Builds and runs android-demo/desktop-executorch: the app's core with real .pte files, on ExecuTorch's libraries from its Python wheel."""

from __future__ import annotations

import importlib.util
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kotlin import Kotlin

SOURCES = Path(__file__).parents[2] / "android-demo/desktop-executorch/src/main"
LIBRARIES = ("kernels_optimized", "kernels_quantized", "backend_xnnpack", "threadpool")


@dataclass(frozen=True)
class Desk:
    kotlin: Kotlin
    classpath: str
    library: Path

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Desk.kt's commands. Without ExecuTorch's own log lines."""
        done = self.kotlin.java(f"-Dedgekit.jni={self.library}", "-cp", self.classpath, "edgekit.desktop.DeskKt", *words)
        lines = [line for line in done.stdout.splitlines() if " executorch:" not in line]
        return subprocess.CompletedProcess(done.args, done.returncode, "\n".join(lines))


def build(kotlin: Kotlin, core: Path, folder: Path) -> Desk:
    """Raises AssertionError with the compiler's messages."""
    spec = importlib.util.find_spec("executorch")
    assert spec and spec.submodule_search_locations, "the Python package executorch is missing"
    wheel = Path(spec.submodule_search_locations[0])
    portable = wheel / "include/executorch/runtime/core/portable_type/c10"
    library = folder / "libdesktop_executorch.so"
    linked = [*(f"-lexecutorch_{name}" for name in LIBRARIES), "-lexecutorch", "-Wl,--allow-shlib-undefined", f"-Wl,-rpath,{wheel / 'lib'}"]
    headers = [f"-isystem{wheel / 'include'}", f"-isystem{portable}", "-DC10_USING_CUSTOM_GENERATED_MACROS", "-Werror"]
    made = kotlin.shared_library(SOURCES / "cpp/desktop_executorch.cpp", library, *headers, f"-L{wheel / 'lib'}", "-Wl,--no-as-needed", *linked)
    assert made.returncode == 0, made.stdout
    jar = folder / "desktop.jar"
    compiled = kotlin.compile([SOURCES / "kotlin"], jar, [core])
    assert compiled.returncode == 0, compiled.stdout
    return Desk(kotlin, ":".join(map(str, [jar, core, *kotlin.runtime])), library)
