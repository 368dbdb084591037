"""What a test runner of another language said of one test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TestCase:
    """`problem` is None if it passed, else what the assertion said and where."""

    __test__ = False
    suite: str
    name: str
    problem: str | None
