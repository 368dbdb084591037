"""Private views of Debian's packages; apt itself is not asked here (the toolchains of tests/toolchains and make_arm64 do)."""

from __future__ import annotations

import pytest

from edgekit.errors import CannotRunHere
from edgekit_targets.devices import debian


@pytest.fixture
def view(monkeypatch, tmp_path):
    """-> a view of a release (None: bookworm, this machine's), and the commands that it ran so far."""
    commands: list[list[str]] = []
    monkeypatch.setattr(debian, "_codename", lambda: "bookworm")
    monkeypatch.setattr(debian, "_site", lambda release: f"mirror-of-{release}")
    monkeypatch.setattr(debian.Debian, "_run", lambda self, command, place=None: commands.append(command))
    return lambda release=None: (debian.Debian(tmp_path, release), commands)


@pytest.mark.parametrize(("release", "expected"), [(None, "bookworm"), ("trixie", "trixie")])
def test_sources_are_of_the_release_at_this_machines_mirror(view, tmp_path, release, expected):
    opened, commands = view(release)
    assert opened.release == expected
    lines = (tmp_path / "sources.list").read_text("utf-8").splitlines()
    assert [line.split("mirror-of-bookworm ")[1] for line in lines] == [f"{expected} main", f"{expected}-backports main"]
    assert commands[-1][0] == "apt-get" and commands[-1][-1] == "update"


def test_what_is_installed_here_says_nothing_about_another_release(view, tmp_path):
    opened, _ = view("trixie")
    with pytest.raises(ValueError, match="not of trixie; expected missing_only for its own release only"):
        opened.unpack(["dash"], tmp_path / "root", missing_only=True)
    view("bookworm")[0].unpack(["dash"], tmp_path / "root", missing_only=True)


def test_a_command_that_fails_says_which_and_why(monkeypatch, tmp_path):
    monkeypatch.setattr(debian, "_codename", lambda: "bookworm")
    monkeypatch.setattr(debian, "_site", lambda release: "file:/nowhere")
    with pytest.raises(CannotRunHere, match="`apt-get update` failed with status 100"):
        debian.Debian(tmp_path, "trixie")
