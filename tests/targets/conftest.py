"""One tile to compare on, others to calibrate with; each backend's test makes its own `network`."""

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
