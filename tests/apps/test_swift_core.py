"""EnhancerCore, the iOS app's pure Swift: compiled once in Swift 6 mode, its own tests run on Linux, one test here per XCTest class."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cases import TestCase, assert_passed, failures

from edgekit import bundle, device_report
from edgekit.manifest import Golden, GoldenOutput

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "ios-demo"
PACKAGE = DEMO / "EnhancerKit"
FIXTURES = ROOT / "tests/fixtures"
SUITES = sorted(
    suite
    for file in (PACKAGE / "Tests/EnhancerCoreTests").glob("*.swift")
    for suite in re.findall(r"^final class (\w+): XCTestCase", file.read_text("utf-8"), re.M)
)
NEEDS_A_BUNDLE = TestCase("DeviceReportTests", "testRealReport", None)
"""Runs in `test_python_reads_what_the_self_test_writes`."""


@pytest.fixture(scope="session")
def package(swift) -> Path:
    """EnhancerKit, compiled; warnings are errors."""
    done = swift.build(PACKAGE)
    assert done.returncode == 0, done.stdout + done.stderr
    return PACKAGE


@pytest.fixture(scope="session")
def cases(swift, package) -> Sequence[TestCase]:
    return [case for case in swift.run_tests(package) if (case.suite, case.name) != (NEEDS_A_BUNDLE.suite, NEEDS_A_BUNDLE.name)]


@pytest.mark.parametrize("suite", SUITES)
def test_suite_passes(cases, suite):
    assert_passed(cases, suite)


def test_there_are_suites():
    assert len(SUITES) >= 12


@pytest.mark.parametrize(
    ("file", "part", "other", "suite"),
    [
        ("tiling.json", '"rows": ', '"rows": 1', "TilingTests"),
        ("colour.json", '"rgb": "', '"rgb": "BAAA', "FrameConverterTests"),
        ("scheduler.json", '"then": "wait"', '"then": "skip"', "PreviewSchedulerTests"),
        ("stitched.json", '"out_rgb": "', '"out_rgb": "BAAA', "PictureEnhancerTests"),
        ("routing.json", '"score": ', '"score": 1', "RoutingTests"),
    ],
)
def test_a_wrong_vector_is_seen(swift, package, file, part, other, suite):
    fixtures = swift.FOLDER / "scratch/wrong-vectors"
    shutil.rmtree(fixtures, ignore_errors=True)
    shutil.copytree(FIXTURES, fixtures, ignore=shutil.ignore_patterns("write"))
    text = (fixtures / file).read_text("utf-8")
    assert part in text
    (fixtures / file).write_text(text.replace(part, other), "utf-8")
    failed = failures(swift.run_tests(package, {"EDGEKIT_FIXTURES": str(fixtures)}, suite))
    assert any("is not equal to" in line for line in failed), failed


@pytest.fixture
def cross_bundle(swift, monkeypatch) -> bundle.Bundle:
    """A bundle whose golden pair Python computed with the network of stitched.json; CrossNetwork in Swift is to give the same."""
    monkeypatch.setattr(sys, "path", [str(FIXTURES), str(ROOT / "tests/toolkit"), *sys.path])
    import bundles
    from write.stitched import network

    place = swift.FOLDER / "scratch/cross-network"
    shutil.rmtree(place, ignore_errors=True)
    (place / "parts").mkdir(parents=True)
    described, files = bundles.sample(place / "parts")
    (artifact,) = [a for a in described.artifacts if a.backend == "coreml"]
    tile = torch.rand(1, 3, 8, 16, generator=torch.Generator().manual_seed(11))
    result = torch.from_numpy(network(tile[0].numpy()))[None]
    golden = place / "parts/golden"
    given = bundle.golden_tensor(golden, "input", "image", tile, "NCHW")
    expected = bundle.golden_tensor(golden, f"output-{artifact.name}", "enhanced", result, "NCHW")
    reference = bundle.golden_tensor(golden, "output-reference", "enhanced", result, "NCHW")
    pair = Golden((given,), (reference,), (GoldenOutput(artifact.name, (expected,), 0.0, 100.0),))
    kept = {artifact.file: files[artifact.file]} | {tensor.file: golden / Path(tensor.file).name for tensor in (given, reference, expected)}
    return bundle.write(place / "bundle", replace(described, artifacts=(artifact,), golden=pair), kept)


def test_python_reads_what_the_self_test_writes(swift, package, cross_bundle):
    file = cross_bundle.path.parent / "report.json"
    (case,) = swift.run_tests(package, {"EDGEKIT_BUNDLE": str(cross_bundle.path), "EDGEKIT_REPORT": str(file)}, "DeviceReportTests/testRealReport")
    assert case == NEEDS_A_BUNDLE
    report = device_report.read(file)
    assert report.bundle.model == cross_bundle.manifest.model.name
    (artifact,) = report.artifacts
    assert artifact.golden and artifact.golden.bit_equal and artifact.latency and artifact.latency.runs == 5
    (checked,) = device_report.against(report, cross_bundle)
    assert (checked.artifact, checked.golden) == (artifact.name, "ok"), checked


def test_the_app_is_tidy(swift):
    done = swift.run("swift-format", "lint", "--strict", "--recursive", "--configuration", str(DEMO / ".swift-format"), str(DEMO))
    assert done.returncode == 0, done.stderr


def test_untidy_sources_are_seen(swift):
    untidy = swift.FOLDER / "scratch/Untidy.swift"
    untidy.write_text("func  untidy( ) { let x = 1; print(x) }\n", "utf-8")
    done = swift.run("swift-format", "lint", "--strict", "--configuration", str(DEMO / ".swift-format"), str(untidy))
    assert done.returncode == 1 and "Untidy.swift:1" in done.stderr, done.stderr


def test_a_crash_is_seen():
    """What XCTest said when Foundation's JSON decoder ended the process."""
    from swift import cases_of

    said = """Test Case 'ManifestTests.testGoldenGood' started at 2026-11-21 20:29:43.6
Test Case 'ManifestTests.testGoldenGood' passed (0.048 seconds)
Test Case 'ManifestTests.testHostileBytes' started at 2026-11-21 20:29:43.7
FoundationEssentials/JSONDecoder.swift:777: Fatal error: 'try!' expression unexpectedly raised an error
"""
    fine, broken = cases_of(said)
    assert fine == TestCase("ManifestTests", "testGoldenGood", None)
    assert (broken.suite, broken.name) == ("ManifestTests", "testHostileBytes") and broken.problem and "Fatal error" in broken.problem
