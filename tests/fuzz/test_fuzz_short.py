"""The short form of run.py: every reader, every kind of damage, some kills."""

from __future__ import annotations

import kills
import pytest
import readers


def test_hostile_inputs(tmp_path):
    (tmp_path / "beside").mkdir()
    (tmp_path / "work").mkdir()
    for reader in readers.all_readers(tmp_path / "beside"):
        outcome = readers.fuzz(reader, 300, 0, tmp_path / "work", lambda done: None)
        assert not outcome.faults, outcome.faults[:3]
        assert outcome.total == 300 and outcome.refused.total() > 100


def test_kills(tmp_path):
    found, faults = kills.kill_writes(10, 0, tmp_path, lambda done: None)
    assert not faults
    assert sum(count for what, count in found.items() if what.endswith("afterwards")) == 10


@pytest.mark.parametrize(
    ("read", "fault"),
    [
        (lambda file: {}["x"], "KeyError"),
        (lambda file: bytearray(2**31), "MemoryError"),
        (lambda file: (file.parent / "trap").touch(), "made ['trap']"),
        (lambda file: (_ for _ in ()).throw(readers.EdgekitError("")), "not one short line"),
        (lambda file: readers.os._exit(3), "the process ended with status 3"),
    ],
)
def test_faults_are_found(tmp_path, read, fault):
    """The net has no hole: readers that misbehave in each of these ways are reported."""
    (tmp_path / "work").mkdir()
    outcome = readers.fuzz(readers.Reader("x", lambda random: b"x", read), 3, 0, tmp_path / "work", lambda done: None)
    assert len(outcome.faults) == 3 and all(fault in line for line in outcome.faults), outcome.faults
