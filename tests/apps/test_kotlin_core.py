"""enhancer-core, the Android app's pure Kotlin: compiled once, its own tests run on the JVM, one test here per Kotlin test class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from cases import TestCase, assert_passed
from kotlin import STRICT

ROOT = Path(__file__).parents[2]
MAIN = ROOT / "android-demo/enhancer-core/src/main/kotlin"
TESTS = ROOT / "android-demo/enhancer-core/src/test/kotlin"
SUITES = sorted(file.stem for file in TESTS.rglob("*Test.kt"))


@pytest.fixture(scope="session")
def cases(kotlin, core, tmp_path_factory) -> Sequence[TestCase]:
    folder = tmp_path_factory.mktemp("core-tests")
    jar, libraries = folder / "tests.jar", [core, *kotlin.test_runtime]
    done = kotlin.compile([TESTS], jar, libraries, [*STRICT, f"-Xfriend-paths={core}"])
    assert done.returncode == 0, done.stdout
    return kotlin.run_tests(jar, [core], folder / "reports", {"edgekit.fixtures": str(ROOT / "tests/fixtures")})


@pytest.mark.parametrize("suite", SUITES)
def test_suite_passes(cases, suite):
    assert_passed(cases, suite)


def test_every_test_belongs_to_a_suite(cases):
    assert {case.suite for case in cases} == set(SUITES)


def test_android_has_all_that_the_core_uses(android, tmp_path):
    done = android.compile([MAIN], tmp_path / "core.jar")
    assert done.returncode == 0, done.stdout


def test_a_broken_test_is_seen(kotlin, core, tmp_path):
    source = tmp_path / "BrokenTest.kt"
    source.write_text(
        "package edgekit.core\n\nimport kotlin.test.*\n\nclass BrokenTest {\n    @Test\n    fun fails() = assertEquals(7, TilePlan(60, 1, 20, 20, 2).rows)\n}\n"
    )
    done = kotlin.compile([source], tmp_path / "broken.jar", [core, *kotlin.test_runtime])
    assert done.returncode == 0, done.stdout
    (case,) = kotlin.run_tests(tmp_path / "broken.jar", [core], tmp_path / "reports")
    assert (case.suite, case.name) == ("BrokenTest", "fails")
    assert case.problem and "expected: <7> but was: <4>" in case.problem and "BrokenTest.kt:7" in case.problem


def test_the_app_is_tidy(kotlin):
    done = kotlin.ktlint("**/*.kt", "**/*.kts", "!**/build/**", place=ROOT / "android-demo")
    assert done.returncode == 0, done.stdout


def test_untidy_sources_are_seen(kotlin, tmp_path):
    (tmp_path / ".editorconfig").write_bytes((ROOT / "android-demo/.editorconfig").read_bytes())
    (tmp_path / "Untidy.kt").write_text("package edgekit\n\nfun  untidy( ) = 1;\n")
    done = kotlin.ktlint("**/*.kt", place=tmp_path)
    assert done.returncode == 1 and "Untidy.kt:3" in done.stdout, done.stdout
