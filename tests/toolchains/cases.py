"""What a test runner of another language said of its tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TestCase:
    """`problem` is None if it passed, else what the assertion said and where."""

    __test__ = False
    suite: str
    name: str
    problem: str | None


def assert_passed(cases: Sequence[TestCase], suite: str) -> None:
    """Every test of `suite` passed, and there is one."""
    mine = [case for case in cases if case.suite == suite]
    print(f"{suite}: {len(mine)} tests")
    assert mine, f"no test of {suite} ran"
    failed = failures(mine)
    assert not failed, f"{len(failed)} of {len(mine)} failed:\n" + "\n".join(failed)


def failures(cases: Sequence[TestCase]) -> list[str]:
    """A line for each that did not pass."""
    return [f"{case.name}: {case.problem}" for case in cases if case.problem]
