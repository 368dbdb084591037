"""The iOS app without a Mac: every Swift file parsed, Apple's part type-checked in Swift 6 mode against ios-demo/Stubs, the logic's own tests run on Linux."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cases import assert_passed

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "ios-demo"
STUBS = DEMO / "Stubs"
APP = DEMO / "App/Sources"
LOGIC = DEMO / "DemoLogic"
KIT = DEMO / "EnhancerKit/Sources"
KIT_SUITES = sorted(file.stem for file in (DEMO / "EnhancerKit/Tests/CoreMLEnhancerTests").glob("*Tests.swift"))
SUITES = sorted(
    suite
    for file in (LOGIC / "Tests/DemoLogicTests").glob("*.swift")
    for suite in re.findall(r"^struct (\w+Tests) \{", file.read_text("utf-8"), re.MULTILINE)
)
PACKAGES = {"EnhancerCore": KIT / "EnhancerCore", "CoreMLEnhancer": KIT / "CoreMLEnhancer", "DemoLogic": LOGIC / "Sources/DemoLogic"}

Check = Callable[[str, Sequence[Path]], str]


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.swift"))


@pytest.fixture(scope="session")
def check(swift) -> Check:
    """Type-checks a module's files with the packages' modules and the stubs at hand, warnings being errors; what the compiler said, empty if all is well."""
    place = swift.FOLDER / "scratch/ios"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    options = ["-swift-version", "6", "-warnings-as-errors", "-I", str(place), "-I", str(STUBS), "-module-cache-path", str(place / "cache")]

    def compile(mode: str, name: str, files: Sequence[Path], *more: str) -> str:
        done = swift.run("swiftc", mode, *options, "-module-name", name, *map(str, files), *more)
        assert done.returncode == 0 or "error:" in done.stderr, done.stderr
        return done.stderr if done.returncode else ""

    for name, folder in PACKAGES.items():
        said = compile("-emit-module", name, sources(folder), "-o", str(place / f"{name}.swiftmodule"))
        assert not said, said
    return lambda name, files: compile("-typecheck", name, files)


def test_every_file_parses(swift):
    files = sources(DEMO)
    assert {APP / "EdgekitDemoApp.swift", KIT / "CoreMLEnhancer/CoreMLEnhancer.swift", LOGIC / "Package.swift"} <= set(files)
    done = swift.run("swiftc", "-frontend", "-parse", *map(str, files))
    assert done.returncode == 0, done.stderr


def test_what_is_no_swift_does_not_parse(swift):
    broken = swift.FOLDER / "scratch/Broken.swift"
    broken.write_text("func unfinished( {\n", "utf-8")
    assert swift.run("swiftc", "-frontend", "-parse", str(broken)).returncode != 0


@pytest.mark.parametrize(("name", "folder"), [("CoreMLEnhancer", PACKAGES["CoreMLEnhancer"]), ("EdgekitDemo", APP)])
def test_type_checks(check, name, folder):
    assert not check(name, sources(folder))


CAMERA, ENHANCER = APP / "Camera/Camera.swift", KIT / "CoreMLEnhancer/CoreMLEnhancer.swift"
MISTAKES = {
    "misspelt member": ("EdgekitDemo", CAMERA, "startRunning()", "startRuning()", "has no member 'startRuning'"),
    "wrong type": ("EdgekitDemo", CAMERA, "Supported(90)", 'Supported("90")', "cannot convert value of type 'String'"),
    "what is not Sendable leaves its actor": (
        "EdgekitDemo",
        CAMERA,
        "private let photos",
        "nonisolated let photos",
        "non-Sendable|not concurrency-safe|non-'Sendable'",
    ),
    "misspelt modifier": ("EdgekitDemo", APP / "Screens/WorkScreen.swift", ".padding(32)", ".paddding(32)", "has no member 'paddding'"),
    "problem without a line": ("EdgekitDemo", APP / "Screens/ProblemScreen.swift", "case .noCamera:", "// ", "must be exhaustive"),
    "model outside of its actor": ("CoreMLEnhancer", ENHANCER, "func close()", "nonisolated func close()", "actor-isolated property 'opened'"),
    "our type for Apple's": (
        "CoreMLEnhancer",
        KIT / "CoreMLEnhancer/Port.swift",
        "dataType: type)",
        "dataType: spec.dtype)",
        "cannot convert value of type 'DType'",
    ),
    "main actor's method from a model": (
        "DemoLogic",
        LOGIC / "Sources/DemoLogic/DemoModel.swift",
        "await self?.progress(done, total)",
        "self?.progress(done, total)",
        "is not marked with 'await'",
    ),
}


@pytest.mark.parametrize(("name", "file", "part", "other", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_seen(swift, check, name, file, part, other, said):
    text = file.read_text("utf-8")
    assert part in text
    wrong = swift.FOLDER / f"scratch/wrong/{file.name}"
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_text(text.replace(part, other), "utf-8")
    folder = PACKAGES.get(name, APP)
    assert re.search(said, check(name, [wrong if right == file else right for right in sources(folder)]))


def test_the_readmes_example_type_checks(swift, check):
    (example,) = re.findall(r"```swift\n(.*?)```", (DEMO / "README.md").read_text("utf-8"), re.DOTALL)
    imports, _, rest = example.partition("\n\n")
    file = swift.FOLDER / "scratch/Example.swift"
    file.write_text(
        f"import Foundation\n{imports}\nfunc example(_ picture: RgbPicture) async throws -> RgbPicture {{\n{rest}\nreturn enhanced\n}}\n", "utf-8"
    )
    assert not check("Example", [file])


def test_only_stubbed_modules_are_imported():
    """And each stub is needed."""
    known = {file.stem for file in STUBS.glob("*.swiftinterface")}
    imported = {
        name
        for folder in (APP, *PACKAGES.values())
        for file in sources(folder)
        for name in re.findall(r"^(?:@\w+ )?import (\w+)", file.read_text("utf-8"), re.M)
    }
    between = {name for file in STUBS.glob("*.swiftinterface") for name in re.findall(r"^(?:@\w+ )?import (\w+)", file.read_text("utf-8"), re.M)}
    assert imported - known == {"Foundation", "Observation", *PACKAGES}
    assert known <= imported | between


@pytest.fixture(scope="session")
def apple_headers():
    import apple_headers

    if not (apple_headers.FOLDER / ".whole").exists():
        pytest.skip("the names in Apple's headers have not been fetched: make toolchains")
    return apple_headers


def test_stubs_name_what_apples_headers_have(apple_headers):
    import stub_names

    names = [name for file in STUBS.glob("*.swiftinterface") if file.stem not in stub_names.SWIFT_MODULES for name in stub_names.declarations(file)]
    checked = [name for name in names if not name.swift_only]
    print(f"{len(checked)} names of stubs compared with the headers; {len(names) - len(checked)} are Swift's alone")
    assert len(checked) > 150
    assert stub_names.unknown() == []


def test_stubs_hold_nothing_newer_than_the_app(apple_headers):
    import stub_names

    project = (DEMO / "EdgekitDemo.xcodeproj/project.pbxproj").read_text("utf-8")
    (oldest,) = set(re.findall(r"IPHONEOS_DEPLOYMENT_TARGET = ([\d.]+)", project))
    names = [name for file in STUBS.glob("*.swiftinterface") if file.stem not in stub_names.SWIFT_MODULES for name in stub_names.declarations(file)]
    assert [str(name) for name in names if not name.swift_only and (stub_names.first_ios(name) or 0) > float(oldest)] == []


@pytest.mark.parametrize(
    ("stub", "part", "other", "named"),
    [
        ("AVFoundation", "func startRunning()", "func startRuning()", "AVFoundation.AVCaptureSession.startRuning()"),
        (
            "AVFoundation",
            "delegate: any AVCapturePhotoCaptureDelegate",
            "observer: any AVCapturePhotoCaptureDelegate",
            "capturePhoto(with:observer:)",
        ),
        ("CoreML", "var outputBackings", "var outputBacking", "CoreML.MLPredictionOptions.outputBacking"),
        ("CoreML", "case cpuAndNeuralEngine", "case neuralEngine", "CoreML.MLComputeUnits.neuralEngine"),
        ("CoreVideo", "func CVPixelBufferGetWidth(", "func CVPixelBufferWidth(", "CoreVideo.CVPixelBufferWidth"),
        ("Photos", "class PHPhotoLibrary", "class PHLibrary", "Photos.PHLibrary"),
    ],
)
def test_a_misspelt_stub_is_seen(apple_headers, tmp_path, stub, part, other, named):
    import stub_names

    text = (STUBS / f"{stub}.swiftinterface").read_text("utf-8")
    assert part in text
    (tmp_path / f"{stub}.swiftinterface").write_text(text.replace(part, other), "utf-8")
    assert any(named in line for line in stub_names.unknown(stubs=tmp_path))


@pytest.fixture(scope="session")
def core_ml_cases(swift):
    """What CoreMLEnhancer's tests said: of the parts that need no Core ML."""
    done = swift.build(DEMO / "EnhancerKit")
    assert done.returncode == 0, done.stdout + done.stderr
    return swift.run_tests(DEMO / "EnhancerKit", only="CoreMLEnhancerTests")


@pytest.mark.parametrize("suite", KIT_SUITES)
def test_core_ml_suite_passes(core_ml_cases, suite):
    assert_passed(core_ml_cases, suite)


@pytest.fixture(scope="session")
def logic(swift) -> Path:
    """DemoLogic, compiled; warnings are errors."""
    # Debian's libswiftObservation.so lacks a symbol that it never calls here.
    done = swift.build(LOGIC, "-Xlinker", "--allow-shlib-undefined")
    assert done.returncode == 0, done.stdout + done.stderr
    return LOGIC


@pytest.mark.parametrize("suite", SUITES)
def test_suite_passes(swift, logic, suite):
    words = ["swift", "test", "--skip-build", "--disable-xctest", "--scratch-path", str(swift.FOLDER / f"scratch/{LOGIC.name}"), "--filter", suite]
    done = swift.run(*words, cwd=logic)
    said = done.stdout + done.stderr
    stated = (next((LOGIC / "Tests").rglob(f"{suite}.swift"))).read_text("utf-8").count("@Test func ")
    print(f"{suite}: {stated} tests")
    assert stated and done.returncode == 0 and f"Test run with {stated} tests passed" in said, said


def test_there_are_suites():
    assert len(SUITES) >= 5 and len(KIT_SUITES) >= 4
