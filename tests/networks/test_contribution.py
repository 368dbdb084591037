"""What counts as a random network's own doing on the page of every architecture."""

import math

import torch
from matrix import contribution


def picture(side: int = 16) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_a_picture_that_passes_through_counts_for_nothing():
    x = picture()
    assert contribution([x], x)[0] == 0
    assert contribution([x], x.repeat_interleave(2, 2).repeat_interleave(2, 3))[0] == 0
    spread, share = contribution([x], x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)))
    assert math.isclose(spread, 0.01, rel_tol=0.1) and share > 0.99


def test_filled_holes_count_by_how_they_vary():
    x, mask = picture(), torch.zeros(1, 1, 16, 16)
    mask[..., 4:8, 4:8] = 1
    flat, noisy = x * (1 - mask) + 0.5 * mask, x * (1 - mask) + mask * picture().flip(-1)
    assert contribution([x * (1 - mask), mask], flat)[0] < 1e-6
    spread, share = contribution([x * (1 - mask), mask], noisy)
    assert spread > 0.2 and math.isclose(share, 1 / 16)


def test_without_a_picture_of_as_many_channels_the_output_counts():
    output = picture()[:, :1]
    spread, share = contribution([picture()], output)
    assert math.isclose(spread, float(output.std()), rel_tol=1e-4) and share > 0.99
