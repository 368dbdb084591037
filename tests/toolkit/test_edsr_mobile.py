"""The preview network: what trains is what ships, and it starts from the bilinear enlargement."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit.errors import InvalidCheckpoint
from edgekit.models import edsr_mobile
from edgekit.models.edsr_mobile import Branches, EDSRMobile, from_state_dict, matches


def tiny(scale: int = 2, *, trainable: bool = False, seed: int = 0) -> EDSRMobile:
    """Random weights everywhere, the anchor too."""
    torch.manual_seed(seed)
    net = EDSRMobile(scale, (8, 5, 8), trainable=trainable).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.15)
    return net


def picture(side: int = 13) -> Tensor:
    return torch.rand(2, 3, side, side + 4, generator=torch.Generator().manual_seed(1))


def test_branches_are_the_sum_of_their_parts():
    """Each branch run for itself: what `merged` must be equal to."""
    torch.manual_seed(0)
    for inputs, outputs in ((8, 8), (3, 8)):
        branches, x = Branches(inputs, outputs), torch.randn(2, inputs, 7, 9)
        with torch.no_grad():
            parts = branches.plain(x) + branches.narrow(branches.widen(x)) + branches.point(x) + (x if inputs == outputs else 0)
            weight, bias = branches.merged()
            torch.testing.assert_close(F.conv2d(x, weight, bias, padding=1), parts, atol=1e-5, rtol=0)
            torch.testing.assert_close(branches(x), parts, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_merged_network_is_the_trained_one(scale):
    net, x = tiny(scale, trainable=True), picture()
    merged = edsr_mobile.merge(net)
    assert not any(isinstance(module, Branches) for module in merged.modules())
    with torch.no_grad():
        ours, theirs = net(x), merged(x)
    assert ours.shape == (2, 3, 13 * scale, 17 * scale) and ours.std() > 0.1, "a flat answer would prove nothing"
    assert (ours - theirs).abs().max() <= 1e-5


def test_merging_leaves_the_trained_network_alone():
    net, x = tiny(trainable=True), picture()
    with torch.no_grad():
        before = net(x)
        merged = net.merged()
        for parameter in merged.parameters():
            parameter.zero_()
        assert torch.equal(net(x), before)


def test_the_built_in_shape_is_small_and_its_branches_train():
    net = edsr_mobile.build()
    assert sum(p.numel() for p in edsr_mobile.merge(net).parameters()) == 50_604 <= 60_000
    net(picture()).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("trainable", [False, True])
def test_the_anchor_alone_is_bilinear_enlargement(scale, trainable):
    net, x = EDSRMobile(scale, (4,), trainable=trainable), picture()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith("tail"):
                parameter.zero_()
        found = net(x)
    expected = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
    inner = slice(scale, -scale)  # at the border F.interpolate repeats the edge, the convolution reads zeros
    torch.testing.assert_close(found[..., inner, inner], expected[..., inner, inner], atol=1e-6, rtol=0)
    assert (found - expected).abs().max() > 0.01


@pytest.mark.parametrize(("scale", "widths"), [(2, (32,) * 6), (3, (5,)), (4, (3, 7, 1, 4)), (2, (2,) * 12)])
def test_the_shape_is_read_from_the_tensors(scale, widths):
    torch.manual_seed(0)
    net, x = EDSRMobile(scale, widths).eval(), picture()
    assert matches(net.state_dict())
    loaded = from_state_dict(net.state_dict())
    assert (loaded.scale, tuple(conv.out_channels for conv in loaded.body)) == (scale, widths)
    with torch.no_grad():
        assert torch.equal(loaded(x), net(x))


def test_an_untrained_form_does_not_match():
    assert not matches(tiny(trainable=True).state_dict())


def without(state: dict[str, Tensor], *keys: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "body.1.bias"), "do not fit EDSRMobile: 'body.1.bias' is missing$"),
        (lambda s: without(s, "body.1.weight"), "'body.1.weight' is missing"),
        (lambda s: {**s, "extra": torch.zeros(1)}, "'extra' is unexpected$"),
        (lambda s: {**s, "tail.bias": torch.zeros(4)}, r"'tail.bias' is \(4,\), expected \(12,\)$"),
        (lambda s: without(s, "anchor.weight"), r"'anchor.weight' is \(0,\) .*expected \(12, 27 or 48, 3, 3, 3\)"),
        (lambda s: {**s, "anchor.weight": torch.zeros(75, 3, 3, 3)}, r"'anchor.weight' is \(75, 3, 3, 3\)"),
        (lambda s: {**s, "anchor.weight": torch.zeros(())}, r"'anchor.weight' is \(\)"),
        (lambda s: {**s, "anchor.weight": torch.zeros(12)}, r"'anchor.weight' is \(12,\)"),
        (lambda s: without(s, "body.0.weight"), "'body.0.weight' is missing"),
        (lambda s: {**s, "body.0.weight": torch.zeros(())}, "expected .* convolutions' "),
        (lambda s: {**s, "body.0.weight": torch.zeros(0, 3, 3, 3)}, "expected .* convolutions' "),
        (lambda s: {}, "do not fit EDSRMobile"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(InvalidCheckpoint, match=message):
        from_state_dict(change(tiny().state_dict()))


def test_a_huge_claim_allocates_nothing():
    """100 000 channels would be 360 GB for each convolution; the head that claims them is 11 MB."""
    with pytest.raises(InvalidCheckpoint, match="do not fit EDSRMobile"):
        from_state_dict({**tiny().state_dict(), "body.0.weight": torch.zeros(100_000, 3, 3, 3)})
