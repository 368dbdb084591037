"""enhancer-core, the Android app's pure Kotlin: compiled once, its own tests run on the JVM, one test here per Kotlin test class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from kotlin import TestCase

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "android-demo/enhancer-core/src/test/kotlin"
SUITES = sorted(file.stem for file in TESTS.rglob("*Test.kt"))


@pytest.fixture(scope="session")
def cases(kotlin, core, tmp_path_factory) -> Sequence[TestCase]:
    folder = tmp_path_factory.mktemp("core-tests")
    jar, libraries = folder / "tests.jar", [core, *kotlin.test_runtime]
    done = kotlin.compile([TESTS], jar, libraries, ["-Werror", f"-Xfriend-paths={core}"])
    assert done.returncode == 0, done.stdout
    return kotlin.run_tests(jar, [core], folder / "reports", {"edgekit.fixtures": str(ROOT / "tests/fixtures")})


@pytest.mark.parametrize("suite", SUITES)
def test_suite_passes(cases, suite):
    mine = [case for case in cases if case.suite == suite]
    print(f"{suite}: {len(mine)} tests")
    assert mine, f"JUnit ran no test of {suite}"
    failed = [f"{case.name}: {case.problem}" for case in mine if case.problem]
    assert not failed, f"{len(failed)} of {len(mine)} failed:\n" + "\n".join(failed)


def test_every_test_belongs_to_a_suite(cases):
    assert {case.suite for case in cases} == set(SUITES)
