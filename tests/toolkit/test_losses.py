"""What training makes small, on pictures whose order is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgekit.errors import InvalidFile
from edgekit.losses import EXPOSURE, l1, zero_reference
from edgekit.models.degrade import resize
from edgekit.models.zero_dce import ZeroDCE


def scene(brightness: float = 1.0) -> Tensor:
    """Soft light and shade whose mean is half of `brightness`."""
    x = resize(torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)), 64, 64).clamp(0, 1)
    return (x - x.mean() + 0.5).clamp(0, 1) * brightness


class Curves(nn.Module):
    """Draws the curves it is given: what a network could answer."""

    def __init__(self, curves: Tensor) -> None:
        super().__init__()
        self.drawn = nn.Parameter(curves)

    def curves(self, x: Tensor) -> Tensor:
        return self.drawn.expand(x.shape[0], -1, *x.shape[-2:])

    def bend(self, x: Tensor, curves: Tensor) -> Tensor:
        for step in range(curves.shape[1]):
            x = x + curves[:, step : step + 1] * (x - x * x)
        return x


def even(strength: float, steps: int = 4) -> Curves:
    return Curves(torch.full((1, steps, 1, 1), strength))


def loss_of(network: Curves, x: Tensor) -> float:
    return float(zero_reference(network, x, torch.full_like(x, float("nan"))))  # it looks at no targets


def test_l1_is_the_mean_distance_from_the_target():
    x = scene()
    assert l1(nn.Identity(), x, x) == 0
    assert float(l1(nn.Identity(), x, x + 0.25)) == pytest.approx(0.25)
    assert l1(nn.Identity(), x.half(), x).dtype == torch.float32


def test_a_well_exposed_result_costs_less_than_a_dark_one():
    dark = scene(0.15)
    costs = {strength: loss_of(even(strength), dark) for strength in (-0.5, 0.0, 0.4, 0.8, 1.0)}
    means = {strength: float(even(strength).bend(dark, even(strength).curves(dark)).detach().mean()) for strength in costs}
    best = min(costs, key=costs.__getitem__)
    assert abs(means[best] - EXPOSURE) == min(abs(mean - EXPOSURE) for mean in means.values())
    assert costs[-0.5] > costs[0.0] > costs[0.4] > costs[best]


def test_a_well_exposed_picture_is_best_left_alone():
    good = scene()
    assert loss_of(even(0.0), good) < min(loss_of(even(strength), good) for strength in (-0.6, 0.6))


def test_rough_curves_cost_more_than_even_ones():
    dark, noise = scene(0.15), torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(1)) * 0.4 - 0.2
    assert loss_of(Curves(0.6 + noise), dark) > 2 * loss_of(even(0.6), dark)


class Result(nn.Module):
    """Gives this picture, by even curves: exposure and contrast alone decide."""

    def __init__(self, picture: Tensor) -> None:
        super().__init__()
        self.picture = picture

    def curves(self, x: Tensor) -> Tensor:
        return torch.zeros(x.shape[0], 1, *x.shape[-2:])

    def bend(self, x: Tensor, curves: Tensor) -> Tensor:
        return self.picture


def test_lost_and_inverted_contrast_cost_more_than_kept_contrast():
    """All of the same brightness as a whole, twice that of the input."""
    dark = scene(0.4)
    mean = 2 * dark.mean((1, 2, 3), keepdim=True)
    regions = nn.functional.interpolate(nn.functional.avg_pool2d(2 * dark, 32), scale_factor=32)
    kept, no_detail, flat, inverted = (loss_of(Result(x), dark) for x in (2 * dark, regions, mean.expand_as(dark), 2 * mean - 2 * dark))
    assert kept < no_detail < flat < inverted


def test_each_patch_has_its_own_exposure():
    """A dark and a bright patch are not one well-exposed pair."""
    x = torch.cat([torch.full((1, 3, 64, 64), EXPOSURE - 0.3), torch.full((1, 3, 64, 64), EXPOSURE + 0.3)])
    assert loss_of(even(0.0), x) > 0.1 > loss_of(even(0.0), torch.full((2, 3, 64, 64), EXPOSURE))


@pytest.mark.parametrize("side", [16, 32, 63])
def test_a_patch_too_small_for_two_regions_is_refused(side):
    """Its regions have no neighbours: the mean over no differences is not a number, which would spoil the weights in one step."""
    with pytest.raises(InvalidFile, match=rf"^patches are {side}x{side} px; expected at least 64x64 .*--patch"):
        zero_reference(even(0.5), torch.full((1, 3, side, side), 0.2), torch.zeros(1))


@pytest.mark.parametrize("value", [0.0, 0.05, 1.0])
def test_gradients_are_finite_on_flat_pictures(value):
    """A covered lens, night, a blown-out sky: means of 0 and saturated curves."""
    torch.manual_seed(0)
    network = ZeroDCE(channels=8)
    for x in (torch.full((1, 3, 64, 64), value), scene(value)):
        network.zero_grad()
        loss = zero_reference(network, x, x)
        loss.backward()
        assert torch.isfinite(loss)
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_a_step_along_the_gradient_brightens_a_dark_picture():
    torch.manual_seed(0)
    network, dark = ZeroDCE(channels=8), scene(0.1)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    before, first = float(network(dark).mean()), float(zero_reference(network, dark, dark))
    for _ in range(30):
        optimizer.zero_grad()
        zero_reference(network, dark, dark).backward()
        optimizer.step()
    assert float(network(dark).mean()) > before + 0.05
    assert float(zero_reference(network, dark, dark)) < 0.8 * first
