"""The denoiser: its shape contract, and its tensors by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgekit.errors import InvalidCheckpoint
from edgekit.models.unet import UNet, from_state_dict, matches

WIDTHS = (4, 6, 8)


def tiny(*, seed: int = 0, **options) -> UNet:
    torch.manual_seed(seed)
    return UNet(**{"widths": WIDTHS, **options}).eval()


def picture(height: int = 24, width: int = 16) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("widths", "multiple_of"), [((4, 6), 2), ((4, 6, 8), 4), ((3, 3, 3, 3), 8)])
def test_sides_are_multiples_of_the_stride(widths, multiple_of):
    net = tiny(widths=widths)
    assert net.multiple_of == multiple_of
    for height, width in ((multiple_of, 2 * multiple_of), (24, 16)):
        assert net(picture(height, width)).shape == (2, 3, height, width)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        net(picture(24 + multiple_of // 2, 16))


def test_without_noise_the_picture_passes_through():
    net, x = tiny(), picture()
    torch.nn.init.zeros_(net.noise.weight)
    torch.nn.init.zeros_(net.noise.bias)
    with torch.no_grad():
        assert torch.equal(net(x), x)
        torch.nn.init.constant_(net.noise.bias, 0.25)
        assert torch.equal(net(x), x - 0.25), "the predicted noise is taken off, not added"


def test_every_convolution_counts():
    net, x = tiny(), picture()
    with torch.no_grad():
        before = net(x)
        for name, parameter in net.named_parameters():
            kept = parameter.clone()
            parameter.add_(0.5)
            assert not torch.equal(net(x), before), name
            parameter.copy_(kept)


def test_a_shift_by_its_stride_shifts_the_result():
    """What tiling relies on: inside, the network does not know where a tile lies, as long as tiles start at multiples of the stride."""
    net, x = tiny(), picture(96, 96)
    with torch.no_grad():
        whole, part = net(x), net(x[..., 8:, 8:])
        off = net(x[..., 6:-2, 8:])
    torch.testing.assert_close(part[..., 32:-32, 32:-32], whole[..., 40:-32, 40:-32], atol=1e-6, rtol=0)
    assert (off[..., 34:-32, 32:-32] - whole[..., 40:-34, 40:-32]).abs().max() > 1e-4


def test_the_built_in_shape():
    net = UNet()
    assert (net.scale, net.multiple_of) == (1, 4)
    assert sum(p.numel() for p in net.parameters()) == 600_675


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"encoder_inner": (1, 7, 3), "up": (5, 2), "decoder_inner": (2, 9), "decoder": (6, 1)},
        {"widths": (5, 3), "up": (4,)},
        {"widths": (3, 4, 5, 6), "decoder_inner": (1, 2, 3)},
    ],
)
def test_widths_are_read_from_the_tensors(options):
    net, x = tiny(**options), picture()
    assert matches(net.state_dict())
    loaded = from_state_dict(net.state_dict())
    assert loaded.multiple_of == net.multiple_of
    assert {k: v.shape for k, v in loaded.state_dict().items()} == {k: v.shape for k, v in net.state_dict().items()}
    with torch.no_grad():
        assert torch.equal(loaded(x), net(x))


def without(state: dict[str, Tensor], *keys: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "up.0.bias"), "do not fit UNet: 'up.0.bias' is missing$"),
        (lambda s: without(s, "encoder.1.2.weight"), "'encoder.1.2.weight' is missing, expected a convolution's"),
        (lambda s: without(s, "decoder.1.0.weight"), "'decoder.1.0.weight' is missing"),
        (lambda s: without(s, "encoder.1.0.weight"), "'encoder.1.0.weight' is missing"),
        (lambda s: {**s, "extra": torch.zeros(1)}, "'extra' is unexpected$"),
        (lambda s: {**s, "noise.bias": torch.zeros(4)}, r"'noise.bias' is \(4,\), expected \(3,\)$"),
        (lambda s: {**s, "down.0.weight": torch.zeros(6, 4, 3, 3)}, r"'down.0.weight' is \(6, 4, 3, 3\), expected \(6, 4, 2, 2\)$"),
        (lambda s: {**s, "encoder.0.0.weight": torch.zeros(4)}, r"'encoder.0.0.weight' is \(4,\), expected a convolution's \(out, in, 3, 3\)$"),
        (lambda s: {**s, "encoder.0.2.weight": torch.zeros(0, 4, 3, 3)}, r"'encoder.0.2.weight' is \(0, 4, 3, 3\)"),
        (lambda s: {**s, "encoder.0.2.weight": torch.zeros(())}, r"'encoder.0.2.weight' is \(\), expected a convolution's"),
        (lambda s: {}, "do not fit UNet: there are 0 encoders"),
        (lambda s: {k: v for k, v in s.items() if k[:9] not in ("encoder.1", "encoder.2")}, "there are 1 encoders .*, expected at least 2$"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(InvalidCheckpoint, match=message):
        from_state_dict(change(tiny().state_dict()))


def test_a_huge_claim_allocates_nothing():
    with pytest.raises(InvalidCheckpoint, match="do not fit UNet"):
        from_state_dict({**tiny().state_dict(), "encoder.1.2.weight": torch.zeros(300_000, 1, 1, 1)})
