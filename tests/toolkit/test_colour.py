"""CIEDE2000 against the pairs that its implementation notes publish, and against scikit-image."""

import pytest
import torch
from skimage import color

from edgekit import colour

SHARMA_WU_DALAL = (
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
    ((50, 2.8361, -74.0200), (50, 0, -82.7485), 3.4412),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, -1.1848, -84.8006), (50, 0, -82.7485), 1.0000),
    ((50, -0.9009, -85.5211), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, -1, 2), (50, 0, 0), 2.3669),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0009), 7.1792),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0010), 7.1792),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0011), 7.2195),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0012), 7.2195),
    ((50, -0.0010, 2.4900), (50, 0.0009, -2.4900), 4.8045),
    ((50, -0.0010, 2.4900), (50, 0.0010, -2.4900), 4.8045),
    ((50, -0.0010, 2.4900), (50, 0.0011, -2.4900), 4.7461),
    ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (61, -5, 29), 22.8977),
    ((50, 2.5, 0), (56, -27, -3), 31.9030),
    ((50, 2.5, 0), (58, 24, 15), 19.4535),
    ((50, 2.5, 0), (50, 3.1736, 0.5854), 1.0000),
    ((50, 2.5, 0), (50, 3.2972, 0), 1.0000),
    ((50, 2.5, 0), (50, 1.8634, 0.5757), 1.0000),
    ((50, 2.5, 0), (50, 3.2592, 0.3350), 1.0000),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
    ((61.2901, 3.7196, -5.3901), (61.4292, 2.2480, -4.9620), 1.8731),
    ((35.0831, -44.1164, 3.7933), (35.0232, -40.0716, 1.5901), 1.8645),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((36.4612, 47.8580, 18.3852), (36.2715, 50.5065, 21.2231), 1.4146),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((90.9257, -0.5406, -0.9208), (88.6381, -0.8985, -0.7239), 1.5381),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
)
"""Table 1 of "The CIEDE2000 color-difference formula: implementation notes, supplementary test data, and mathematical observations", 2005."""


def colours(count, seed):
    return torch.rand(1, 3, 1, count, generator=torch.Generator().manual_seed(seed))


def test_the_published_pairs():
    one, two, want = (torch.tensor([pair[i] for pair in SHARMA_WU_DALAL], dtype=torch.float64) for i in range(3))
    assert len(want) == 34
    for a, b in ((one.T, two.T), (two.T, one.T)):
        assert (colour.ciede2000(a, b) - want).abs().max() <= 0.5e-4 + 1e-9, "as printed, to four places, and symmetric"


def test_scikit_image_agrees_on_lab_and_on_the_difference():
    one, two = colours(20_000, 0), colours(20_000, 1)
    one[..., :5000] = two[..., :5000] + 0.01 * (one[..., :5000] - 0.5)
    one.clamp_(0, 1)
    labs = [colour.to_lab(t[0]) for t in (one, two)]
    for t, lab in zip((one, two), labs, strict=True):
        theirs = torch.from_numpy(color.rgb2lab(t[0].double().permute(1, 2, 0).numpy())).permute(2, 0, 1)
        assert (lab - theirs).abs().max() < 0.02, "its matrix and white have fewer digits"
    theirs = color.deltaE_ciede2000(*(lab.permute(1, 2, 0).numpy() for lab in labs))
    assert (colour.ciede2000(*labs) - torch.from_numpy(theirs)).abs().max() < 1e-10


def test_grey_has_no_chroma_and_primaries_lie_where_they_should():
    greys = colour.to_lab(torch.linspace(0, 1, 256).expand(3, -1))
    assert greys[1:].abs().max() < 1e-9 and greys[0, 0].abs() < 1e-9 and (greys[0, -1] - 100).abs() < 1e-9
    red = colour.to_lab(torch.tensor([1.0, 0.0, 0.0]).view(3, 1)).flatten()
    assert torch.allclose(red, torch.tensor([53.24, 80.09, 67.20], dtype=torch.float64), atol=0.02)


def test_equal_pictures_differ_by_nothing_and_the_picture_is_taken_in_pieces():
    a = colours(colour.CHUNK + 7, 2)
    assert colour.mean_and_p99(a, a) == (0, 0)
    b = a.clone()
    b[..., : a.shape[-1] // 50] += 0.2
    mean, p99 = colour.mean_and_p99(a, b)
    assert 0.02 < mean < 1 and p99 > 2, "2 of 100 pixels are far off"
    assert torch.equal(colour.difference(a, b), colour.difference(a[0], b[0]))
    assert colour.mean_and_p99(torch.ones(3, 2, 2), torch.full((3, 2, 2), 7.0)) == (0, 0), "beyond white is white"


@pytest.mark.parametrize(("step", "least", "most"), [((0, 0, 0), 0, 0), ((1, 1, 1), 0.3, 0.5), ((2, 0, 0), 0.3, 1.2), ((0, 2, 0), 1.7, 2.1)])
def test_what_an_8_bit_step_of_mid_grey_looks_like(step, least, most):
    grey = torch.full((3, 1, 1), 0.5)
    assert least <= colour.mean_and_p99(grey, grey + torch.tensor(step).view(3, 1, 1) / 255)[0] <= most
