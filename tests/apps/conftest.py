"""The fetched toolchains and what several tests compile with them; without them the tests that ask for them skip and say so."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def kotlin():
    import kotlin

    from edgekit.errors import CannotRunHere

    try:
        return kotlin.find()
    except CannotRunHere as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def core(kotlin, tmp_path_factory) -> Path:
    """enhancer-core, compiled."""
    jar = tmp_path_factory.mktemp("core") / "enhancer-core.jar"
    done = kotlin.compile([ROOT / "android-demo/enhancer-core/src/main/kotlin"], jar)
    assert done.returncode == 0, done.stdout
    return jar


@pytest.fixture(scope="session")
def swift():
    """The module toolchains/swift.py, if it can execute something."""
    import swift

    from edgekit.errors import CannotRunHere

    try:
        swift.run("true")
    except CannotRunHere as reason:
        pytest.skip(str(reason))
    return swift


@pytest.fixture(scope="session")
def android(kotlin):
    import android

    from edgekit.errors import CannotRunHere

    try:
        return android.find()
    except CannotRunHere as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """A real bundle, exported once: see targets/tiny_bundle.py."""
    import tiny_bundle

    return tiny_bundle.make(tmp_path_factory.mktemp("tiny"))
