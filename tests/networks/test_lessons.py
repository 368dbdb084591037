"""The small networks that do more than restore one picture have learned what they were taught: numbers of their files mean something."""

from __future__ import annotations

import pytest
from lessons import LESSONS, quality
from train import RESTORERS

from edgekit.models import architectures

LEAST = {
    "cyclegan": 0.0, "style-transfer": 0.0, "unet-mobilenet": 0.05, "fusion": 0.0, "inpainting": 5.0, "vae": -6.0, "gan-denoiser": 0.0, "diffusion": 0.0,
    "adjust": 5.0,
}  # fmt: skip
"""How much better than its input: decibels, for the mask the share of overlap. The autoencoder has no way around its bottleneck, which a minute does not fill."""


def test_every_network_restores_or_has_a_lesson():
    assert not set(LESSONS) & set(RESTORERS)
    assert LESSONS.keys() | set(RESTORERS) | {"edsr", "edsr-mobile", "unet", "zero-dce"} == set(architectures.names())


@pytest.mark.parametrize("name", LESSONS)
def test_it_learned_its_lesson(name):
    before, after = quality(name)
    assert after - before > LEAST[name], f"{before:.3f} -> {after:.3f}"
