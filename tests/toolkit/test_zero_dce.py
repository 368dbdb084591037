"""The low-light curves: what they can never do, whatever the weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit.errors import InvalidCheckpoint
from edgekit.models.zero_dce import ZeroDCE, from_state_dict, matches


def tiny(*, seed: int = 0, gain: float = 1.0, **options) -> ZeroDCE:
    """`gain` above 1 drives the curves to their ends."""
    torch.manual_seed(seed)
    net = ZeroDCE(**{"channels": 8, **options}).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(gain)
    return net


def picture(side: int = 20) -> Tensor:
    """All of [0, 1], its ends too."""
    x = torch.rand(2, 3, side, side + 4, generator=torch.Generator().manual_seed(1))
    x[0, :, :4], x[1, :, :4] = 0, 1
    return x


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("gain", [1.0, 8.0])
def test_pictures_stay_within_0_and_1(seed, gain):
    net, x = tiny(seed=seed, gain=gain), picture()
    with torch.no_grad():
        curves, found = net.curves(x), net(x)
    assert curves.shape == (2, 4, 20, 24) and curves.abs().max() <= 1
    assert gain == 1.0 or curves.abs().max() > 0.99, "the worst curves were tried"
    assert found.shape == x.shape and found.min() >= 0 and found.max() <= 1
    assert (found - x).abs().max() > 0.01


@pytest.mark.parametrize("gain", [1.0, 8.0])
def test_grey_stays_grey(gain):
    x = picture()[:, :1].expand(-1, 3, -1, -1)
    with torch.no_grad():
        found = tiny(gain=gain)(x)
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 1], found[:, 2])


def test_black_and_white_stay():
    net = tiny(gain=8.0)
    with torch.no_grad():
        for value in (0.0, 1.0):
            x = torch.full((1, 3, 8, 8), value)
            assert torch.equal(net(x), x)


def test_the_curve_is_the_papers():
    """LE(x) = x + a x (1 - x), equation 1, one `a` after the other."""
    net, x = tiny(steps=3), picture()
    curves = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(2)) * 2 - 1
    expected = x.double()
    for step in range(3):
        expected = expected + curves[:, step, None].double() * expected * (1 - expected)
    torch.testing.assert_close(net.bend(x, curves), expected.float(), atol=1e-6, rtol=0)
    assert torch.equal(net.bend(x, torch.zeros_like(curves)), x)
    half, ones = torch.full((1, 3, 1, 1), 0.5), torch.ones(1, 3, 1, 1)
    assert net.bend(half, ones).mean() > 0.9 and net.bend(half, -ones).mean() < 0.1


def test_the_network_is_the_papers():
    """Figure 3: seven convolutions; the fifth sees the third's output beside the fourth's, the sixth the second's, the last the first's."""
    net, x = tiny(), picture()
    state = net.state_dict()

    def conv(i: int, *parts: Tensor) -> Tensor:
        return F.conv2d(torch.cat(parts, 1), state[f"body.{i}.weight"], state[f"body.{i}.bias"], padding=1)

    one = conv(0, x).clamp(min=0)
    two = conv(1, one).clamp(min=0)
    three = conv(2, two).clamp(min=0)
    four = conv(3, three).clamp(min=0)
    six = conv(5, two, conv(4, three, four).clamp(min=0)).clamp(min=0)
    with torch.no_grad():
        torch.testing.assert_close(net.curves(x), conv(6, one, six).tanh(), atol=1e-6, rtol=0)


def test_every_convolution_counts():
    net, x = tiny(), picture()
    with torch.no_grad():
        before = net(x)
        for name, parameter in net.named_parameters():
            kept = parameter.clone()
            parameter.add_(0.2)
            assert not torch.equal(net(x), before), name
            parameter.copy_(kept)


def test_the_built_in_shape_is_small():
    net = ZeroDCE()
    assert net.scale == 1
    assert sum(p.numel() for p in net.parameters()) == 67_876 <= 100_000


@pytest.mark.parametrize(("channels", "steps"), [(32, 4), (5, 8), (1, 1)])
def test_width_and_curves_are_read_from_the_tensors(channels, steps):
    net, x = tiny(channels=channels, steps=steps), picture()
    assert matches(net.state_dict())
    loaded = from_state_dict(net.state_dict())
    assert (loaded.body[0].out_channels, loaded.steps) == (channels, steps)
    with torch.no_grad():
        assert torch.equal(loaded(x), net(x))


def without(state: dict[str, Tensor], *keys: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "body.3.bias"), "do not fit ZeroDCE: 'body.3.bias' is missing$"),
        (lambda s: {**s, "extra": torch.zeros(1)}, "'extra' is unexpected$"),
        (lambda s: {**s, "body.6.bias": torch.zeros(5)}, r"'body.6.bias' is \(5,\), expected \(4,\)$"),
        (lambda s: {**s, "body.4.weight": torch.zeros(8, 8, 3, 3)}, r"'body.4.weight' is \(8, 8, 3, 3\), expected \(8, 16, 3, 3\)$"),
        (lambda s: without(s, "body.0.weight"), r"'body.0.weight' is \(0,\)"),
        (lambda s: {**s, "body.0.weight": torch.zeros(())}, r"'body.0.weight' is \(\)"),
        (lambda s: {**s, "body.0.weight": torch.zeros(0, 3, 3, 3)}, r"'body.0.weight' is \(0, 3, 3, 3\)"),
        (lambda s: {**s, "body.6.weight": torch.zeros(65, 16, 3, 3)}, r"'body.6.weight' \(65, 16, 3, 3\)"),
        (lambda s: {}, "do not fit ZeroDCE"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(InvalidCheckpoint, match=message):
        from_state_dict(change(tiny().state_dict()))


def test_a_network_of_no_channels_is_refused():
    """Its tensors would fit each other."""
    widths = [(3, 0), *[(0, 0)] * 5, (0, 4)]
    state = {f"body.{i}.weight": torch.zeros(o, n, 3, 3) for i, (n, o) in enumerate(widths)}
    with pytest.raises(InvalidCheckpoint, match="do not fit ZeroDCE"):
        from_state_dict({**state, **{f"body.{i}.bias": torch.zeros(o) for i, (_, o) in enumerate(widths)}})


def test_a_huge_claim_allocates_nothing():
    with pytest.raises(InvalidCheckpoint, match="do not fit ZeroDCE"):
        from_state_dict({**tiny().state_dict(), "body.0.weight": torch.zeros(300_000, 1, 1, 1)})
