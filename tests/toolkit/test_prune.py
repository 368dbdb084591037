"""Pruning is exact: what remains computes what the whole network would with the removed channels at zero. And it removes as much as was asked."""

import copy
import sys
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from edgekit import models
from edgekit.errors import InvalidFile, MissingToolchain
from edgekit.models.edsr import EDSR, ResidualBlock
from edgekit.models.edsr_mobile import EDSRMobile
from edgekit.models.unet import UNet
from edgekit.models.zero_dce import ZeroDCE
from edgekit.prune import Pruned, prune
from edgekit.prune.network import CONVOLUTIONS
from edgekit.recipe import Prune

INNER, TAIL = ("body.*.body.0",), ("tail.*",)


def picture(side: int = 16, seed: int = 1) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


def seeded(make, *arguments, **options) -> nn.Module:
    torch.manual_seed(0)
    return make(*arguments, **options).eval()


def edsr(scale: int = 2, **options) -> EDSR:
    return seeded(EDSR, scale, **{"blocks": 3, "channels": 16, **options})


def rebuilt(module: nn.Module) -> nn.Module:
    return models.rebuild(models.to_state_dict(module))


def pruned(net: nn.Module, ratio: float = 0.3, *, tiles=None, rebuild=rebuilt, latency_ms=None, **settings) -> Pruned:
    """By default in steps of 4 channels, by weight; two tiles unless given."""
    pairs = [((picture(seed=seed),), picture(16 * net.scale, seed + 9)) for seed in (2, 3)]
    settings = {"importance": "l1", "multiple": 4, **settings}
    return prune(net, (picture(),), Prune(ratio, **settings), pairs if tiles is None else tiles, rebuild=rebuild, latency_ms=latency_ms)


def gone(before: nn.Module, after: nn.Module) -> dict[str, list[int]]:
    """Convolution -> its output channels that `after` lacks. A random bias is found once, and pruning a layer's input leaves it as it is."""
    smaller = dict(after.named_modules())
    found = {name: layer for name, layer in before.named_modules() if isinstance(layer, CONVOLUTIONS) and layer.bias is not None}
    missing = {name: (~torch.isin(layer.bias, smaller[name].bias)).nonzero()[:, 0].tolist() for name, layer in found.items()}
    return {name: channels for name, channels in missing.items() if channels}


def masked(before: nn.Module, channels: dict[str, list[int]]) -> nn.Module:
    """The whole network with these output channels at zero."""
    net = copy.deepcopy(before)
    with torch.no_grad():
        for name, indices in channels.items():
            layer = net.get_submodule(name)
            weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
            weight[indices] = 0
            layer.bias[indices] = 0
    return net


def multiplications(net: nn.Module, x: Tensor) -> float:
    """Counted by hand: weights times the pixels that each computes."""
    total = []

    def count(layer, given, result):
        pixels = (given[0] if isinstance(layer, nn.ConvTranspose2d) else result).shape[-2:]
        total.append(layer.weight.numel() * pixels.numel())

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(getattr(m, "weight", None), Tensor)]
    net(x)
    for hook in hooks:
        hook.remove()
    return sum(total)


CASES = {
    "inner": (edsr, {"layers": INNER}),
    "shared trunk": (edsr, {"shared": True, "layers": ("head.*", "body.*")}),
    "shuffle x2": (edsr, {"layers": TAIL, "ratio": 0.2}),
    "shuffle x3": (lambda: edsr(3), {"layers": TAIL}),
    "two shuffles x4": (lambda: edsr(4), {"layers": TAIL, "importance": "activation"}),
    "everything": (edsr, {"shared": True, "ratio": 0.6, "importance": "activation"}),
    "parameters": (edsr, {"shared": True, "cost": "parameters"}),
    "taylor": (edsr, {"importance": "taylor"}),
    "mobile": (lambda: seeded(EDSRMobile, 2, (16, 16, 16)), {"importance": "taylor"}),
    "unet": (lambda: seeded(UNet, (8, 16, 32)), {"importance": "activation"}),
    "unet by weight": (lambda: seeded(UNet, (8, 16, 32)), {"shared": True, "cost": "parameters", "ratio": 0.4}),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    make, settings = CASES[request.param]
    net = make()
    return net, {"ratio": 0.3, **settings}, pruned(net, **settings)


def test_the_pruned_network_is_the_original_with_those_channels_at_zero(case):
    net, _, result = case
    x, channels = picture(24, 5), gone(net, result.module)
    with torch.no_grad():
        got = result.module(x)
        assert got.shape == net(x).shape
        torch.testing.assert_close(got, masked(net, channels)(x), atol=2e-6, rtol=0)
        assert (got - net(x)).abs().max() > 1e-4, "with the channels it was another picture"
    own = {name: layer.out_channels for name, layer in net.named_modules() if isinstance(layer, CONVOLUTIONS)}
    assert result.widths == {name: (own[name], own[name] - len(removed)) for name, removed in channels.items()}


def test_as_much_is_removed_as_was_asked_and_little_more(case):
    net, settings, result = case
    cost = result.parameters if settings.get("cost") == "parameters" else result.macs
    largest = 0.2 if settings.get("shared") or net.scale == 3 else 0.12  # what one chunk of 4 channels in 16 may weigh
    assert result.cost == cost and 1 - settings["ratio"] - largest <= cost[1] / cost[0] <= 1 - settings["ratio"]
    assert result.macs == (multiplications(net, picture()), multiplications(result.module, picture()))
    assert result.parameters == tuple(sum(p.numel() for p in m.parameters()) for m in (net, result.module))


def test_single_channels_meet_the_ratio_closely():
    result = pruned(edsr(), 0.37, multiple=1, layers=INNER)
    assert 0.615 < result.macs[1] / result.macs[0] <= 0.63


def test_widths_are_multiples_and_only_the_chosen_layers_changed(case):
    net, settings, result = case
    shuffled = {"tail.0.0": net.scale**2 if net.scale < 4 else 4, "tail.0.2": 4} if isinstance(net, EDSR) else {}
    assert result.widths and all(after % (4 * shuffled.get(name, 1)) == 0 and after < before for name, (before, after) in result.widths.items())
    if settings.get("layers") == INNER:
        assert all(name.endswith("body.0") for name in result.widths)
    if settings.get("layers") == TAIL:
        assert all(name.startswith("tail") for name in result.widths)


def test_a_checkpoint_of_it_gives_the_same_picture(case):
    _, _, result = case
    again = rebuilt(result.module)
    assert type(again) is type(result.module) and not result.module.training
    assert torch.equal(again(picture(20)), result.module(picture(20)))


def test_channels_leave_a_shuffle_in_whole_groups():
    net = edsr()
    channels = gone(net, pruned(net, 0.2, layers=TAIL).module)["tail.0.0"]
    assert channels == [unit * 4 + k for unit in sorted({c // 4 for c in channels}) for k in range(4)]


def test_a_shared_trunk_loses_the_same_channels_everywhere():
    net = edsr()
    channels = gone(net, pruned(net, shared=True, layers=("head.*", "body.*.body.2", "body.3")).module)
    assert set(channels) == {"head.0", "body.0.body.2", "body.1.body.2", "body.2.body.2", "body.3"}
    assert len({tuple(found) for found in channels.values()}) == 1


def test_without_shared_the_trunk_stays():
    result = pruned(edsr())
    assert "head.0" not in result.widths and "a sum ties it to 4 others (shared = true" in result.kept["head.0"]
    assert result.kept["tail.1"] == "its channels are the picture's"


@pytest.mark.parametrize(("importance", "blocks"), [("l1", 0), ("taylor", 0), ("activation", 0), ("taylor", 1)])
def test_the_original_stays_as_it_was(importance, blocks):
    net = edsr().requires_grad_(False).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    result = pruned(net, importance=importance, blocks=blocks)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items()) and len(net.body) == 4
    assert not any(p.requires_grad or p.grad is not None for m in (net, result.module) for p in m.parameters())
    assert net.training and not result.module.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for module in (net, result.module) for m in module.modules())


PLANTED = [1, 6, 10, 15]


def small(net: EDSR) -> None:
    net.body[1].body[0].weight[PLANTED] *= 1e-3


def dead(net: EDSR) -> None:
    """Large weights, but ReLU never lets them through."""
    net.body[1].body[0].weight[PLANTED] *= 10
    net.body[1].body[0].bias[PLANTED] = -torch.arange(1000.0, 1004)


def unread(net: EDSR) -> None:
    net.body[1].body[0].weight[PLANTED] *= 10
    net.body[1].body[2].weight[:, PLANTED] = 0


@pytest.mark.parametrize(("plant", "importance"), [(small, "l1"), (dead, "activation"), (unread, "activation"), (dead, "taylor"), (unread, "taylor")])
def test_importance_finds_the_planted_channels(plant, importance):
    net = edsr()
    with torch.no_grad():
        plant(net)
    found = pruned(net, 0.01, importance=importance, layers=("body.1.body.0",))
    assert gone(net, found.module) == {"body.1.body.0": PLANTED}
    if plant is not small:
        by_weight = pruned(net, 0.01, layers=("body.1.body.0",))
        assert not set(gone(net, by_weight.module)["body.1.body.0"]) & set(PLANTED), "its weights alone do not tell"


def test_importance_finds_planted_channels_behind_a_shuffle():
    """Channels 2 and 13 of the enlarged maps, which the last convolution does not read, are 8 to 11 and 52 to 55 before the shuffle."""
    net = edsr()
    with torch.no_grad():
        net.tail[1].weight[:, [2, 13]] = 0
    found = pruned(net, 0.01, importance="activation", multiple=2, layers=TAIL)
    assert gone(net, found.module) == {"tail.0.0": [8, 9, 10, 11, 52, 53, 54, 55]}
    torch.testing.assert_close(found.module(picture()), net(picture()), atol=2e-6, rtol=0)


def test_layers_of_different_scale_compare():
    """One block's weights are a tenth of the others'; without regard for that, all channels would leave it."""
    net = edsr()
    with torch.no_grad():
        for layer in net.body[0].body[::2]:
            layer.weight.mul_(0.1)
    assert set(pruned(net, 0.14, layers=INNER).widths) == {f"body.{i}.body.0" for i in range(3)}


def test_a_larger_ratio_removes_what_a_smaller_one_did_and_more():
    net = edsr()
    removed = [{(name, c) for name, found in gone(net, pruned(net, ratio, shared=True).module).items() for c in found} for ratio in (0.1, 0.3, 0.5)]
    assert all(fewer < more for fewer, more in pairwise(removed))


class TestBlocks:
    def test_the_block_that_does_nothing_goes_first(self):
        net = edsr(blocks=4)
        with torch.no_grad():
            for value in (net.body[2].body[2].weight, net.body[2].body[2].bias):
                value.zero_()
        result = pruned(net, 0.1, blocks=1)
        assert result.blocks == ("body.2",) and not result.widths
        assert len(result.module.body) == 4 and result.macs[1] / result.macs[0] < 0.9
        assert torch.equal(result.module(picture()), net(picture()))

    def test_it_equals_the_network_without_them(self):
        net = edsr(blocks=4)
        result = pruned(net, 0.2, blocks=2)
        expected = copy.deepcopy(net)
        for name in result.blocks:
            setattr(expected.body, name.removeprefix("body."), nn.Identity())
        assert len(set(result.blocks)) == 2 and not result.widths and sum(isinstance(m, ResidualBlock) for m in result.module.modules()) == 2
        assert torch.equal(result.module(picture()), expected(picture())) and torch.equal(rebuilt(result.module)(picture()), expected(picture()))

    def test_channels_make_up_for_what_blocks_leave(self):
        result = pruned(edsr(blocks=4), 0.5, blocks=1)
        assert len(result.blocks) == 1 and result.widths and 0.38 < result.macs[1] / result.macs[0] <= 0.5

    def test_one_stays(self):
        with pytest.raises(InvalidFile, match=r"^2 residual blocks can be removed, got blocks = 3; expected at most that$"):
            pruned(edsr(), blocks=3)

    def test_they_need_tiles(self):
        with pytest.raises(InvalidFile, match="removing blocks needs calibration tiles, got none"):
            pruned(edsr(), blocks=1, tiles=[])


def test_the_authors_range_and_mean_survive():
    net = edsr(image_range=255.0, mean=(0.4, 0.5, 0.6))
    result = pruned(net, 0.3, shared=True)
    again = rebuilt(result.module)
    assert again.image_range == 255 and torch.allclose(again.mean, net.mean)
    torch.testing.assert_close(again(picture()), result.module(picture()), atol=2e-6, rtol=0)
    torch.testing.assert_close(result.module(picture()), masked(net, gone(net, result.module))(picture()), atol=1e-5, rtol=0)


def test_what_cannot_be_rebuilt_is_kept_with_the_reason():
    result = pruned(seeded(UNet, (8, 16, 32)))
    assert result.kept["down.0"] == "the network's builder cannot read its width from a state dict"


def test_zero_dce_has_one_width_for_all_so_nothing_can_go():
    net = seeded(ZeroDCE, 8)
    with pytest.raises(
        InvalidFile, match=r"^no channel of this network can be pruned \(.*builder cannot read.*\); expected other layers or shared = true$"
    ):
        pruned(net)
    alone = pruned(net, rebuild=None)
    torch.testing.assert_close(alone.module(picture()), masked(net, gone(net, alone.module))(picture()), atol=2e-6, rtol=0)


class TestCost:
    def test_a_timer_decides(self):
        """A clock that sees only the head: all else is free, and must stay."""
        calls = []

        def clock(net: nn.Module) -> float:
            calls.append(net)
            return net.head[0].weight.numel() / 100

        result = pruned(edsr(), 0.4, cost="latency", shared=True, latency_ms=clock)
        assert result.cost == (pytest.approx(4.32), pytest.approx(2.16)) and result.widths["head.0"] == (16, 8)
        assert 3 <= len(calls) <= 12, "each call may take ten seconds"

    def test_a_timer_that_counts_parameters_is_cost_parameters(self):
        timed = pruned(edsr(), cost="latency", latency_ms=lambda net: sum(p.numel() for p in net.parameters()) / 1000)
        counted = pruned(edsr(), cost="parameters")
        assert timed.widths == counted.widths and timed.cost == pytest.approx(tuple(n / 1000 for n in counted.cost))

    def test_latency_without_a_timer_is_refused(self):
        with pytest.raises(InvalidFile, match="cost 'latency' needs a backend that can be timed here; use cost 'macs', or name a target"):
            pruned(edsr(), cost="latency")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"ratio": 0.95},
            r"^at most \d\d% of the macs can be removed, got ratio 0\.95; expected less: choose a smaller ratio, .*head\.0: a sum ties it",
        ),
        ({"ratio": 0.9, "cost": "parameters"}, r"^at most \d\d% of the parameters"),
        ({"layers": ("body.*", "nose.*")}, r"^prune: layers: 'nose\.\*' fits no convolution; they are head\.0, body\.0\.body\.0, "),
        ({"layers": ("tail.1",)}, r"^no channel of this network can be pruned \(.*\); expected other layers or shared = true$"),
        ({"multiple": 16}, r"^no channel .*has 16 channels, not more than the multiple of 16"),
        ({"importance": "taylor", "tiles": []}, r"^importance 'taylor' needs calibration tiles, got none; .*importance 'l1'$"),
        ({"importance": "activation", "tiles": []}, r"^importance 'activation' needs calibration tiles"),
    ],
)
def test_what_cannot_be_done_is_said(settings, line):
    with pytest.raises(InvalidFile, match=line):
        pruned(edsr(), **settings)


def test_without_torch_pruning_the_pip_line_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(MissingToolchain, match=r'^pruning needs torch-pruning: pip install "edgekit\[prune\]"$'):
        pruned(edsr())
