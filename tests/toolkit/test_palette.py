"""Palettes: few values, well chosen; fitted weights keep a layer's outputs better than the nearest values do."""

import pytest
import torch

from edgekit.palette import cluster, fit, snap

torch.manual_seed(0)
WEIGHT = torch.randn(24, 60)
INPUTS = torch.randn(60, 60) @ torch.randn(60, 4000) * torch.linspace(0.1, 3, 60)[:, None]


@pytest.mark.parametrize("bits", [1, 2, 4, 6])
def test_centres_are_few_and_rising(bits):
    centres = cluster(WEIGHT, bits)
    assert centres.shape == (2**bits,) and bool((centres.diff() >= 0).all())
    assert snap(WEIGHT, centres).unique().numel() <= 2**bits


def test_two_clear_groups_are_found():
    values = torch.cat([torch.full((30,), -1.0), torch.full((50,), 2.0)])
    assert cluster(values, 1).tolist() == pytest.approx([-1.0, 2.0])


def test_better_than_even_steps():
    even = torch.linspace(float(WEIGHT.min()), float(WEIGHT.max()), 16, dtype=torch.float64)
    assert float((snap(WEIGHT, cluster(WEIGHT, 4)) - WEIGHT).square().mean()) < 0.7 * float((snap(WEIGHT, even) - WEIGHT).square().mean())


def test_loud_values_draw_the_centres():
    values, loud = torch.tensor([0.0, 1.0, 10.0]), torch.tensor([1.0, 1.0, 1e6])
    assert float(snap(values, cluster(values, 1, loud))[2]) == pytest.approx(10.0, abs=1e-4)


def test_a_constant_weight_stays_what_it_is():
    assert torch.equal(snap(torch.full((4, 4), 0.25), cluster(torch.full((4, 4), 0.25), 4)), torch.full((4, 4), 0.25))


def test_fitting_keeps_the_outputs():
    centres = cluster(WEIGHT, 3)
    nearest, fitted = snap(WEIGHT, centres), fit(WEIGHT, centres, INPUTS @ INPUTS.T)
    assert set(fitted.unique().tolist()) <= set(centres.float().tolist())
    errors = [float(((w - WEIGHT) @ INPUTS).square().mean()) for w in (nearest, fitted)]
    assert errors[1] < 0.5 * errors[0]


def test_inputs_that_never_vary_do_no_harm():
    still = INPUTS.clone()
    still[10:20] = 0
    fitted = fit(WEIGHT, cluster(WEIGHT, 4), still @ still.T)
    assert bool(torch.isfinite(fitted).all())


def test_the_same_input_gives_the_same_weights():
    again = [fit(WEIGHT, cluster(WEIGHT, 4), INPUTS @ INPUTS.T) for _ in range(2)]
    assert torch.equal(*again)
