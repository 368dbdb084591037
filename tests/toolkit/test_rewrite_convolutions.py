"""What goes into convolutions: normalizations, branches, ranges, channel orders, chains, output padding."""

from functools import reduce
from operator import add

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, exact, operators, picture, seeded, untouched
from torch import nn

from edgekit.enhancer import ImageSpec
from edgekit.models.pixels import Pixels


class Sum(nn.Module):
    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return reduce(add, [branch(x) for branch in self.branches])


@EXACT
@given(seed=st.integers(0, 99), groups=st.sampled_from([1, 2]), stride=st.integers(1, 2), dilation=st.integers(1, 2), transposed=st.booleans())
def test_batch_norm_goes_into_the_convolution_before_it(seed, groups, stride, dilation, transposed):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    net = seeded(nn.Sequential(kind(4, 6, 3, stride, 1, groups=groups, dilation=dilation, bias=bool(seed % 2)), nn.BatchNorm2d(6), nn.ReLU()), seed)
    result = exact(net, picture(4), "fold_batch_norm")
    assert result.changes == {"fold_batch_norm": 1} and set(operators(result)) == {"conv_transpose2d" if transposed else "conv2d", "relu"}
    assert {"0.weight", "0.bias"} == {name for name, _ in result.module.named_parameters()}


def test_batch_norm_across_a_shuffle_and_before_a_convolution():
    shuffled = seeded(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PixelShuffle(2), nn.BatchNorm2d(2)))
    assert operators(exact(shuffled, picture(), "fold_batch_norm")) == {"conv2d": 1, "pixel_shuffle": 1}
    first = seeded(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, padding=1)))
    assert operators(exact(first, picture(), "fold_batch_norm", "fold_scales", "fold_mean_shift")) == {"conv2d": 1, "constant_pad_nd": 1}
    alone = seeded(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.ReLU(), nn.InstanceNorm2d(3, affine=True, track_running_stats=True)))
    assert operators(exact(alone, picture(), "fold_batch_norm")) == {"relu": 2, "mul": 2, "add": 2}


def test_a_second_reader_keeps_its_values_and_statistics_of_the_picture_stay():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) * y

    assert operators(exact(seeded(Two()), picture(), "fold_batch_norm")) == {"conv2d": 1, "mul": 2, "add": 1}
    untouched(
        seeded(nn.Sequential(nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False))), picture(), "fold_batch_norm"
    )


def test_a_module_that_is_called_twice_keeps_its_weights_for_the_other_call():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.conv(self.norm(self.conv(x)).relu()) * 3

    result = exact(seeded(Twice()), picture(), "fold_batch_norm", "fold_scales")
    assert result.changes == {"fold_batch_norm": 1, "fold_scales": 1}
    assert {name.split(".")[0] for name, _ in result.module.named_parameters()} == {"conv", "conv_2"}


@EXACT
@given(
    seed=st.integers(0, 99), stride=st.integers(1, 2), groups=st.sampled_from([1, 2, 4]), kernels=st.permutations([(3, 3), (1, 1), (1, 3), (5, 5)])
)
def test_parallel_convolutions_become_one(seed, stride, groups, kernels):
    branches = [nn.Conv2d(4, 8, k, stride, (k[0] // 2, k[1] // 2), groups=groups, bias=i > 0) for i, k in enumerate(kernels)]
    result = exact(seeded(Sum(*branches), seed), picture(4), "merge_branches")
    assert result.changes == {"merge_branches": 3} and operators(result) == {"conv2d": 1}


def test_repvgg_in_training_form_becomes_one_convolution():
    def branch(kernel: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(4, 4, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(4))

    net = seeded(nn.Sequential(Sum(branch(3), branch(1), nn.BatchNorm2d(4)), nn.ReLU(), Sum(nn.Identity(), nn.Conv2d(4, 4, 3, padding=1, groups=2))))
    result = exact(net, picture(4), "fold_batch_norm", "merge_branches", "fold_mean_shift")
    assert result.changes["merge_branches"] == 3 and operators(result) == {"conv2d": 2, "relu": 1}


def test_branches_that_do_not_cover_each_other_stay():
    for other in (nn.Conv2d(4, 4, 3, padding=2, dilation=2), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU()):
        untouched(seeded(Sum(nn.Conv2d(4, 4, 3, padding=1), other)), picture(4), "merge_branches")
    dense_costs_more = Sum(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 4, 1))
    untouched(seeded(dense_costs_more), picture(4), "merge_branches")


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
@pytest.mark.parametrize("first", [nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(3, 4, 5))])
@pytest.mark.parametrize("last", [nn.Conv2d(4, 3, 3, padding=1), nn.Sequential(nn.Conv2d(4, 12, 3, padding=1), nn.PixelShuffle(2))])
def test_range_mean_and_channel_order_disappear_into_the_convolutions(colour, first, last):
    spec = ImageSpec("image", 3, colour, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.5))
    net = seeded(nn.Sequential(first, nn.ReLU(), last))
    wrapped = Pixels(net, (spec,), (spec,)).double().eval()
    result = exact(wrapped, picture(), "fold_channel_order", "fold_scales", "fold_mean_shift", "clamp")
    kept = {"conv2d", "relu", "clamp", "constant_pad_nd", "pad", "pixel_shuffle"}
    assert set(operators(result)) <= kept and operators(result)["clamp"] == 1
    assert result.changes["fold_channel_order"] == (2 if colour == "bgr" else 0)


def test_channel_orders_that_meet_no_convolution_become_slices():
    class Flip(nn.Module):
        def forward(self, x):
            return x.flip(1) + x[:, torch.tensor([2, 0, 1])]

    result = exact(Flip().eval(), picture(), "freeze_parameters", "fold_channel_order")
    assert result.changes["fold_channel_order"] == 0 and set(operators(result)) == {"slice", "cat", "add"}

    class Spatial(nn.Module):
        def forward(self, x):
            return torch.cat([x.flip(2), x[:, :1] * 2, x[:, 1:2]], 1)

    untouched(Spatial().eval(), picture(), "fold_channel_order")


def test_affines_in_either_order_fold_and_those_over_pixels_stay():
    class Affine(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return (self.conv(x * 2 - 1) + 1) / 2

    assert operators(exact(seeded(Affine()), picture(), "fold_scales", "fold_mean_shift")) == {"constant_pad_nd": 1, "conv2d": 1}

    class OverPixels(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.register_buffer("vignette", torch.rand(1, 1, 9, 11))

        def forward(self, x):
            return self.conv(x) * self.vignette + self.vignette

    untouched(seeded(OverPixels()), picture(), "fold_scales", "fold_mean_shift")


@EXACT
@given(seed=st.integers(0, 99), scale=st.sampled_from([1, 2, 3]), kernels=st.sampled_from([(1, 3), (3, 1), (1, 1), (1, 5)]))
def test_chains_with_a_pointwise_convolution_collapse_to_the_last_pixel(seed, scale, kernels):
    first, second = (nn.Conv2d(i, o, k, padding=k // 2) for i, o, k in zip((3, 16), (16 * scale**2, 3), kernels, strict=True))
    net = seeded(nn.Sequential(first, nn.PixelShuffle(scale) if scale > 1 else nn.Identity(), second), seed)
    result = exact(net, picture(), "collapse_linear")
    assert result.changes["collapse_linear"] == 1 and operators(result)["conv2d"] == 1


@pytest.mark.parametrize("kernels,ring", [((3, 3), 2), ((3, 5), 3)])
def test_chains_of_larger_kernels_collapse_inside_the_ring_unless_the_network_is_global(kernels, ring):
    chain = (nn.Conv2d(3, 24, kernels[0], padding=kernels[0] // 2), nn.Conv2d(24, 3, kernels[1], padding=kernels[1] // 2))
    assert operators(exact(seeded(nn.Sequential(*chain)), picture(), "collapse_linear", ring=ring)) == {"conv2d": 1}
    untouched(seeded(nn.Sequential(*chain, nn.InstanceNorm2d(3))), picture(), "collapse_linear")


@EXACT
@given(
    seed=st.integers(0, 99),
    stride=st.integers(2, 3),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 3]),
    extra=st.tuples(*[st.integers(0, 1)] * 2),
)
def test_output_padding_becomes_zeros_in_the_kernel(seed, stride, dilation, groups, extra):
    net = seeded(nn.ConvTranspose2d(3, 6, 3, stride, 1, output_padding=extra, groups=groups, dilation=dilation), seed)
    changed = int(any(extra) and dilation == 1)
    result = exact(net, picture(), "output_padding")
    assert result.changes == {"output_padding": changed}
    if changed:
        (node,) = (n for n in result.module.graph.nodes if n.op == "call_function")
        assert node.args[5] == [0, 0]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [3, (4, 3), (1, 2)])
def test_named_paddings_become_numbers(padding, kernel):
    net = seeded(nn.Sequential(nn.Conv2d(3, 4, kernel, padding=padding, dilation=2 if padding == "valid" else 1), nn.BatchNorm2d(4)))
    result = exact(net, picture(), "explicit_padding", "fold_batch_norm")
    assert result.changes == {"explicit_padding": 1, "fold_batch_norm": 1} and operators(result)["conv2d"] == 1


class Centred(nn.Module):
    """A picture of 0 to 255 minus its mean colour, as a subtraction or as EDSR's and RCAN's 1x1 convolution."""

    def __init__(self, *, convolution: bool):
        super().__init__()
        self.mean, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.convolution = convolution

    def forward(self, x):
        return self.head(self.mean(x) if self.convolution else x - 114.0)


@pytest.mark.parametrize("convolution", [True, False])
def test_a_constant_channel_leaves_the_others_their_int8_levels(convolution):
    net = seeded(Centred(convolution=convolution))
    net.mean.weight.data, net.mean.bias.data = torch.eye(3).double().view(3, 3, 1, 1), torch.full((3,), -114.0).double()
    result = exact(net, picture() * 255, "fold_mean_shift", "collapse_linear")
    (weight,) = [p for p in result.module.parameters() if p.ndim == 4 and p.shape[1] == 4]
    own, constant = weight[:, :3].abs().amax((1, 2, 3)), weight[:, 3:].abs().amax((1, 2, 3))
    assert (constant <= 8 * own).all(), "in int8, a step is a hundredth of the largest weight"
