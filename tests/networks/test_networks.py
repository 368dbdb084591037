"""What every network of the table must do: be recognized by its tensors alone, come back from them, keep its contract, and be traceable."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from tiny_networks import SHIPPED, TINY
from train import RESTORERS, quality
from trained_weights import path_of

from edgekit import models, tiles
from edgekit.errors import InvalidCheckpoint
from edgekit.models import architectures
from edgekit.models.architectures import ARCHITECTURES
from edgekit.models.pixels import in_pixels

EACH = [pytest.param(name, widths, id=f"{name}-{number}") for name, sizes in TINY.items() for number, widths in enumerate(sizes)]


def build(name, widths):
    """In eval mode, with every parameter away from its initial value, so that nothing is zero or equal by accident."""
    torch.manual_seed(0)
    network = architectures.named(name).build(**widths).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.02)
    return network


def in_and_out(name, network):
    """The network between pixels, and inputs of sides that it can take."""
    contract = architectures.named(name).contract(network)
    random = torch.Generator().manual_seed(1)
    sides = [
        (side + contract.multiple_of) // contract.multiple_of * contract.multiple_of
        for side in (contract.multiple_of + 16, 3 * contract.multiple_of + 8)
    ]
    inputs = tuple(
        torch.rand(1, spec.channels, *(() if spec.colour == "scalar" else sides), generator=random).contiguous() for spec in contract.inputs
    )
    return in_pixels(network, contract.inputs, contract.outputs).eval(), inputs


def test_every_architecture_has_small_ones():
    assert sorted(TINY) == architectures.names()


@pytest.mark.parametrize(("name", "widths"), EACH)
def test_only_its_own_architecture_takes_its_tensors(name, widths):
    network = build(name, widths)
    for state in (network.state_dict(), architectures.named(name).to_state_dict(network)):
        assert [one.name for one in ARCHITECTURES if one.matches(state)] == [name]


@pytest.mark.parametrize(("name", "widths"), EACH)
def test_it_comes_back_from_its_tensors(name, widths):
    network = build(name, widths)
    state = models.to_state_dict(network)
    again = models.rebuild(state)
    module, inputs = in_and_out(name, network)
    assert {key: value.shape for key, value in models.to_state_dict(again).items()} == {key: value.shape for key, value in state.items()}
    with torch.no_grad():
        assert torch.equal(again(*inputs), module(*inputs))


@pytest.mark.parametrize(("name", "widths"), EACH)
def test_its_output_is_what_the_contract_says(name, widths):
    network = build(name, widths)
    contract = architectures.named(name).contract(network)
    module, inputs = in_and_out(name, network)
    with torch.no_grad():
        made = module(*inputs)
        both = module(*(torch.cat([t, t.flip(-1)]) for t in inputs))
    sides = [side * contract.scale for side in inputs[0].shape[-2:]] if contract.outputs[0].colour != "scalar" else []
    assert made.shape == (1, contract.outputs[0].channels, *sides)
    assert bool(made.isfinite().all()) and float(made.std()) > 1e-3
    torch.testing.assert_close(both[:1], made, atol=2e-5, rtol=0)
    side = 2 * contract.scale * max(contract.multiple_of, 4)
    given = contract.degrade(torch.rand(1, 3, side, 2 * side))
    for spec, tensor in zip(contract.inputs, given, strict=True):
        assert tensor.shape == (1, spec.channels, *(() if spec.colour == "scalar" else (side // contract.scale, 2 * side // contract.scale)))


@pytest.mark.parametrize(("name", "widths"), EACH)
def test_it_can_be_traced(name, widths):
    module, inputs = in_and_out(name, build(name, widths))
    with torch.no_grad():
        traced = torch.export.export(module, inputs).module(check_guards=False)
        torch.testing.assert_close(traced(*inputs), module(*inputs), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "widths"), EACH)
def test_a_tensor_too_many_or_too_few_is_named(name, widths):
    state = models.to_state_dict(build(name, widths))
    with pytest.raises(InvalidCheckpoint, match=r"do not fit .*'extra.weight'"):
        architectures.named(name).from_state_dict({**state, "extra.weight": torch.zeros(1)})
    last = list(state)[-1]
    with pytest.raises(InvalidCheckpoint, match="do not fit"):
        architectures.named(name).from_state_dict({key: value for key, value in state.items() if key != last})


# Half kernels, summed: those behind an enlargement count for less, rounded up. None: the whole picture.
RADIUS = {
    "edsr-bicubic": 6, "srresnet": 12, "rdn": 11, "rrdbnet": 34, "espcn": 4, "srvgg": 6, "span": 21, "ecbsr": 5, "dncnn": 6, "nafnet": None, "restormer": None,
    "cyclegan": None, "style-transfer": None, "unet-mobilenet": None, "fusion": 5, "inpainting": 42, "vae": 15, "gan-denoiser": 21, "diffusion": 12,
}  # fmt: skip


@pytest.mark.parametrize("name", RADIUS)
def test_how_far_a_pixel_reaches(name):
    network = build(name, TINY[name][0])
    module, inputs = in_and_out(name, network)
    contract = architectures.named(name).contract(network)
    found = tiles.receptive_radius(module, inputs, contract.multiple_of)
    assert found == RADIUS[name]
    assert contract.tiling == ("whole" if found is None else "exact")


def test_windows_reach_as_far_as_they_shift():
    """Attention in windows of 4, in one plain and one shifted layer, and three convolutions: first, in the group, after the body; then the tail's at 2x, 4x."""
    network = build("swinir", TINY["swinir"][2])
    module, inputs = in_and_out("swinir", network)
    found = tiles.receptive_radius(module, inputs, 4)
    assert found is not None and 3 + 4 < found <= 3 + 2 * 4 + 4
    assert architectures.named("swinir").contract(network).tiling == "exact"


@pytest.mark.parametrize("name", [name for name in TINY if name not in SHIPPED])
def test_trained_weights_are_small_and_of_this_size(name):
    path = path_of(name)
    assert path.stat().st_size <= 150_000
    expected = models.to_state_dict(build(name, TINY[name][0]))
    with safe_open(path, "pt") as file:
        assert {key: tuple(file.get_tensor(key).shape) for key in file.keys()} == {key: tuple(value.shape) for key, value in expected.items()}  # noqa: SIM118


# How much better than the degraded picture, enlarged bicubically where the network enlarges. Networks without a skip around them have to learn the picture
# itself first, and in a minute come near it only.
LEAST_GAIN_DB = {
    "edsr-bicubic": 1.5, "ecbsr": 0.8, "srvgg": 0.8, "rdn": 0.0, "espcn": -0.5, "srresnet": -1.5, "span": -1.5, "rrdbnet": -1.5, "swinir": -1.5,
    "dncnn": 8.0, "nafnet": 6.0, "restormer": 5.0,
}  # fmt: skip


@pytest.mark.parametrize("name", RESTORERS)
def test_trained_weights_restore(name):
    before, after = quality(name)
    assert after - before > LEAST_GAIN_DB[name], f"{before:.2f} -> {after:.2f} dB"
