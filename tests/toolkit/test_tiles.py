"""Tiles cover each pixel once, read mirrored pixels outside only, and with the receptive radius as halo give what the whole picture gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgekit import tiles
from edgekit.errors import InvalidFile
from edgekit.models.edsr import EDSR


class Shift(nn.Module):
    """Each output pixel is the input pixel `by` columns to its left."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (self.by, 0, 0, 0))[..., : x.shape[-1]]


class SqueezeExcite(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid()


class DownUp(nn.Module):
    """Halves and doubles, as a U-Net does: what a pixel reaches depends on whether its position is even."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ConvTranspose2d(4, 3, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x).relu())


def small_net(seed: int = 0) -> nn.Module:
    """Radius 4, x2, with the layers that the real networks have."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.PReLU(6),
        nn.Conv2d(6, 6, 3, padding=1, groups=6),
        nn.ReLU(),
        nn.Conv2d(6, 12, 3, padding=1),
        nn.PixelShuffle(2),
        nn.Conv2d(3, 3, 3, padding=1),
    ).eval()


def test_reflection_is_torchs_where_torch_has_one() -> None:
    for n in (2, 3, 7, 20):
        row = torch.arange(n).float()
        expected = F.pad(row[None, None], (n - 1, n - 1), mode="reflect")[0, 0]
        assert [tiles.reflect_index(i, n) for i in range(-(n - 1), 2 * n - 1)] == expected.int().tolist()


@settings(deadline=None)
@given(st.integers(-1000, 1000), st.integers(1, 40))
def test_reflection_goes_on_periodically(i: int, n: int) -> None:
    j = tiles.reflect_index(i, n)
    assert 0 <= j < n
    assert j == tiles.reflect_index(-i, n) == tiles.reflect_index(2 * (n - 1) - i, n)
    if n > 1:
        assert abs(j - tiles.reflect_index(i + 1, n)) == 1


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 33), st.integers(1, 33), st.integers(0, 12))
def test_cores_cover_each_pixel_once(height: int, width: int, tile_h: int, tile_w: int, halo: int) -> None:
    plan = tiles.plan(height, width, (tile_h + 2 * halo, tile_w + 2 * halo), halo)
    covered = torch.zeros(height, width)
    for tile in plan:
        assert len(plan.source_rows(tile)) == plan.tile[0] and len(plan.source_columns(tile)) == plan.tile[1]
        assert plan.source_rows(tile)[halo : halo + tile.height] == list(range(tile.y, tile.y + tile.height))
        assert plan.source_columns(tile)[halo : halo + tile.width] == list(range(tile.x, tile.x + tile.width))
        covered[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
    assert torch.equal(covered, torch.ones(height, width))
    assert len(plan) == len(list(plan))
    assert tiles.overhead(height, width, plan.tile, halo) == len(plan) * plan.tile[0] * plan.tile[1] / (height * width)


def test_real_pixels_are_read_where_there_are_any() -> None:
    plan = tiles.plan(10, 1, (8, 4), 1)
    first, last = list(plan)
    assert plan.source_rows(first) == [1, 0, 1, 2, 3, 4, 5, 6]
    assert plan.source_rows(last) == [5, 6, 7, 8, 9, 8, 7, 6]
    assert (last.y, last.height) == (6, 4)
    assert plan.source_columns(first) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("tile", "halo", "multiple_of", "says"),
    [
        ((16, 32), 8, 1, "tile 16x32 with halo 8 leaves no pixels to take; expected a tile of more than 16 px a side"),
        ((16, 16), -1, 1, "halo -1"),
        ((16, 18), 4, 4, "tile 16x18 with halo 4 does not fit the network's stride; expected multiples of 4"),
        ((16, 16), 3, 4, "expected multiples of 4"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(tile: tuple[int, int], halo: int, multiple_of: int, says: str) -> None:
    with pytest.raises(InvalidFile, match=says):
        tiles.plan(100, 100, tile, halo, multiple_of)


def test_an_empty_picture_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="0x5"):
        tiles.plan(0, 5, (16, 16), 2)


def test_overhead_of_large_pictures() -> None:
    assert tiles.asymptotic_overhead((128, 128), 12) == pytest.approx(128 * 128 / (104 * 104))
    assert tiles.overhead(10_400, 20_800, (128, 128), 12) == pytest.approx(tiles.asymptotic_overhead((128, 128), 12))


SIZES = [(1, 1), (1, 40), (127, 1), (5, 3), (31, 32), (32, 33), (65, 49)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("net", "halo", "scale", "multiple_of"), [(small_net(), 4, 2, 1), (DownUp().eval(), 2, 1, 2)], ids=["x2", "down-up"])
def test_tiled_is_untiled(net: nn.Module, halo: int, scale: int, multiple_of: int, size: tuple[int, int]) -> None:
    net = net.double()
    picture = torch.rand(3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    border = 2 * halo
    # Odd sizes are filled up to the stride by the same rule, so that the untiled network can take them at all.
    rows = [tiles.reflect_index(i, size[0]) for i in range(-border, size[0] + size[0] % multiple_of + border)]
    columns = [tiles.reflect_index(i, size[1]) for i in range(-border, size[1] + size[1] % multiple_of + border)]
    stitched = torch.full((3, size[0] * scale, size[1] * scale), torch.nan, dtype=torch.float64)
    plan = tiles.plan(*size, (32, 24), halo, multiple_of)
    with torch.no_grad():
        whole = net(picture[None, :, rows][..., columns])[0, :, border * scale :, border * scale :][:, : size[0] * scale, : size[1] * scale]
        for tile in plan:
            tiles.paste(net(tiles.cut(picture, plan, tile)[None])[0], stitched, plan, tile, scale)
    torch.testing.assert_close(stitched, whole, rtol=0, atol=1e-12)


def test_one_pixel_less_of_halo_is_not_enough() -> None:
    net = small_net()
    assert tiles.receptive_radius(net, (torch.rand(1, 3, 8, 8),)) == 4
    profile = tiles.halo_error_profile(net, net, [(p[None],) for p in tiles.adversarial(48)], (24, 24), 2, 4)
    assert profile[3] > 1e-6 > profile[4:].max()


@pytest.mark.parametrize(
    ("module", "multiple_of", "radius"),
    [
        (EDSR(2, 16, 4), 1, 36),
        (EDSR(3, 4, 4), 1, 12),
        (EDSR(4, 2, 4), 1, 8),
        (nn.Conv2d(3, 3, 1), 1, 0),
        (nn.Conv2d(3, 3, (3, 7), padding=(1, 3)), 1, 3),
        (nn.Conv2d(3, 3, 5, padding=8, dilation=4), 1, 8),
        (Shift(7), 1, 7),
        (nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(3, 3, 5), nn.Sigmoid(), nn.MaxPool2d(3, 1, 1), nn.Hardtanh()), 1, 3),
        (nn.Upsample(scale_factor=2, mode="bicubic"), 1, 2),
        (nn.Conv2d(3, 3, 5, padding=200, dilation=100), 1, 200),
        (DownUp(), 2, 2),
        (nn.InstanceNorm2d(3), 1, None),
        (nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), SqueezeExcite()), 1, None),
    ],
)
def test_receptive_radius(module: nn.Module, multiple_of: int, radius: int | None) -> None:
    assert tiles.receptive_radius(module.eval(), (torch.rand(1, 3, 16, 16),), multiple_of) == radius


def test_receptive_radius_counts_zero_weights_and_several_inputs() -> None:
    conv = nn.Conv2d(3, 3, 7, padding=3)
    nn.init.zeros_(conv.weight)

    class Fuse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv

        def forward(self, image: Tensor, mask: Tensor) -> Tensor:
            return image + self.conv(image) + mask

    assert tiles.receptive_radius(Fuse().eval(), (torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 8))) == 3


@pytest.mark.parametrize("reach", [0, 1, 3])
def test_receptive_radius_behind_a_mask_that_swallows_what_is_no_number(reach: int) -> None:
    """As the masks of a hue do: a comparison with not-a-number is false."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 2 * reach + 1, padding=reach)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(torch.where(x > 0.2, x, torch.zeros_like(x)))

    assert tiles.receptive_radius(Masked().eval(), (torch.rand(1, 3, 8, 8),)) == reach


def test_receptive_radius_refuses_what_it_cannot_measure() -> None:
    with pytest.raises(ValueError, match="training"):
        tiles.receptive_radius(nn.Conv2d(3, 3, 3), (torch.rand(1, 3, 8, 8),))

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x)

    with pytest.raises(ValueError, match="does not depend"):
        tiles.receptive_radius(Constant().eval(), (torch.rand(1, 3, 8, 8),))


def test_error_profile_finds_the_distance_of_an_error() -> None:
    """A module that is wrong by 0.5 on the outermost two rings, by half a step on the third."""

    def wrong(x: Tensor) -> Tensor:
        y = x.clone()
        y[..., 2:-2, 2:-2] = -1
        ring = torch.where(y < 0, torch.tensor(0.5 / 255), torch.tensor(0.5))
        ring[..., 3:-3, 3:-3] = 0
        return F.interpolate(x + ring, scale_factor=3)

    def right(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=3)

    pictures = [torch.full((1, 40, 50), 0.25), torch.full((1, 3, 5), 0.1)]
    profile = tiles.halo_error_profile(wrong, right, [(p[None],) for p in pictures], (16, 13), 3, 4)
    expected = torch.tensor([0.5, 0.5, 0.5 / 255, 0, 0, 0, 0])
    torch.testing.assert_close(profile, expected, rtol=0, atol=1e-7)
    assert tiles.smallest_halo(profile) == 2
    assert tiles.smallest_halo(profile, step=0.1 / 255) == 3
    assert tiles.smallest_halo(profile, multiple_of=4) == 4
    assert tiles.smallest_halo(torch.zeros(7)) == 0


def test_a_module_that_is_never_right_has_no_halo() -> None:
    profile = tiles.halo_error_profile(lambda x: x * torch.nan, lambda x: x, [(torch.rand(1, 3, 30, 30),)], (16, 16), 1, 2)
    assert profile.isinf().all()
    halo = tiles.smallest_halo(profile)
    with pytest.raises(InvalidFile, match="leaves no pixels"):
        tiles.plan(30, 30, (16, 16), halo)


@pytest.mark.parametrize("side", [16, 128, 37])
def test_adversarial_pictures(side: int) -> None:
    pictures = tiles.adversarial(side)
    assert all(p.shape == (3, side, side) and p.dtype == torch.float32 and p.min() >= 0 and p.max() <= 1 for p in pictures)
    assert len({p.numpy().tobytes() for p in pictures}) == len(pictures)
    assert all(torch.equal(a, b) for a, b in zip(pictures, tiles.adversarial(side), strict=True))
