"""How network inputs are made: the same on every run, on the 8-bit grid, and what they say they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from edgekit.models.degrade import darkened, downscale, expose, noisy, resize

ALL = {"downscale": downscale(2), "noisy": noisy(), "darkened": darkened()}
every = pytest.mark.parametrize("degrade", ALL.values(), ids=ALL)


def picture(seed: int = 0, side: int = 48) -> Tensor:
    """Smooth colours with some texture, on the 8-bit grid."""
    generator = torch.Generator().manual_seed(seed)
    smooth, fine = torch.rand(1, 3, 6, 6, generator=generator), torch.rand(1, 3, side, side, generator=generator)
    return ((0.8 * resize(smooth, side, side) + 0.2 * fine).clamp(0, 1) * 255).round() / 255


def grey(side: int = 256, value: int = 128) -> Tensor:
    return torch.full((1, 3, side, side), value / 255)


@every
def test_the_same_picture_gives_the_same_bits(degrade):
    state = torch.get_rng_state()
    (first,) = degrade(picture())
    torch.rand(7)
    np.random.rand(7)
    (second,) = degrade(picture())
    assert torch.equal(first, second)
    torch.set_rng_state(state)
    degrade(picture())
    assert torch.equal(torch.get_rng_state(), state), "nobody else's randomness is used up"


def test_the_noise_has_these_bits():
    """Frozen: numpy promises the same stream for a seed, and captured references stand on it."""
    assert ((noisy()(grey(4))[0] - grey(4)) * 255).round().int().flatten()[:8].tolist() == [-13, -51, -58, 9, 24, -59, 29, 17]


@every
def test_results_lie_on_the_8_bit_grid(degrade):
    for clean in (picture(), grey(), torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)):
        (found,) = degrade(clean)
        assert found.dtype == torch.float32 and found.min() >= 0 and found.max() <= 1
        assert torch.equal(found, (found * 255).round() / 255)


@every
def test_the_clean_picture_is_left_alone(degrade):
    clean = picture()
    before = clean.clone()
    degrade(clean)
    assert torch.equal(clean, before)


def test_two_pictures_get_different_noise():
    one, other = grey(), grey()
    other[0, 0, 0, 0] = 129 / 255
    first, second = (noisy(25, 25)(x)[0] - x for x in (one, other))
    assert (first - second)[..., 8:, 8:].abs().mean() > 10 / 255
    moved = grey()
    moved[0, 0, 0, 1] = 129 / 255
    assert not torch.equal(noisy()(other)[0], noisy()(moved)[0]), "the same values at other places are another picture"


@pytest.mark.parametrize("sigma", [5, 25, 50])
def test_a_fixed_sigma_is_met(sigma):
    noise = (noisy(sigma, sigma)(grey())[0] - grey()) * 255
    assert noise.std() == pytest.approx(sigma, rel=0.02)
    assert abs(noise.mean()) < sigma / 50
    a, b = noise[0, 0].flatten(), noise[0, 1].flatten()
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.02, "each channel has noise of its own"


def test_sigmas_are_drawn_from_the_whole_range():
    values = [float(((noisy(5, 50)(clean)[0] - clean) * 255).std()) for clean in (grey(64, value) for value in range(118, 138))]
    assert 4.5 < min(values) < 15 and 40 < max(values) < 52


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downscale_is_pils_bicubic(scale):
    """To the last place, borders too, in PIL's float mode; its 8-bit mode also rounds between its two passes, so it is a step off here and there."""
    clean = picture(side=96)
    found, small = (downscale(scale)(clean)[0][0] * 255).round(), (96 // scale, 96 // scale)
    planes = [Image.fromarray((plane * 255).round().numpy()) for plane in clean[0]]
    pil = torch.from_numpy(np.stack([np.asarray(plane.resize(small, Image.Resampling.BICUBIC)) for plane in planes]))
    assert (found - pil.clamp(0, 255)).abs().max() <= 0.501
    bytewise = torch.stack([torch.from_numpy(np.asarray(plane.convert("L").resize(small, Image.Resampling.BICUBIC))) for plane in planes])
    assert (found - bytewise).abs().mean() < 0.3 and (found - bytewise).abs().max() <= 2


@pytest.mark.parametrize(("height", "width"), [(47, 48), (48, 47)])
def test_downscale_refuses_sides_that_do_not_divide(height, width):
    with pytest.raises(ValueError, match=f"^picture is {height}x{width}; expected multiples of 2$"):
        downscale(2)(torch.zeros(1, 3, height, width))


@pytest.mark.parametrize("exposure", [0.04, 0.1, 0.3])
def test_darkened_has_the_exposure_it_says(exposure):
    """Light is counted in linear values: a third of the light is far more than a third of the sRGB value."""
    (found,) = darkened(exposure, exposure)(grey(16, 200))
    light = ((200 / 255 + 0.055) / 1.055) ** 2.4 * exposure
    assert found.mean() * 255 == pytest.approx((1.055 * light ** (1 / 2.4) - 0.055) * 255, abs=0.5)


def test_darkened_is_darker_everywhere():
    for seed in range(4):
        clean = picture(seed)
        (dark,) = darkened()(clean)
        assert (dark <= clean).all() and dark.mean() < 0.65 * clean.mean()


def test_exposures_are_drawn_from_the_whole_range_evenly_in_stops():
    def light(x: Tensor) -> float:
        return float(((x.double().mean() + 0.055) / 1.055) ** 2.4)

    drawn = sorted(light(darkened()(grey(16, value))[0]) / light(grey(16, value)) for value in range(200, 256))
    assert 0.038 < drawn[0] < 0.05 and 0.25 < drawn[-1] < 0.31
    assert drawn[28] == pytest.approx((0.04 * 0.3) ** 0.5, rel=0.25), "half of them in the darker half of the stops"


def test_expose_by_one_changes_nothing():
    levels = torch.arange(256, dtype=torch.float64) / 255
    torch.testing.assert_close(expose(levels, 1.0), levels, atol=1e-6, rtol=0)


@pytest.mark.parametrize("factor", [0.05, 0.5, 3.0])
def test_expose_keeps_grey_grey_and_the_order_of_values(factor):
    levels = (torch.arange(256, dtype=torch.float64) / 255).expand(1, 3, 1, 256)
    found = expose(levels, factor)
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 1], found[:, 2])
    assert (found.diff(dim=-1) >= 0).all() and found.min() == 0 and found.max() <= 1
    assert (found[..., 1:255] < levels[..., 1:255]).all() if factor < 1 else (found[..., 1:255] > levels[..., 1:255]).all()
