"""What toolchains print is in the log; what they say before they end the process reaches whoever waits."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.chatter import to_log

LOGGED = """
import os, signal, sys
from pathlib import Path
from edgekit.chatter import to_log
os.write(2, b"before\\n")
try:
    with to_log(Path(sys.argv[1])):
        os.write(2, b"XNNPACK: scale 3.0 is out of range\\n")
        {deed}
except RuntimeError:
    pass
os.write(2, b"behind\\n")
"""

QUIET = """
import os
from edgekit.cli.console import quiet
with quiet():
    os.write(2, b"XNNPACK: scale 3.0 is out of range\\n")
    {deed}
"""


def run(code: str, deed: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own; ends when everybody has who could still write to its stderr."""
    (folder / "export.log").write_text("converted in 3 s\n")
    command = [sys.executable, "-c", code.format(deed=deed), str(folder / "export.log")]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, check=False)


@pytest.mark.parametrize(("deed", "number"), [("os.abort()", signal.SIGABRT), ("os.kill(os.getpid(), signal.SIGKILL)", signal.SIGKILL)])
def test_the_last_words_of_a_process_that_is_ended(deed, number, tmp_path):
    ended = run(LOGGED, deed, tmp_path)
    assert ended.returncode == -number
    first, said, last = ended.stderr.splitlines()
    assert first == "before" and last == "XNNPACK: scale 3.0 is out of range", "not what an earlier block left in the log"
    assert said == f"error: a toolchain ended the process; its last words, which {tmp_path / 'export.log'} has whole:"
    assert (tmp_path / "export.log").read_text() == f"converted in 3 s\n{last}\n"


def test_a_silent_end_is_told_too(tmp_path):
    ended = run(LOGGED.replace('os.write(2, b"XNNPACK', '(b"XNNPACK'), "os.abort()", tmp_path)
    assert ended.stderr == f"before\nerror: a toolchain ended the process without a word; {tmp_path / 'export.log'} has what it said before\n"


@pytest.mark.parametrize("deed", ["pass", "raise RuntimeError"])
def test_nothing_is_repeated_of_a_block_that_ends(deed, tmp_path):
    ended = run(LOGGED, deed, tmp_path)
    assert ended.returncode == 0 and ended.stderr == "before\nbehind\n"
    assert (tmp_path / "export.log").read_text().endswith("XNNPACK: scale 3.0 is out of range\n")


def test_the_log_is_read_at_its_end_only(tmp_path):
    """A toolchain may have said a lot."""
    ended = run(LOGGED, "[os.write(2, b'%d\\n' % n) for n in range(1000)]; os.abort()", tmp_path)
    assert ended.stderr.splitlines()[2:] == [str(n) for n in range(980, 1000)]


def test_what_is_quiet_speaks_when_it_is_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    ended = run(QUIET, "os.abort()", tmp_path)
    assert ended.returncode == -signal.SIGABRT and ended.stderr.splitlines()[-1] == "XNNPACK: scale 3.0 is out of range"
    assert run(QUIET, "pass", tmp_path).stderr == "" and len(list(tmp_path.glob("edgekit-*.log"))) == 1, "the one of the process that was ended"


def test_where_there_is_no_shell_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with to_log(tmp_path / "export.log"):
        os.write(1, b"converted\n")
    assert (tmp_path / "export.log").read_text() == "converted\n"
