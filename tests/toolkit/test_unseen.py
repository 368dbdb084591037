"""Networks that nobody has described: what running them tells."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit import models
from edgekit.errors import InvalidFile
from edgekit.models import probe
from edgekit.models.contract_file import ContractFile, Tensor
from edgekit.models.edsr import EDSR
from edgekit.models.unet import UNet
from edgekit.models.unseen import contract_of


class Padded(nn.Module):
    """Takes any size and pads to its stride inside: only its phase tells the stride."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.Conv2d(8, 48, 1), nn.PixelShuffle(4))

    def forward(self, x):
        height, width = x.shape[-2:]
        return self.inner(F.pad(x, (0, -width % 4, 0, -height % 4)))[..., :height, :width]


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.Conv2d(4, 3, 3, padding=1))

    def forward(self, x):
        return self.body(x)


class Picky(nn.Module):
    """Like windows of attention: sides from 64 on, in multiples of 12."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        if min(x.shape[-2:]) < 64 or x.shape[-1] % 12 or x.shape[-2] % 12:
            raise ValueError("windows do not fit")
        return self.conv(x)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: EDSR(3, blocks=1, channels=4), (3, 1, 1, "exact")),
        (lambda: UNet((4, 6, 8)), (1, 4, 1, "exact")),
        (Padded, (1, 4, 1, "exact")),
        (Normed, (1, 1, 1, "whole")),
        (Picky, (1, 12, 72, "exact")),
    ],
)
def test_sizes_scale_and_tiling_are_measured(build, expected):
    torch.manual_seed(0)
    _, found = contract_of(build(), ContractFile())
    assert (found.scale, found.multiple_of, found.smallest, found.tiling) == expected
    assert any(line.startswith(f"scale {expected[0]}") for line in found.probed)


def test_channels_are_measured():
    _, found = contract_of(nn.Conv2d(1, 1, 3, padding=1), ContractFile())
    assert found.inputs[0].channels == found.outputs[0].channels == 1 and found.inputs[0].colour == "grey"
    assert found.degrade(torch.rand(1, 3, 16, 16))[0].shape == (1, 1, 16, 16)


class Trained(nn.Module):
    """A network that has learnt pictures in 0 to 255: its biases and its limits are of that size."""

    def forward(self, x):
        return (x - 100).clamp(-100, 155) + 100 + 2 * torch.sin(x)


def test_the_range_is_told_where_a_picture_comes_back():
    _, found = contract_of(Trained(), ContractFile())
    assert found.inputs[0].range == found.outputs[0].range == (0.0, 255.0)
    assert any("[0, 255]" in line for line in found.probed)
    _, stated = contract_of(Trained(), ContractFile(input=(Tensor(range=(0, 1)),)))
    assert stated.inputs[0].range == (0.0, 1.0), "what is stated stands"


@pytest.mark.parametrize("name", ["edsr-mobile", "lowlight"])
def test_trained_networks_of_0_to_1_are_not_mistaken(name):
    network = models.load(name)
    _, found = contract_of(network.module, ContractFile())
    assert found.inputs[0].range == (0.0, 1.0)
    assert (found.scale, found.multiple_of, found.tiling) == (network.scale, network.multiple_of, network.tiling)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, picture, mask):
        return self.conv(torch.cat([picture, mask], 1))


def test_several_inputs_need_their_tables():
    with pytest.raises(InvalidFile, match=r"does not run on \(1, 3, 32, 33\) nor on any other size that was tried: TypeError"):
        contract_of(TwoInputs(), ContractFile())
    _, found = contract_of(TwoInputs(), ContractFile(input=(Tensor(), Tensor("mask", colour="mask"))))
    assert [(s.name, s.channels, s.colour) for s in found.inputs] == [("image", 3, "rgb"), ("mask", 1, "mask")]
    picture, mask = found.degrade(torch.rand(2, 3, 32, 32))
    assert picture.shape == (2, 3, 32, 32) and mask.shape == (2, 1, 32, 32) and 0 < mask.mean() < 0.5


@pytest.mark.parametrize(
    ("network", "stated", "line"),
    [
        (EDSR(2, blocks=1, channels=4), ContractFile(scale=4), "its contract says scale 4, the network gives 2; expected the same"),
        (
            Normed(),
            ContractFile(tiling="exact"),
            'tiling is exact, but an input pixel reaches every output pixel, or its place matters; expected tiling = "whole"',
        ),
        (Padded(), ContractFile(multiple_of=2), "multiple_of is 2, but the result depends on the phase of 4 px; expected 4"),
        (nn.Conv2d(3, 7, 3, padding=1), ContractFile(), "gives 7 channels; expected 1 or 3, or the colour of its [[output]]"),
        (nn.Conv2d(3, 3, 3), ContractFile(), "does not run on (1, 3, 32, 33) nor on any other size that was tried: "),
        (nn.Conv2d(5, 3, 3, padding=1), ContractFile(), "does not run on (1, 3, 32, 33) nor"),
        (nn.LSTM(3, 3), ContractFile(), "does not run on"),
        (EDSR(2, blocks=1, channels=4), ContractFile(degrade="fog"), "degrade is 'fog'; expected one of downscale, noise, dark, none"),
    ],
)
def test_what_does_not_fit_is_one_line(network, stated, line):
    with pytest.raises(InvalidFile) as caught:
        contract_of(network, stated)
    assert line in str(caught.value)


def test_a_network_whose_output_ignores_the_input():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.full_like(x, 0.5)

    with pytest.raises(InvalidFile, match="does not depend on its input"):
        contract_of(Constant(), ContractFile())


def test_masks_of_many_classes():
    _, found = contract_of(nn.Conv2d(3, 7, 3, padding=1), ContractFile(task="segment"))
    assert (found.outputs[0].channels, found.outputs[0].colour) == (7, "mask")


def test_a_place_that_matters_is_no_tile():
    """A learned position for each pixel: the same patch gives another result elsewhere."""

    class Placed(nn.Module):
        def forward(self, x):
            return x + torch.linspace(0, 1, x.shape[-1])

    sizes = probe.sizes(Placed(), (models.load("edsr").inputs[0],))
    assert probe.reach(Placed(), models.load("edsr").inputs, sizes).tiling == "whole"
