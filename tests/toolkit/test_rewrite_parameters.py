"""What depends on parameters only, and what depends on chance."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture, seeded, untouched
from torch import nn
from torch.nn.utils import parametrizations

from edgekit import rewrite
from edgekit.errors import LoweringError


def layers(result: rewrite.Rewritten) -> set[str]:
    return {str(n.args[1].target).removesuffix(".weight") for n in result.module.graph.nodes if "conv" in str(n.target)}


@EXACT
@given(seed=st.integers(0, 99), kind=st.sampled_from(["weight", "spectral", "old"]), transposed=st.booleans())
def test_normalized_weights_are_frozen_and_keep_their_layers_names(seed, kind, transposed):
    layer = (nn.ConvTranspose2d if transposed else nn.Conv2d)(3, 4, 3)
    normalized = {"weight": parametrizations.weight_norm, "spectral": parametrizations.spectral_norm, "old": nn.utils.weight_norm}[kind](layer)
    net = nn.Sequential(nn.Conv2d(3, 3, 1), normalized)
    result = exact(seeded(net, seed), picture(), "freeze_parameters")
    assert result.changes["freeze_parameters"] >= 1 and layers(result) == {"0", "1"} and len(operators(result)) == 1 + transposed


class Merged(nn.Module):
    """A 3x3 and a 1x1 convolution merged whenever it runs: into its result (False), or into `plain` (True), as SPAN's authors do."""

    def __init__(self, writes: bool) -> None:
        super().__init__()
        self.wide, self.point = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 1)
        self.plain = nn.Conv2d(3, 3, 3, padding=1)
        self.writes = writes

    def forward(self, x):
        if not self.writes:
            return F.conv2d(x, self.wide.weight + F.pad(self.point.weight, [1] * 4), self.wide.bias + self.point.bias, padding=1)
        self.plain.weight.data = self.wide.weight.data.clone() + F.pad(self.point.weight.data, [1] * 4)
        self.plain.bias.data = self.wide.bias.data + self.point.bias.data
        return self.plain(x)


@pytest.mark.parametrize("writes", [False, True])
def test_weights_that_are_merged_while_the_network_runs_are_frozen(writes):
    net = seeded(nn.Sequential(Merged(writes), nn.ReLU(), Merged(writes)))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    result = exact(net, picture(), "freeze_parameters")
    assert operators(result) == {"conv2d": 2, "relu": 1}
    assert layers(result) == ({"0.plain", "2.plain"} if writes else {"0", "2"})
    if not writes:
        assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


def test_weights_written_from_the_picture_are_refused():
    class Adaptive(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            self.conv.weight.data = x.data.mean() * torch.ones(3, 3, 1, 1, dtype=x.dtype)
            return self.conv(x)

    with pytest.raises(LoweringError, match="torch.export"):
        rewrite.to_graph(seeded(Adaptive()), (picture(),))


class Windows(nn.Module):
    """A mask written in place, a bias table read by index, and the mask again: what shifted windows do."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.rand(5, 3))
        self.register_buffer("index", torch.tensor([4, 0, 2, 2, 1, 3, 0, 1, 4, 3, 2]))

    def mask(self, x):
        mask = torch.zeros(1, 1, x.shape[2], 1, dtype=x.dtype)
        for number, rows in enumerate((slice(0, 4), slice(4, 9))):
            mask[:, :, rows] = number + 1
        return mask

    def forward(self, x):
        return x * self.mask(x) + self.table[self.index].t().view(1, 3, 1, 11) - self.mask(x)


def test_masks_and_tables_are_stored_and_equal_masks_once():
    result = exact(seeded(Windows()), picture(), "freeze_parameters")
    assert operators(result) == {"mul": 1, "add": 1, "sub": 1}
    assert result.changes == {"freeze_parameters": 4}, "two masks, a table, and the second mask is the first"
    assert len(list(result.module.named_parameters())) == 2


def test_what_a_picture_changes_in_place_is_no_constant():
    class Canvas(nn.Module):
        def forward(self, x):
            canvas = torch.zeros(1, 3, 9, 11, dtype=x.dtype)
            canvas.add_(x)
            return canvas * 2 + torch.ones(1, 3, 1, 1, dtype=x.dtype)

    class Pasted(nn.Module):
        def forward(self, x):
            canvas = torch.zeros(1, 3, 9, 11, dtype=x.dtype)
            canvas[:, :, 2:5] = x[:, :, 2:5]
            return canvas * 2

    result = exact(Canvas().eval(), picture(), "freeze_parameters")
    assert result.changes == {"freeze_parameters": 1} and "add_" in operators(result)
    assert "slice_scatter" in operators(exact(Pasted().eval(), picture(), "freeze_parameters"))


def test_constants_that_would_blow_up_the_file_stay_computed():
    class Broadcast(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows, self.columns = nn.Parameter(torch.rand(1, 1, 400, 1)), nn.Parameter(torch.rand(1, 1, 1, 400))

        def forward(self, x):
            return x + self.rows * self.columns

    untouched(seeded(Broadcast()), picture(1, 400, 400), "freeze_parameters")


def test_dropout_and_noise_that_changes_nothing_leave():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.drop, self.channels = nn.Conv2d(3, 3, 1), nn.Dropout(0.3), nn.Dropout2d(0.5)
            self.strength = nn.Parameter(torch.zeros(3, 1, 1))

        def forward(self, x):
            y = self.channels(self.drop(self.conv(x)))
            unused = y + torch.randn_like(y)
            del unused
            return sum([y + self.strength * torch.randn_like(y), torch.rand(y.shape, dtype=y.dtype) * 0])

    net = Noisy().double().eval()
    result = exact(net, picture(), "remove_noise")
    assert result.changes == {"remove_noise": 6} and operators(result) == {"conv2d": 1}


def test_noise_that_changes_the_picture_is_an_error_that_names_the_module():
    class Sampler(nn.Module):
        def forward(self, mean):
            return mean + torch.randn_like(mean)

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(3, 3, 1), Sampler())

        def forward(self, x):
            return self.encoder(x)

    with pytest.raises(LoweringError, match=r"'encoder.1' \(Sampler\) draws random numbers \(randn_like\).*make the noise an input"):
        rewrite.apply(VAE(), (picture().float(),), ("remove_noise",))

    class Dropped(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.25)

    with pytest.raises(LoweringError, match=r"the network drops values at random \(p = 0.25\)|Dropped drops values at random \(p = 0.25\)"):
        rewrite.apply(Dropped(), (picture(),), ("remove_noise",))
