import pytest
import torch
import torch.nn.functional as F

from edgekit import parity, seams, tiles
from edgekit.manifest import ParityReference


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def grey(side=200):
    return torch.full((1, 3, side, side), 0.5)


PLAN = tiles.plan(100, 100, (56, 56), 3)
"""Two by two cores of 50 px; at scale 2, borders at 100."""


def test_equal_pictures_have_no_seam_and_even_errors_none_either():
    assert seams.seam_steps(grey(), grey(), PLAN, 2) == 0
    assert seams.seam_steps(grey(), grey() + 0.02, PLAN, 2) == pytest.approx(0, abs=1e-4)
    assert seams.seam_steps(grey(), grey() + 0.8 / 255 * noise(1, 3, 200, 200), PLAN, 2) < 0.1


@pytest.mark.parametrize("corner", [(slice(0, 100), slice(0, 100)), (slice(100, 200), slice(100, 200)), (slice(0, 100), slice(100, 200))])
def test_a_step_across_a_border_is_measured_in_8_bit_steps(corner):
    got = grey() + 0.5 / 255 * noise(1, 3, 200, 200)
    got[..., corner[0], corner[1]] += 2 / 255
    assert seams.seam_steps(grey(), got, PLAN, 2) == pytest.approx(1.85, abs=0.2)


def test_a_step_elsewhere_is_no_seam_and_one_in_a_channel_counts_a_third():
    got = grey()
    got[..., :60] += 2 / 255
    assert seams.seam_steps(grey(), got, PLAN, 2) == pytest.approx(0, abs=1e-4)
    one = grey()
    one[:, 1, :, :100] += 3 / 255
    assert seams.seam_steps(grey(), one, PLAN, 2) == pytest.approx(1, abs=1e-3)


def test_pictures_without_borders_and_slivers_are_not_measured():
    assert seams.seam_steps(grey(), grey(), tiles.plan(100, 100, (106, 106), 3), 2) is None
    narrow = tiles.plan(10, 60, (36, 36), 3)
    assert seams.seam_steps(torch.zeros(1, 3, 10, 60), torch.zeros(1, 3, 10, 60), narrow, 1) is None, "20 px of a border are no line"
    sliver = tiles.plan(100, 52, (56, 56), 3)
    step = torch.zeros(1, 3, 100, 52)
    step[..., 50:] += 4 / 255
    assert seams.seam_steps(torch.zeros(1, 3, 100, 52), step, sliver, 1) == pytest.approx(4, abs=1e-3), "the last column holds two pixels"


class Blur(torch.nn.Module):
    """Reaches 4 px; pads with zeros, as convolutions do."""

    def forward(self, x):
        return F.conv2d(x, torch.full((3, 1, 9, 9), 1 / 81), padding=4, groups=3)


def _pictures():
    coarse = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    fine = F.interpolate(coarse, size=(96, 96), mode="bicubic").clamp(0, 1)
    return [(str(i), one[None]) for i, one in enumerate(fine)]


@pytest.mark.parametrize(("halo", "good"), [(4, True), (3, False), (0, False)])
def test_a_halo_that_is_too_small_shows_against_the_untiled_network_only(halo, good):
    found = parity.prepare(_pictures(), lambda x: (x,), 1, (48, 48), halo)
    outputs = [Blur()(tile[0]) for tile in found.tiles]
    whole = parity.untiled(found, Blur(), count=1)
    assert list(whole) == [0] and whole[0].shape == (1, 3, 96, 96)
    by = ParityReference("here", "float32")
    against_itself = parity.compare(found, outputs, outputs, by, "host", True)
    assert against_itself.seam_steps == 0, "the stitched reference has the same seams"
    measured = parity.compare(found, outputs, outputs, by, "host", True, whole=whole).seam_steps
    assert (measured < 1e-3) if good else (measured > 1), measured


def test_untiled_is_what_sufficient_tiles_give_up_to_the_pictures_edge():
    found = parity.prepare(_pictures(), lambda x: (x,), 1, (48, 48), 4)
    stitched = found.stitch([Blur()(tile[0]) for tile in found.tiles])
    whole = parity.untiled(found, lambda x: (Blur()(x), "a second output"))
    assert sorted(whole) == [0, 1]
    assert all(torch.allclose(whole[i], stitched[i], atol=1e-6) for i in whole)
    assert parity.untiled(parity.prepare(_pictures(), lambda x: (x,), 1, (128, 128), 4), Blur()) == {}, "nothing was tiled"
