"""Each small trained network through one backend, in float32 and in its int8 form: made, executed, compared. `make matrix` takes all through all."""

from __future__ import annotations

import pytest
from lessons import LESSONS
from train import RESTORERS
from trained_weights import path_of

import edgekit_calibration
from edgekit import models, pipeline, recipe
from edgekit.preparation import PictureSet
from edgekit.target import Target
from edgekit_targets import backend
from edgekit_targets.devices.host import Host

NAMES = (*RESTORERS, *LESSONS)
TURN = ("executorch", "tflite", "onnx", "coreml")

SIDES = {"inpainting": 128}
"""Tiles other than 64 px: its halo is 32."""

LEAST_INT8_DB = {"span": 32.0, "srresnet": 37.0, "cyclegan": 32.0, "style-transfer": 39.0, "restormer": 39.0}
"""Against float32, the mean over the test tiles, where plain int8 with every layer in it misses 40 dB. CycleGAN loses as much in ONNX as here, so it is the
network and not a runtime. `--recipe auto` was not tried on them."""


def few(source: edgekit_calibration.CalibrationSet, count: int) -> PictureSet:
    """The middles of some pictures: enough to see whether a file computes what its network does."""
    pictures = [(picture.name, picture.tensor()) for picture in source.pictures[:: max(1, len(source.pictures) // count)][:count]]
    return PictureSet(source.name, source.sha256, [(name, p[..., 64:192, 64:192].contiguous()) for name, p in pictures])


@pytest.mark.parametrize(("name", "runtime"), [pytest.param(name, TURN[i % 4], id=f"{name}-{TURN[i % 4]}") for i, name in enumerate(NAMES)])
def test_it_is_exported_and_computes_what_the_network_does(name, runtime, tmp_path):
    enhancer = models.load(str(path_of(name)))
    precisions = ("fp32", "int8-weights" if runtime == "coreml" else "int8")
    jobs = [pipeline.Job(backend(runtime), recipe.load(precision)) for precision in precisions]
    pictures = few(edgekit_calibration.load("photos"), 32), few(edgekit_calibration.test_set(), 2)
    side = SIDES.get(name, 64)
    made = pipeline.export(enhancer, Target("networks", ()), jobs, *pictures, Host(), tmp_path / "bundle", tile=(side, side))
    exact, small = (artifact.parity for artifact in made.manifest.artifacts)
    assert exact is not None and exact.psnr_db is not None and exact.psnr_db > 90, exact
    assert exact.finite and exact.runs_equal
    assert small is not None and small.psnr_db is not None and small.psnr_db > LEAST_INT8_DB.get(name, 40.0), small
    large, little = (artifact.bytes for artifact in made.manifest.artifacts)
    assert little < large or large < 100_000, "of a tiny network, what describes the rounding can outweigh the weights"
