"""android-demo, built without Gradle: type-checked against Android's API 34, its logic run on the JVM, all of it packaged and signed into an APK."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import subprocess
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import android_build
import api_guards
import pytest
from android_build import DEMO, Modules, done
from cases import TestCase, assert_passed

from edgekit.cli import main

LOGIC = DEMO / "app/src/main/kotlin/edgekit/demo/logic"
LOGIC_TESTS = DEMO / "app/src/test/kotlin"
SUITES = sorted(file.stem for file in LOGIC_TESTS.rglob("*Test.kt"))
MIN_API = 26


@pytest.fixture(scope="module")
def modules(android, tmp_path_factory) -> Modules:
    """All modules, enhancer-core too, compiled against Android's API alone: no class of the JDK that a phone does not have."""
    out = tmp_path_factory.mktemp("android")
    core = out / "enhancer-core.jar"
    done(android.compile([android_build.sources("enhancer-core")], core))
    return android_build.compile_modules(android, core, out)


# Type checks


def test_everything_compiles_against_api_34(modules):
    for jar in (modules.core, modules.executorch, modules.tflite, modules.app):
        with zipfile.ZipFile(jar) as archive:
            assert any(name.endswith(".class") for name in archive.namelist()), jar


WRONG = {
    "fun a(activity: android.app.Activity) { activity.title = 5 }": "actual type is 'Int', but 'CharSequence!' was expected",
    "fun b(power: android.os.PowerManager) = power.currentThermalState": "unresolved reference 'currentThermalState'",
    "val c = android.os.Build.VERSION_CODES.VANILLA_ICE_CREAM": "unresolved reference 'VANILLA_ICE_CREAM'",
    "val d: String = android.net.Uri.EMPTY.path": "expected 'String', actual 'String?'",
    "val e = java.awt.Point(1, 2)": "unresolved reference 'Point'",
    "fun f(stream: java.io.InputStream) = stream.readAllBytes()": "unresolved reference 'readAllBytes'",
    "val g = edgekit.demo.R.layout.activity_other": "unresolved reference 'activity_other'",
    "val h = org.pytorch.executorch.Module.load(5)": "actual type is 'Int', but 'String!' was expected",
    "fun i(artifact: edgekit.core.Artifact): Int = artifact.name": "expected 'Int', actual 'String'",
    "class J(c: android.content.Context) : android.view.View(c) { override fun onPaint(x: android.graphics.Canvas) = Unit }": "'onPaint' overrides nothing",
}


def test_wrong_code_is_rejected(android, modules, tmp_path):
    source = tmp_path / "Wrong.kt"
    source.write_text("\n".join(WRONG) + "\n")
    result = android.compile([source], tmp_path / "wrong.jar", modules.classpath)
    assert result.returncode != 0
    for line, expected in enumerate(WRONG.values(), 1):
        said = [text for text in result.stdout.splitlines() if re.search(rf"Wrong\.kt:{line}:\d+: error: ", text)]
        assert any(expected in text for text in said), f"line {line}: {said or result.stdout}"


# API levels


def test_members_newer_than_the_lowest_release_are_guarded(android, modules, tmp_path):
    levels = android.levels()
    for jar in (modules.app, modules.core, modules.executorch, modules.tflite):
        assert api_guards.unguarded(android.kotlin, jar, levels, MIN_API, tmp_path / jar.stem) == []


GUARDS = """
package guards

import android.annotation.TargetApi
import android.os.Build
import android.os.PowerManager

class Guards(private val power: PowerManager) {
    fun bare() = power.currentThermalStatus
    fun bareInALambda() = listOf(1).map { { power.currentThermalStatus } }
    fun asked() = if (Build.VERSION.SDK_INT >= 29) power.currentThermalStatus else 0
    @TargetApi(29) fun said() = power.currentThermalStatus
    @TargetApi(28) fun saidTooLow() = power.currentThermalStatus
    fun callsSaid() = said()
    fun asksAndCallsSaid() = if (Build.VERSION.SDK_INT >= 29) said() else 0
    fun newClass() = android.window.OnBackInvokedCallback { }
    fun old() = power.isInteractive
}
"""


README = """
package readme

import android.content.Context
import android.graphics.Bitmap
import edgekit.core.ModelBundle
import edgekit.core.PictureEnhancer
import edgekit.demo.BitmapSink
import edgekit.demo.BitmapSource
import edgekit.executorch.ExecuTorchEnhancer
import java.io.File

fun enhance(context: Context, before: Bitmap): Bitmap {
%s
    return after
}
"""


@pytest.fixture(scope="module")
def snippets(android, modules, tmp_path_factory) -> Path:
    """GUARDS and the README's lines, compiled."""
    folder = tmp_path_factory.mktemp("snippets")
    (folder / "Guards.kt").write_text(GUARDS)
    (lines,) = re.findall(r"```kotlin\n(.*?)```", (DEMO / "README.md").read_text("utf-8"), re.DOTALL)
    (folder / "Readme.kt").write_text(README % lines)
    done(android.compile([folder], folder / "snippets.jar", [*modules.classpath, modules.app]))
    return folder / "snippets.jar"


def test_a_missing_guard_is_seen(android, snippets, tmp_path):
    found = api_guards.unguarded(android.kotlin, snippets, android.levels(), MIN_API, tmp_path)
    assert [line.split(":")[0] for line in found] == [
        f"guards.Guards {name}" for name in ("bare", "bareInALambda", "callsSaid", "newClass", "saidTooLow")
    ]
    assert found[0].endswith("android.os.PowerManager.getCurrentThermalStatus/0 is of release 29; expected a check of SDK_INT or @TargetApi(29)")


def test_the_readmes_lines_compile(snippets):
    with zipfile.ZipFile(snippets) as archive:
        assert "readme/ReadmeKt.class" in archive.namelist()


# Logic


@pytest.fixture(scope="module")
def cases(android, modules, tmp_path_factory) -> Sequence[TestCase]:
    """Without any class of Android on the class path."""
    folder, kotlin = tmp_path_factory.mktemp("logic"), android.kotlin
    libraries = [modules.app, modules.core, kotlin.library("kotlinx-coroutines-core-jvm")]
    done(kotlin.compile([LOGIC_TESTS], folder / "tests.jar", [*libraries, *kotlin.test_runtime]))
    return kotlin.run_tests(folder / "tests.jar", libraries, folder / "reports")


@pytest.mark.parametrize("suite", SUITES)
def test_logic(cases, suite):
    assert_passed(cases, suite)


def test_every_test_belongs_to_a_suite(cases):
    assert {case.suite for case in cases} == set(SUITES)


def test_logic_knows_no_android():
    for file in LOGIC.glob("*.kt"):
        assert not re.search(r"\bandroid\.", file.read_text("utf-8")), file.name


# The APK


@pytest.fixture(scope="module")
def apk(android, modules, tiny_bundle, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("apk")
    app = out / "android-demo"
    app.mkdir()
    for role in ("preview", "capture"):
        assert main(["bundle", str(tiny_bundle.path), "--into", str(app), "--as", role]) == 0
    return android_build.package(android, modules, app / "app/src/main/assets", out)


def test_the_signature_is_valid(android, apk):
    said = done(android.apksigner("verify", "--verbose", "--min-sdk-version", str(MIN_API), apk))
    assert "Verifies" in said and "Verified using v2 scheme (APK Signature Scheme v2): true" in said


def test_an_altered_apk_is_refused(android, apk, tmp_path):
    data = bytearray(apk.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "altered.apk").write_bytes(data)
    assert android.apksigner("verify", "--min-sdk-version", str(MIN_API), tmp_path / "altered.apk").returncode != 0


def test_what_the_system_reads_of_it(android, apk):
    said = done(android.aapt2("dump", "badging", apk))
    assert "package: name='edgekit.demo' versionCode='1' versionName='0.1.0'" in said
    assert f"sdkVersion:'{MIN_API}'" in said or f"minSdkVersion:'{MIN_API}'" in said
    assert "targetSdkVersion:'36'" in said
    assert re.findall(r"uses-permission: name='([\w.]+)'", said) == ["android.permission.CAMERA"], "no INTERNET, nothing else"
    assert "launchable-activity: name='edgekit.demo.MainActivity'" in said
    assert not re.findall(r"uses-feature: name='(android\.hardware\.camera[\w.]*)'", said), "devices without a camera can pick pictures"
    assert "native-code: 'arm64-v8a'" in said


def test_the_self_test_can_be_started_from_a_desk(android, apk):
    tree = done(android.aapt2("dump", "xmltree", "--file", "AndroidManifest.xml", apk))
    activity = next(part for part in tree.split("E: activity") if ".SelfTestActivity" in part)
    assert re.search(r"exported\(0x[0-9a-f]+\)=true", activity)


@pytest.mark.parametrize("role", ["preview", "capture"])
def test_models_are_stored_uncompressed_aligned_and_as_the_manifest_says(apk, tiny_bundle, role):
    with zipfile.ZipFile(apk) as archive:
        manifest = json.loads(archive.read(f"assets/bundles/{role}/manifest.json"))
        assert {a["backend"] for a in manifest["artifacts"]} == {"executorch", "tflite"}
        for artifact in manifest["artifacts"]:
            entry = archive.getinfo(f"assets/bundles/{role}/{artifact['file']}")
            assert entry.compress_type == zipfile.ZIP_STORED
            assert data_offset(apk, entry) % 4 == 0
            data = archive.read(entry)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (artifact["bytes"], artifact["sha256"])
            assert data == (tiny_bundle.path / artifact["file"]).read_bytes()


def data_offset(apk: Path, entry: zipfile.ZipInfo) -> int:
    with apk.open("rb") as file:
        file.seek(entry.header_offset)
        name, extra = struct.unpack("<26xHH", file.read(30))
    return entry.header_offset + 30 + name + extra


def test_alignment_is_as_the_installer_wants_it(android, apk):
    assert re.search("Verification succes+ful", done(android.zipalign("-c", "-v", "-p", "4", apk)))


def test_the_dex_holds_all_modules(android, apk):
    said = done(android.dexdump(apk))
    classes = set(re.findall(r"Class descriptor  : 'L([\w/$]+);'", said))
    wanted = {"edgekit/demo/MainActivity", "edgekit/demo/SelfTestActivity", "edgekit/core/PictureEnhancer", "edgekit/demo/R$layout"}
    wanted |= {"edgekit/executorch/ExecuTorchEnhancer", "edgekit/tflite/TfliteEnhancer", "org/pytorch/executorch/Module", "kotlin/Unit"}
    assert wanted <= classes, wanted - classes
    assert not {name for name in classes if name.startswith(("android/", "java/", "org/tensorflow/"))}, "stubs stay out of the APK"


# The Gradle project, which cannot be built here (ktlint, beside enhancer-core's tests, parses all of it)


def test_the_catalogue_is_used_as_it_is_written():
    catalogue = tomllib.loads((DEMO / "gradle/libs.versions.toml").read_text("utf-8"))
    scripts = {file: file.read_text("utf-8") for file in DEMO.rglob("*.gradle.kts")}
    used = {match for text in scripts.values() for match in re.findall(r"\blibs\.([\w.]+?)\)", text)}
    known = {name.replace("-", ".") for name in catalogue["libraries"]} | {f"plugins.{name.replace('-', '.')}" for name in catalogue["plugins"]}
    assert used == known
    entries = [*catalogue["libraries"].values(), *catalogue["plugins"].values()]
    assert {entry["version"]["ref"] for entry in entries} == set(catalogue["versions"])
    included = re.findall(r'"(:[\w-]+)"', (DEMO / "settings.gradle.kts").read_text("utf-8"))
    assert {file.parent.name for file in scripts} - {"android-demo"} == {name[1:] for name in included}
    for text in scripts.values():
        assert set(re.findall(r'project\("(:[\w-]+)"\)', text)) <= set(included)


def test_gradle_builds_what_is_checked_here():
    app = (DEMO / "app/build.gradle.kts").read_text("utf-8")
    assert f'namespace = "{android_build.NAMESPACE}"' in app and f'applicationId = "{android_build.NAMESPACE}"' in app
    assert f"minSdk = {MIN_API}" in app and f"targetSdk = {android_build.TARGET_API}" in app
    assert f"noCompress += listOf({', '.join(json.dumps(suffix[1:]) for suffix in android_build.NO_COMPRESS)})" in app
    for module in ("enhancer-executorch", "enhancer-tflite"):
        assert f"minSdk = {MIN_API}" in (DEMO / module / "build.gradle.kts").read_text("utf-8")


def test_bundles_stay_out_of_the_repository():
    path = "android-demo/app/src/main/assets/bundles/preview/manifest.json"
    assert subprocess.run(["git", "check-ignore", "-q", path], cwd=android_build.ROOT, check=False).returncode == 0


# Resources


def test_texts_are_resources_and_all_are_used():
    main_folder = DEMO / "app/src/main"
    everything = "\n".join(file.read_text("utf-8") for file in main_folder.rglob("*") if file.suffix in (".kt", ".xml"))
    layouts = "\n".join(file.read_text("utf-8") for file in (main_folder / "res/layout").glob("*.xml"))
    assert not re.findall(r'android:(?:text|hint|contentDescription|label)="(?!@string/)[^"]+"', layouts)
    for name in re.findall(r'<string name="(\w+)"', (main_folder / "res/values/strings.xml").read_text("utf-8")):
        assert re.search(rf"@string/{name}\b|R\.string\.{name}\b", everything), f"{name} is not used"


def test_pictures_and_sliders_are_described():
    space = "{http://schemas.android.com/apk/res/android}"
    for file in (DEMO / "app/src/main/res/layout").glob("*.xml"):
        for element in ElementTree.parse(file).iter():
            if element.tag in ("ImageView", "SeekBar") or element.tag.startswith("edgekit."):
                assert element.get(f"{space}contentDescription", "").startswith("@string/"), f"{file.name}: {element.get(f'{space}id')}"
