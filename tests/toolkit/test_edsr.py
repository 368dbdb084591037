"""EDSR against the paper's formula written out a second time, and against the other projects' names for the same numbers."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit.errors import InvalidCheckpoint
from edgekit.models.edsr import DIV2K_MEAN, EDSR, from_state_dict, matches


def tiny(scale: int = 2, *, seed: int = 0, **options) -> EDSR:
    torch.manual_seed(seed)
    return EDSR(scale, **{"blocks": 3, "channels": 8, **options}).eval()


def picture() -> Tensor:
    return torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(1))


def shuffle(x: Tensor, r: int) -> Tensor:
    """PixelShuffle from its definition: out[c, h*r + i, w*r + j] = in[c*r*r + i*r + j, h, w]."""
    n, c, h, w = x.shape
    out = torch.empty(n, c // (r * r), h * r, w * r)
    for i in range(r):
        for j in range(r):
            out[:, :, i::r, j::r] = x[:, i * r + j :: r * r]
    return out


def paper(state: dict[str, Tensor], x: Tensor, *, blocks: int, scale: int, residual_scale: float, image_range: float) -> Tensor:
    """Figure 3 of the paper, on plain tensors."""

    def conv(name: str, y: Tensor) -> Tensor:
        return F.conv2d(y, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    mean = torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1) * image_range
    y = first = conv("head.0", x * image_range - mean)
    for block in range(blocks):
        y = y + residual_scale * conv(f"body.{block}.body.2", conv(f"body.{block}.body.0", y).clamp(min=0))
    y = conv(f"body.{blocks}", y) + first
    for name, factor in {2: [("tail.0.0", 2)], 3: [("tail.0.0", 3)], 4: [("tail.0.0", 2), ("tail.0.2", 2)]}[scale]:
        y = shuffle(conv(name, y), factor)
    return (conv("tail.1", y) + mean) / image_range


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("residual_scale", "image_range"), [(1.0, 1.0), (0.1, 255.0)])
def test_forward_is_the_papers_formula(scale, residual_scale, image_range):
    net, x = tiny(scale, residual_scale=residual_scale, image_range=image_range), picture()
    expected = paper(net.state_dict(), x, blocks=3, scale=scale, residual_scale=residual_scale, image_range=image_range)
    with torch.no_grad():
        got = net(x)
    assert got.shape == (2, 3, 9 * scale, 11 * scale)
    torch.testing.assert_close(got, expected, atol=2e-6, rtol=0)


def parameters(**options) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in EDSR(**options).parameters())


def conv_parameters(inner: int, out: int) -> int:
    return inner * out * 9 + out


@pytest.mark.parametrize(("scale", "upsampler"), [(2, conv_parameters(64, 256)), (3, conv_parameters(64, 576)), (4, 2 * conv_parameters(64, 256))])
def test_baseline_has_the_published_size(scale, upsampler):
    by_hand = conv_parameters(3, 64) + 33 * conv_parameters(64, 64) + upsampler + conv_parameters(64, 3)
    assert parameters(scale=scale) == by_hand
    assert round(by_hand / 1e6, 2) == {2: 1.37, 3: 1.55, 4: 1.52}[scale]  # the authors' table


def test_full_width_has_the_published_size():
    assert round(parameters(scale=2, blocks=32, channels=256, residual_scale=0.1) / 1e6, 1) == 40.7


def test_no_other_scale():
    with pytest.raises(ValueError, match="expected 2, 3 or 4"):
        EDSR(5)


def authors(state: dict[str, Tensor], image_range: float) -> dict[str, Tensor]:
    """EDSR-PyTorch and torchsr save the mean shift as 1x1 convolutions."""
    shift, identity = torch.tensor(DIV2K_MEAN) * image_range, torch.eye(3).view(3, 3, 1, 1)
    return {
        "sub_mean.weight": identity,
        "sub_mean.bias": -shift,
        "add_mean.weight": identity.clone(),
        "add_mean.bias": shift,
        **state,
    }


def basicsr(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """The same tensors under BasicSR's names, in its order."""
    rules = [
        (r"head\.0\.", "conv_first."),
        (rf"body\.{blocks}\.", "conv_after_body."),
        (r"body\.(\d+)\.body\.0\.", r"body.\1.conv1."),
        (r"body\.(\d+)\.body\.2\.", r"body.\1.conv2."),
        (r"tail\.0\.(\d+)\.", r"upsample.\1."),
        (r"tail\.1\.", "conv_last."),
    ]
    out = {}
    for key, value in state.items():
        pattern, new = next((p, n) for p, n in rules if re.match(p, key))
        out[re.sub(pattern, new, key)] = value
    return out


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_all_names_give_the_same_network(scale):
    native, x = tiny(scale, image_range=255.0), picture()
    state = native.state_dict()
    for foreign in (authors(state, 255.0), basicsr(state, 3)):
        assert matches(foreign)
        loaded = from_state_dict(foreign)
        assert (loaded.scale, loaded.image_range) == (scale, 255.0)
        with torch.no_grad():
            torch.testing.assert_close(loaded(x), native(x), atol=1e-6, rtol=0)


def test_range_is_read_from_the_shift():
    assert from_state_dict(authors(tiny().state_dict(), 1.0)).image_range == 1.0
    assert from_state_dict(tiny().state_dict()).image_range == 1.0


def test_another_mean_is_read_too():
    state = authors(tiny().state_dict(), 255.0)
    state["sub_mean.bias"], state["add_mean.bias"] = torch.tensor([-51.0, -102.0, -127.5]), torch.tensor([51.0, 102.0, 127.5])
    torch.testing.assert_close(from_state_dict(state).mean.flatten(), torch.tensor([0.2, 0.4, 0.5]))


@pytest.mark.parametrize(
    "change", [{"add_mean.bias": torch.zeros(3)}, {"sub_mean.weight": 2 * torch.eye(3).view(3, 3, 1, 1)}, {"sub_mean.bias": torch.zeros(1)}]
)
def test_a_shift_that_is_none_is_refused(change):
    with pytest.raises(InvalidCheckpoint, match="sub_mean and add_mean"):
        from_state_dict({**authors(tiny().state_dict(), 255.0), **change})


def test_residual_scale_follows_the_published_widths():
    with torch.device("meta"):
        wide = EDSR(2, blocks=1, channels=128).state_dict()
    wide = {key: torch.zeros(value.shape) for key, value in wide.items()}
    assert from_state_dict(wide).body[0].residual_scale == 0.1
    assert from_state_dict(tiny().state_dict()).body[0].residual_scale == 1.0


def test_pruned_widths_are_read_from_the_tensors():
    net, x = tiny(inner=(3, 8, 5)), picture()
    loaded = from_state_dict(net.state_dict())
    assert [block.body[0].out_channels for block in loaded.body[:3]] == [3, 8, 5]
    with torch.no_grad():
        assert torch.equal(loaded(x), net(x))


def without(state: dict[str, Tensor], *keys: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "body.1.body.2.bias"), "'body.1.body.2.bias' is missing$"),
        (lambda s: {**s, "extra.weight": torch.zeros(1)}, "'extra.weight' is unexpected$"),
        (lambda s: {**s, "tail.1.bias": torch.zeros(4)}, r"'tail.1.bias' is \(4,\), expected \(3,\)$"),
        (
            lambda s: {**s, "a": s["head.0.bias"], "b": s["head.0.bias"], "c": s["head.0.bias"], "d": s["head.0.bias"]},
            "'a' .*'b' .*'c' is unexpected and 1 more$",
        ),
        (lambda s: {**s, "head.0.weight": torch.zeros(())}, "'head.0.weight' is "),
        (lambda s: {**s, "head.0.weight": torch.zeros(0, 3, 3, 3)}, "'head.0.weight' is "),
        (lambda s: without(s, "tail.0.0.weight"), "'tail.0.0.weight' is missing"),
        (lambda s: {**s, "tail.0.0.weight": torch.zeros(40, 8, 3, 3)}, "1 stages of 5 x the channels; expected"),
        (lambda s: {**s, "body.7.body.0.weight": torch.zeros(8, 8, 3, 3)}, "missing"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(InvalidCheckpoint, match=message):
        from_state_dict(change(tiny().state_dict()))


def test_a_huge_claim_allocates_nothing():
    """100 000 channels would be a 360 GB network; the head and the tail that claim them are 11 MB each."""
    wide = {"head.0.weight": (100_000, 3, 3, 3), "tail.0.0.weight": (400_000, 1, 1, 1), "tail.1.weight": (3, 100_000, 3, 3)}
    state = {**tiny().state_dict(), **{key: torch.zeros(shape) for key, shape in wide.items()}}
    with pytest.raises(InvalidCheckpoint, match="do not fit EDSR"):
        from_state_dict(state)


@pytest.mark.parametrize(
    "state", [{}, {"head.0.weight": torch.zeros(1)}, {"conv_first.weight": torch.zeros(1), "body.0.rdb1.conv1.weight": torch.zeros(1)}]
)
def test_other_networks_do_not_match(state):
    assert not matches(state)
