"""One tile to compare on, others to calibrate with; each backend's test makes its own `network`."""

from pathlib import Path

import pytest
import torch
from tiny import pictures


@pytest.fixture(scope="module")
def tile():
    return (pictures(1, seed=9)[0],)


@pytest.fixture(scope="module")
def tiles():
    return [(p,) for p in pictures(4)]


@pytest.fixture(scope="module")
def expected(network, tile):
    with torch.no_grad():
        return network(*tile)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """Exported once for the tests of devices: see tiny_bundle.py."""
    import tiny_bundle

    return tiny_bundle.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def arm64_kit():
    """What `make arm64` left; without it the tests that ask for it skip and say so."""
    from edgekit.errors import CannotRunHere
    from edgekit_targets.devices import arm64

    try:
        return arm64.find(Path(__file__).parents[2] / "build/arm64")
    except CannotRunHere as reason:
        pytest.skip(f"ARM64 code cannot be executed: {reason}")


@pytest.fixture(scope="session")
def phone(arm64_kit, tmp_path_factory):
    """Switched on once: there is one such phone, and it is what `make phone` left."""
    import phone as phones

    from edgekit.errors import CannotRunHere
    from edgekit_targets.devices import arm64

    try:
        with phones.switched_on(arm64_kit, tmp_path_factory.mktemp("phone")) as phone:
            phone.environment[arm64.FOLDER] = str(arm64_kit.folder)
            yield phone
    except CannotRunHere as reason:
        pytest.skip(f"no phone for the tests: {reason}")
