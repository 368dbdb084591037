"""A smaller network learns to answer as the whole one does: no labels, a seed, a limit, and rounding only while it trains."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgekit import distill, models
from edgekit.errors import InvalidFile
from edgekit.models.degrade import downscale, resize
from edgekit.models.edsr import EDSR
from edgekit.models.unet import UNet
from edgekit.prune import prune
from edgekit.recipe import Prune
from edgekit.train import Patches, TrainSettings

SETTINGS = TrainSettings(steps=4, batch=4, patch_px=12, learning_rate=1e-3)
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def patches(seed: int = 0, scale: int = 2) -> Patches:
    soft = resize(torch.rand(4, 3, 9, 9, generator=torch.Generator().manual_seed(seed)), 48, 48)
    crops = ((soft + 0.3 * (soft > 0.5)).clamp(0, 1) * 255).round().byte()
    return Patches(crops, 12, scale=scale, prepare=lambda clean: downscale(scale)(clean)[0] if scale > 1 else clean)


def teacher() -> EDSR:
    torch.manual_seed(0)
    return EDSR(2, blocks=2, channels=16).eval()


def student() -> nn.Module:
    """Half of the teacher's multiplications, or a little less."""
    return prune(teacher(), (torch.zeros(1, 3, 12, 12),), Prune(0.5, importance="l1", multiple=4, shared=True), []).module


def difference(one: nn.Module, other: nn.Module, inputs: Tensor) -> float:
    with torch.no_grad():
        return float((one(inputs) - other(inputs)).abs().mean())


@pytest.fixture(scope="module")
def held_out() -> Tensor:
    return patches(seed=7).sample(16, torch.Generator().manual_seed(1))[0]


def test_recovery_wins_the_teachers_pictures_back(held_out):
    small, whole = student(), teacher()
    before = difference(small, whole, held_out)
    result = distill.recover(small, whole, patches(), replace(SETTINGS, steps=60))
    assert difference(small, whole, held_out) < 0.4 * before
    assert result.steps == 60 and result.loss > 0


def test_the_teacher_stays_as_it_was_and_both_are_handed_back_ready(held_out):
    small, whole = student(), teacher()
    before = {key: value.clone() for key, value in whole.state_dict().items()}
    distill.recover(small, whole, patches(), SETTINGS)
    assert all(torch.equal(before[key], value) for key, value in whole.state_dict().items())
    assert not any(m.training or m._forward_hooks or m._forward_pre_hooks for net in (small, whole) for m in net.modules())
    assert not any(p.requires_grad for net in (small, whole) for p in net.parameters())
    assert torch.equal(models.rebuild(models.to_state_dict(small))(held_out), small(held_out))


def test_labels_do_not_matter():
    labelled, unlabelled, source = student(), student(), patches()
    distill.recover(labelled, teacher(), source, SETTINGS)
    source.clean = 255 - source.clean.flip(0)
    distill.recover(unlabelled, teacher(), source, SETTINGS)
    assert all(torch.equal(a, b) for a, b in zip(labelled.parameters(), unlabelled.parameters(), strict=True))


def test_blocks_of_equal_shape_guide_it(monkeypatch):
    """Inner channels are pruned, so the blocks hand on maps of the teacher's shape: their difference changes what is learned."""
    found = []
    for weight in (distill.FEATURES, 0.0):
        monkeypatch.setattr(distill, "FEATURES", weight)
        small = prune(teacher(), (torch.zeros(1, 3, 12, 12),), Prune(0.2, importance="l1", multiple=4), []).module
        distill.recover(small, teacher(), patches(), SETTINGS)
        found.append(small.head[0].weight)
    assert not torch.equal(*found)


@pytest.mark.parametrize("int8", [False, True])
def test_the_same_seed_gives_the_same_weights(int8):
    one, same, other = student(), student(), student()
    for network, seed in ((one, 0), (same, 0), (other, 1)):
        distill.recover(network, teacher(), patches(), replace(SETTINGS, seed=seed), int8=int8)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("int8", [False, True])
def test_a_stopped_recovery_goes_on(int8, tmp_path):
    file = tmp_path / "small.resume"
    first, again = student(), student()
    distill.recover(first, teacher(), patches(), SETTINGS, int8=int8, resume=file)
    assert distill.recover(again, teacher(), patches(), SETTINGS, int8=int8, resume=file).steps == 4
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)), "taken from the file"
    assert distill.recover(again, teacher(), patches(), replace(SETTINGS, steps=6), int8=int8, resume=file).steps == 6
    assert not torch.equal(first.head[0].weight, again.head[0].weight)
    torch.testing.assert_close(first.head[0].weight, again.head[0].weight, atol=2.5e-3, rtol=0)


class TestRounded:
    @pytest.mark.parametrize("make", [teacher, lambda: UNet((4, 8)).eval()], ids=["edsr", "unet"])
    def test_only_inside_the_block(self, make, held_out):
        torch.manual_seed(0)
        net = make()
        with torch.no_grad():
            plain, keys = net(held_out), list(net.state_dict())
            weights = {key: value.clone() for key, value in net.state_dict().items()}
            with distill.rounded(net):
                inside = net(held_out)
                levels = [
                    m.weight.transpose(0, 1) if isinstance(m, nn.ConvTranspose2d) else m.weight for m in net.modules() if isinstance(m, CONVOLUTIONS)
                ]
                assert all(len(channel.unique()) <= 255 for weight in levels for channel in weight)
            assert 1e-4 < (inside - plain).abs().max() < 0.05
            assert torch.equal(net(held_out), plain)
        assert sorted(net.state_dict()) == sorted(keys) and all(torch.equal(weights[key], value) for key, value in net.state_dict().items())
        assert not any(parametrize.is_parametrized(m) or m._forward_pre_hooks for m in net.modules())

    def test_inputs_have_256_levels(self):
        net, seen = nn.Conv2d(1, 1, 1, bias=False), []
        nn.init.ones_(net.weight)
        with distill.rounded(net), torch.no_grad():
            net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
            net(torch.linspace(-0.5, 1.5, 4096).view(1, 1, 64, 64))
        assert 250 <= len(seen[0].unique()) <= 256 and seen[0].unique().diff().min() == pytest.approx(2 / 255, rel=1e-3)

    def test_ranges_follow_slowly(self):
        """After a wide batch, a narrow one is still rounded coarsely."""
        net = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(net.weight)
        narrow = torch.linspace(0, 1, 4096).view(1, 1, 64, 64)
        with distill.rounded(net), torch.no_grad():
            net(narrow * 100)
            assert len(net(narrow).unique()) <= 4

    def test_a_failure_inside_leaves_an_ordinary_network(self):
        net = teacher()
        with pytest.raises(KeyError), distill.rounded(net):
            raise KeyError
        assert not any(parametrize.is_parametrized(m) or m._forward_pre_hooks for m in net.modules())

    def test_training_in_it_lowers_the_rounded_difference(self, held_out):
        small, whole = student(), teacher()

        def error() -> float:
            with distill.rounded(small):
                return difference(small, whole, held_out)

        before, keys = error(), sorted(small.state_dict())
        distill.recover(small, whole, patches(), replace(SETTINGS, steps=60), int8=True)
        assert error() < 0.5 * before
        plain = student()
        distill.recover(plain, whole, patches(), replace(SETTINGS, steps=60))
        assert not torch.equal(plain.head[0].weight, small.head[0].weight), "it learned something else than without rounding"
        assert sorted(small.state_dict()) == keys and not any(parametrize.is_parametrized(m) for m in small.modules())


def test_another_scale_is_refused():
    torch.manual_seed(0)
    other, whole = EDSR(3, blocks=2, channels=8), teacher()
    with pytest.raises(
        InvalidFile, match=r"^the student gives pictures of \(1, 3, 36, 36\), the teacher \(1, 3, 24, 24\); expected the same task and scale$"
    ):
        distill.recover(other, whole, patches(), SETTINGS)
    assert not any(m._forward_hooks for net in (other, whole) for m in net.modules())
