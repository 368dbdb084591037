"""Layers of spandrel's architectures that torch.export cannot follow."""

from importlib.util import find_spec

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT
from torch import nn

from edgekit.models import community
from edgekit.models.traceable import CALLS, MaskedExperts, centred, in_order, inverse, make_traceable

pytestmark = pytest.mark.skipif(find_spec("spandrel") is None, reason="the extra 'checkpoints' is not installed")


def seemore(**options) -> nn.Module:
    community.registry()
    from spandrel.architectures.SeemoRe import SeemoRe

    return SeemoRe(scale=2, num_layers=2, embedding_dim=8, **options).eval()


@EXACT
@given(experts=st.integers(1, 5), chosen=st.integers(1, 3), seed=st.integers(0, 99))
def test_experts_behind_masks_compute_what_chosen_ones_do(experts, chosen, seed):
    torch.manual_seed(seed)
    original, network = (seemore(num_experts=max(experts, chosen), topk=chosen) for _ in range(2))
    for layer in original.modules():
        if isinstance(layer, nn.Linear):  # the router: initial values hardly prefer anyone
            layer.weight.data *= 20
    network.load_state_dict(original.state_dict())
    assert make_traceable(network) == 2
    assert network.state_dict().keys() == original.state_dict().keys()
    for _ in range(3):
        x = torch.rand(1, 3, 20, 24)
        with torch.no_grad():
            assert (network(x) - original(x)).abs().max() <= 1e-5


def test_which_experts_work_depends_on_the_picture_and_the_graph_does_not():
    torch.manual_seed(0)
    network = seemore(num_experts=3)
    make_traceable(network)
    layer = next(m for m in network.modules() if isinstance(m, MaskedExperts))
    layer.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    seen = set()
    one, other = torch.randn(1, 8, 9, 9), torch.randn(1, 8, 9, 9)
    with torch.no_grad():
        graph = torch.export.export(layer, (one, one)).module()
        for x in (one, other, -one, -other, 5 * one + other):
            assert torch.allclose(graph(x, x), layer(x, x), atol=1e-6)
            seen.add(int(layer.gate(x).argmax()))
    assert len(seen) > 1


def test_of_equal_experts_the_first_are_taken():
    layer = next(m for m in seemore(num_experts=3, topk=2).modules() if type(m).__name__ == "MoELayer")
    masked = MaskedExperts(layer)
    masked.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    nn.init.zeros_(masked.gate[2].weight)
    nn.init.zeros_(masked.gate[2].bias)
    x = torch.rand(1, 8, 9, 9)
    with torch.no_grad():
        expected = x + (masked.experts[0](x, x) + masked.experts[1](x, x)) / 3
        assert torch.allclose(masked(x, x), expected, atol=1e-6)


def test_other_networks_are_left_alone():
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Sequential(nn.ReLU()))
    before = list(network.modules())
    assert make_traceable(network) == 0 and list(network.modules()) == before


@EXACT
@given(side=st.sampled_from([32, 40]), category_size=st.sampled_from([48, 64, 5000]), seed=st.integers(0, 99))
def test_attention_within_categories_is_the_original_with_a_stable_sort(side, category_size, seed):
    community.registry()
    from spandrel.architectures.ATD import ATD

    torch.manual_seed(seed)
    options = {
        "embed_dim": 12,
        "depths": (2,),
        "num_heads": (2,),
        "num_tokens": 8,
        "reducted_dim": 4,
        "upscale": 2,
        "upsampler": "pixelshuffledirect",
    }
    original, network = (ATD(**options, category_size=category_size).eval() for _ in range(2))
    network.load_state_dict(original.state_dict())
    assert make_traceable(network) == 2
    assert network.state_dict().keys() == original.state_dict().keys()
    x = torch.rand(1, 3, side, 32)
    sort = torch.sort
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "sort", lambda values, dim, stable: sort(values, dim=dim, stable=True))
        assert (network(x) - original(x)).abs().max() <= 1e-5


@given(numbers=st.lists(st.lists(st.integers(0, 6), min_size=9, max_size=9), min_size=1, max_size=3))
def test_in_order_is_a_stable_sort(numbers):
    order = in_order(torch.tensor(numbers), 7)
    assert torch.equal(order, torch.tensor(numbers).argsort(stable=True))
    assert torch.equal(order.gather(1, inverse(order)), torch.arange(9).expand_as(order))


def test_a_picture_has_more_places_than_squares_of_them_are_whole_numbers():
    """256x256: 2^16 places, whose square int32 does not hold."""
    order = torch.randperm(2**16, generator=torch.Generator().manual_seed(0)).unsqueeze(0)
    assert torch.equal(inverse(order), order.argsort())
    numbers = order % 64
    assert torch.equal(in_order(numbers, 64), numbers.argsort(stable=True))


def test_pictures_around_zero_are_those_of_torchvision():
    community.registry()
    from torchvision.transforms.functional import normalize

    class Network(nn.Module):
        def forward(self, x):
            return x.abs().sqrt(), None

    x = torch.rand(1, 3, 8, 8)
    assert torch.allclose(centred(Network(), x), (normalize(x, [0.5] * 3, [0.5] * 3).abs().sqrt() + 1) / 2, atol=1e-6)
    assert set(CALLS) <= set(community.names())
    torch.export.export(community.Community(Network(), CALLS["RestoreFormer"]), (x,))
