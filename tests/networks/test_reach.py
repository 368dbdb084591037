"""What toolkit/docs/reach.md says: every small network in every precision of every backend, but for what is listed here, with its reason."""

from __future__ import annotations

import json

import pytest
import reach
from trained_weights import WEIGHTS

from edgekit.errors import LoweringError

STYLE = "the plain recipe: 256 levels before an instance normalization move colours; `--recipe auto` keeps those layers float (test_backends.py)"
STEEP = "the plain recipe: one layer's range is many times its usual values; int8-weights, int8-dynamic or `--recipe auto` keep 40 dB"
LAYERS = "the plain recipe: the gated branches lose what 256 levels cannot hold; another estimator and float sums keep 40 dB (test_backends.py)"

EXPECTED = {
    **{f"cyclegan/{runtime}/int8": STYLE for runtime in reach.PRECISIONS},
    "style-transfer/executorch/int8-dynamic": "every convolution reads a padded or normalized picture, which XNNPACK does not run so",
    **{f"diffusion/{runtime}/int8": STEEP for runtime in ("executorch", "tflite", "onnx")},
    **{f"srresnet/{runtime}/int8": STEEP for runtime in reach.PRECISIONS},
    **{f"restormer/{runtime}/int8": STEEP for runtime in ("executorch", "onnx", "coreml")},
    **{f"span/{runtime}/int8": LAYERS for runtime in reach.PRECISIONS},
    "span/onnx/int8-dynamic": LAYERS,
}
"""Cells that are not green."""


@pytest.fixture(scope="module")
def cells():
    return json.loads(reach.CELLS.read_text("utf-8"))


def test_every_network_was_measured_in_every_precision(cells):
    names = {file.stem for file in WEIGHTS.glob("*.safetensors")}
    assert len(names) == 21
    wanted = {
        f"{name}/{runtime}/{precision}"
        for name in names | set(reach.SHIPPED)
        for runtime, precisions in reach.PRECISIONS.items()
        for precision in precisions
    }
    assert not wanted - set(cells)


def test_all_are_green_but_those_expected(cells):
    assert {key for key, cell in cells.items() if cell["status"] != "green"} == set(EXPECTED)


def test_every_network_keeps_its_bounds_in_one_int8_form_of_each_runtime(cells):
    """But for those whose plain recipes are all short; test_backends.py has the recipes that are not."""
    best: dict[str, bool] = {}
    for key, cell in cells.items():
        name, runtime, precision = key.split("/")
        if precision.startswith("int8"):
            best[f"{name}/{runtime}"] = best.get(f"{name}/{runtime}", False) or cell["status"] == "green"
    assert {key for key, kept in best.items() if not kept} == {"span/onnx"}


def test_what_fails_still_fails(cells):
    (key,) = (key for key, cell in cells.items() if cell["status"] == "failed")
    with pytest.raises(LoweringError) as error:
        reach.measure(*key.split("/"))
    assert cells[key]["reason"].split(": ")[-1][:40] in str(error.value)
