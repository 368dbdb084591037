"""Builds android-demo without Gradle: each module compiled against Android's API, resources linked, all of it dexed, packaged, aligned and signed."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import android

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "android-demo"
NO_COMPRESS = (".pte", ".tflite")
TARGET_API = 36
NAMESPACE = "edgekit.demo"


def sources(module: str) -> Path:
    return DEMO / module / "src/main/kotlin"


def done(result: subprocess.CompletedProcess[str]) -> str:
    """The command's output. Raises AssertionError with it if the command failed."""
    assert result.returncode == 0, f"{Path(result.args[0]).name} ended with status {result.returncode}:\n{result.stdout}"
    return result.stdout


@dataclass(frozen=True)
class Modules:
    """Compiled modules: jars. `resources` holds the class R, `base` is an APK with resources and manifest only."""

    core: Path
    executorch: Path
    tflite: Path
    tflite_stub: Path
    resources: Path
    base: Path
    app: Path

    @property
    def classpath(self) -> list[Path]:
        """What the app is compiled against."""
        return [self.core, self.executorch, self.tflite, self.resources]


def compile_modules(kit: android.Android, core: Path, out: Path) -> Modules:
    """Raises AssertionError with the compiler's messages."""
    stub = _java(kit, [ROOT / "tests/apps/tflite_stub/org/tensorflow/lite/Interpreter.java"], out / "tflite-stub.jar")
    executorch = out / "enhancer-executorch.jar"
    done(kit.compile([sources("enhancer-executorch")], executorch, [core]))
    tflite = out / "enhancer-tflite.jar"
    done(kit.compile([sources("enhancer-tflite")], tflite, [core, stub]))
    base, resources = link(kit, out)
    app = out / "app.jar"
    done(kit.compile([sources("app")], app, [core, executorch, tflite, resources]))
    return Modules(core, executorch, tflite, stub, resources, base, app)


def link(kit: android.Android, out: Path) -> tuple[Path, Path]:
    """Resources and manifest to an APK and a jar with the class R, as the Gradle plugin would."""
    main = DEMO / "app/src/main"
    manifest = out / "AndroidManifest.xml"
    manifest.write_text((main / "AndroidManifest.xml").read_text("utf-8").replace("<manifest ", f'<manifest package="{NAMESPACE}" ', 1), "utf-8")
    done(kit.aapt2("compile", "--dir", main / "res", "-o", out / "resources.zip"))
    base = out / "base.apk"
    versions = ["--min-sdk-version", str(android.MIN_API), "--target-sdk-version", str(TARGET_API), "--version-code", "1", "--version-name", "0.1.0"]
    done(kit.aapt2("link", "-I", kit.framework, "--manifest", manifest, *versions, "--java", out / "generated", "-o", base, out / "resources.zip"))
    return base, _java(kit, sorted((out / "generated").rglob("*.java")), out / "resources.jar")


def _java(kit: android.Android, files: list[Path], jar: Path) -> Path:
    classes = jar.with_suffix("")
    done(kit.kotlin.javac("-Xlint:-options", "--release", "8", "-d", classes, *files))
    with zipfile.ZipFile(jar, "w") as archive:
        for file in sorted(classes.rglob("*.class")):
            archive.write(file, file.relative_to(classes))
    return jar


def package(kit: android.Android, modules: Modules, assets: Path, out: Path) -> Path:
    """The signed APK, with `assets` in it. The key is made for this one and thrown away."""
    done(
        kit.dex(
            [modules.app, modules.core, modules.executorch, modules.tflite, modules.resources], out / "dex", [*kit.kotlin.runtime, *kit.libraries]
        )
    )
    unsigned, aligned, apk = out / "unsigned.apk", out / "aligned.apk", out / "edgekit-demo.apk"
    shutil.copyfile(modules.base, unsigned)
    with zipfile.ZipFile(unsigned, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.write(out / "dex/classes.dex", "classes.dex")
        archive.write(kit.libraries_dex, "classes2.dex")
        archive.write(kit.native, "lib/arm64-v8a/libexecutorch.so", zipfile.ZIP_STORED)
        for file in sorted(p for p in assets.rglob("*") if p.is_file()):
            stored = zipfile.ZIP_STORED if file.suffix in NO_COMPRESS else zipfile.ZIP_DEFLATED
            archive.write(file, f"assets/{file.relative_to(assets)}", stored)
    done(kit.zipalign("-f", "-p", "4", unsigned, aligned))
    key = out / "key.p12"
    keytool = kit.kotlin.java_home / "bin/keytool"
    words = [
        "-genkeypair",
        "-keystore",
        key,
        "-storepass",
        "for-tests",
        "-alias",
        "k",
        "-keyalg",
        "RSA",
        "-keysize",
        "2048",
        "-validity",
        "1",
        "-dname",
        "CN=t",
    ]
    subprocess.run(list(map(str, [keytool, *words])), check=True, capture_output=True)
    done(kit.apksigner("sign", "--ks", key, "--ks-pass", "pass:for-tests", "--min-sdk-version", str(android.MIN_API), "--out", apk, aligned))
    key.unlink()
    return apk
