"""The shipped weights do what their cards say, on the test pictures, here."""

import json

import pytest

from edgekit import models
from edgekit.cli.sets import test_set as pictures_never_trained_on
from edgekit.training_run import METHODS

FLOORS = {
    "edsr": {"gain_db": 1.6},
    "edsr-x4": {"gain_db": 0.8},
    "edsr-mobile": {"gain_db": 1.0},
    "denoise": {"gain_25_db": 8.0},
    "lowlight": {"brightness_after": 0.3},
}
CEILINGS = {"lowlight": {"clipped": 0.001, "worst_cast": 0.03}}
PARAMETERS = {"edsr-mobile": 60_000, "lowlight": 100_000}


def card(name: str) -> dict:
    return json.loads(models.weights_path(name).with_suffix(".json").read_text("utf-8"))


@pytest.mark.parametrize("name", models.names())
def test_the_card_is_true(name):
    found = METHODS[name].test(models.load(name).module, models.entry(name), pictures_never_trained_on())
    said = card(name)["test"]
    assert found.keys() == said.keys()
    for key, value in found.items():
        assert value == pytest.approx(said[key], abs=0.02 if key.endswith("_db") else 0.002), key
    assert all(found[key] >= least for key, least in FLOORS[name].items())
    assert all(found[key] <= most for key, most in CEILINGS.get(name, {}).items())


@pytest.mark.parametrize("name", models.names())
def test_the_card_tells_the_facts(name):
    said, enhancer = card(name), models.load(name)
    assert said["model"] == name and said["licence"] == enhancer.licence and said["pictures"] == 33
    assert said["parameters"] == sum(p.numel() for p in enhancer.module.parameters()) <= PARAMETERS.get(name, 10**9)
    assert said["steps"] > 0 and said["minutes"] > 0 and said["device"] and said["date"] and said["data"]
    assert METHODS[name].headline.format(**said["test"])
