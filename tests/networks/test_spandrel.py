"""Each architecture of spandrel, small and random, once through one backend, in a process of its own. `make matrix` takes all through all, in int8 too."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import cells
import matrix
import pytest
from spandrel_networks import SMALL

pytestmark = pytest.mark.skipif(find_spec("spandrel") is None, reason="the extra 'checkpoints' is not installed")

TURN = ("coreml", "executorch", "tflite", "onnx")
NAMES = sorted(SMALL, key=lambda name: (name not in ("GFPGAN", "RestoreFormer"), name))
"""First the two that are 512x512 px and nothing else, and take longest."""

RUNTIMES = {name: TURN[i % len(TURN)] for i, name in enumerate(NAMES)} | {
    "GFPGAN": "onnx",
    "RestoreFormer": "onnx",
    "LaMa": "coreml",
    "KBNet": "coreml",
}
"""One after the other, but for those that take minutes elsewhere."""

SIDE_BY_SIDE = 2


@pytest.fixture(scope="module")
def made(request):
    """Name -> its cell, in the making: those of the tests that were asked for."""
    exported = test_it_is_exported_and_computes_what_the_network_does.__name__
    asked = [item.callspec.params["name"] for item in request.session.items if item.path == request.path and item.originalname == exported]
    pool = ThreadPoolExecutor(SIDE_BY_SIDE)
    yield {name: pool.submit(cells.in_a_process, matrix.measure, (name, RUNTIMES[name], "fp32")) for name in asked}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_exported_and_computes_what_the_network_does(name, made):
    cell = made[name].result()
    assert cell.status == "green", f"{name} on {RUNTIMES[name]}: {cell.reason}"
    assert cell.sqnr_db is not None and cell.sqnr_db >= matrix.GREEN_DB["fp32"]


def test_the_page_has_every_cell_green_but_those_that_amplify_noise():
    found = json.loads(matrix.CELLS.read_text("utf-8"))
    assert {f"{name}/{runtime}/{precision}" for name in SMALL for runtime, precision in matrix.COLUMNS} <= set(found)
    poor = {key for key, cell in found.items() if cell["status"] != "green"}
    assert poor <= {f"{name}/{runtime}/{precision}" for name in matrix.KNOWN for runtime, precision in matrix.COLUMNS if precision != "fp32"}


@pytest.mark.parametrize("name", sorted(matrix.KNOWN))
def test_what_is_not_green_in_int8_amplifies_noise_in_float_too(name):
    assert matrix.with_noise(name) < matrix.GREEN_DB["int8"]
