"""A network that writes into its input is given copies."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.enhancer import ImageSpec
from edgekit.models.contract import Contract
from edgekit.models.degrade import unchanged
from edgekit.models.enhancers import enhancer_of
from edgekit.rewrite import to_graph

IMAGE = (ImageSpec("image", 3, "rgb"),)


class Scaled(nn.Conv2d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        input *= 255
        return super().forward(input).mul_(1 / 255)


def made(module: nn.Module):
    contract = Contract(scale=1, degrade=unchanged, inputs=IMAGE, outputs=(ImageSpec("enhanced", 3, "rgb"),), multiple_of=4)
    return enhancer_of("scaled", module, contract, source="", licence="", sha256="").module


def test_the_picture_stays_as_it_was():
    module = made(Scaled(3, 3, 3, padding=1))
    picture = torch.rand(1, 3, 16, 16)
    kept = picture.clone()
    with torch.no_grad():
        first, second = module(picture), module(picture)
    assert torch.equal(picture, kept) and torch.equal(first, second)
    with torch.no_grad():
        assert torch.allclose(to_graph(module, (picture,))(picture), first, atol=1e-5) and torch.equal(picture, kept)


def test_others_get_their_inputs_themselves():
    assert not made(nn.Conv2d(3, 3, 3, padding=1))._forward_pre_hooks
