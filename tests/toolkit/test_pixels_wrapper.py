"""Networks of other ranges and channel orders, as pixels in and out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.enhancer import ImageSpec
from edgekit.models.pixels import Pixels, in_pixels, plain

X = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
KINDS = {
    "centred": (ImageSpec("x", mean=(0.5,), std=(0.5,), range=(-1, 1)), lambda x: x * 2 - 1),
    "bytes": (ImageSpec("x", std=(1 / 255,), range=(0, 255)), lambda x: x * 255),
    "bgr bytes": (ImageSpec("x", colour="bgr", std=(1 / 255,), range=(0, 255)), lambda x: x.flip(1) * 255),
    "imagenet": (
        ImageSpec("x", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), range=(-3, 3)),
        lambda x: (x - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
    ),
}


class Keep(nn.Module):
    """Remembers what it got, and gives it back."""

    def forward(self, *given):
        self.given = given
        return given if len(given) > 1 else given[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_sees_its_own_values_and_the_app_sees_pixels(kind):
    spec, expected = KINDS[kind]
    network = Keep()
    wrapped = in_pixels(network, [spec], [spec])
    result = wrapped(X)
    assert torch.allclose(network.given[0], expected(X), atol=2e-6 * 255, rtol=1e-6)
    assert torch.allclose(result, X, atol=1e-6)
    assert plain(spec) == ImageSpec("x")


def test_bytes_are_exact():
    levels = (torch.arange(256) / 255).view(1, 1, 1, 256).expand(1, 3, 1, 256)
    spec, _ = KINDS["bytes"]
    network = Keep()
    in_pixels(network, [spec], [spec])(levels)
    assert torch.equal(network.given[0].round(), torch.arange(256.0).expand(1, 3, 1, 256))
    assert (network.given[0] - network.given[0].round()).abs().max() <= 2e-5


def test_outputs_are_clamped_never_stretched():
    spec = ImageSpec("x", std=(1 / 255,), range=(0, 255))
    result = in_pixels(nn.Hardtanh(-100, 400), [ImageSpec("x")], [spec])(torch.tensor([-1.0, 0.5, 300.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3))
    assert torch.allclose(result[0, 0, 0], torch.tensor([0.0, 0.5 / 255, 1.0]))


def test_a_network_of_pixels_stays_as_it_is():
    network = Keep()
    assert in_pixels(network, [ImageSpec("image")], [ImageSpec("enhanced")]) is network


def test_several_inputs_and_scalars():
    """A scalar is no picture: it passes."""
    network = Keep()
    specs = [ImageSpec("x", mean=(0.5,), std=(0.5,), range=(-1, 1)), ImageSpec("step", 1, "scalar", range=(0, 1000))]
    step = torch.tensor([[500.0]])
    picture, same = in_pixels(network, specs, specs)(X, step)
    assert torch.equal(network.given[1], step) and torch.equal(same, step) and torch.allclose(picture, X, atol=1e-6)
    assert [plain(spec) for spec in specs] == [ImageSpec("x"), specs[1]]


def test_the_conversion_has_no_parameters_and_no_state():
    """So that the wrapped network's own names are its checkpoint's, but for the prefix."""
    spec, _ = KINDS["imagenet"]
    wrapped = Pixels(nn.Conv2d(3, 3, 1), [spec], [spec])
    assert list(wrapped.state_dict()) == ["network.weight", "network.bias"]
