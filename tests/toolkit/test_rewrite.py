"""Every rewrite is exact: same function, and it really changed something."""

import pytest
import torch
from torch import nn

from edgekit import rewrite
from edgekit.errors import LoweringError, UnknownName
from edgekit.models.edsr import EDSR


def edsr(scale: int, **options) -> EDSR:
    torch.manual_seed(0)
    return EDSR(scale, blocks=2, channels=8, **options).eval()


def picture(side: int = 20) -> tuple[torch.Tensor]:
    return (torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)),)


def targets(module) -> list[str]:
    return [str(n.target) for n in module.graph.nodes if n.op == "call_function"]


@pytest.mark.parametrize("image_range,residual_scale", [(1.0, 1.0), (255.0, 0.1)])
def test_scales_and_mean_fold_exactly_to_the_last_pixel(image_range, residual_scale):
    net, x = edsr(2, image_range=image_range, residual_scale=residual_scale), picture()
    out = rewrite.apply(net, x, ("fold_scales", "fold_mean_shift"))
    assert out.changes["fold_mean_shift"] == 2
    assert out.changes["fold_scales"] == (0 if image_range == 1 else 1 + 2 + 1)
    assert not any(op.startswith(("aten.mul", "aten.div", "aten.sub")) for op in targets(out.module))
    assert torch.allclose(out.module(*x), net(*x), atol=2e-6)


@pytest.mark.parametrize("scale,ring", [(2, 1), (3, 1), (4, 3)])
def test_the_collapsed_tail_is_exact_inside_the_ring(scale, ring):
    net, x = edsr(scale), picture()
    out = rewrite.apply(net, x, ("collapse_linear",))
    assert out.changes["collapse_linear"] >= 1
    assert sum("pixel_shuffle" in op for op in targets(out.module)) == 1
    assert sum("conv2d" in op for op in targets(out.module)) == 1 + 2 * 2 + 1 + 1
    inside = (..., slice(ring, -ring), slice(ring, -ring))
    difference = (out.module(*x) - net(*x)).abs()
    assert difference[inside].max() < 2e-6
    assert difference.max() > 1e-4, "the ring is expected to differ; if it does not, the documentation is wrong"


def test_a_chain_that_would_cost_more_is_left_alone():
    # A narrow middle: 64 -> 4 (1x1), shuffle, 1 -> 64 (3x3) costs 2 560 per input pixel, collapsed 147 456.
    net = nn.Sequential(nn.Conv2d(3, 64, 1), nn.ReLU(), nn.Conv2d(64, 4, 1), nn.PixelShuffle(2), nn.Conv2d(1, 64, 3, padding=1)).eval()
    assert rewrite.apply(net, picture(), ("collapse_linear",)).changes == {"collapse_linear": 0}


def test_a_nonlinearity_or_a_second_reader_stops_the_collapse():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            y = nn.functional.pixel_shuffle(self.a(x), 2)
            return self.b(y) + y

    assert rewrite.apply(Two().eval(), picture(), ("collapse_linear",)).changes == {"collapse_linear": 0}
    relu = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1)).eval()
    assert rewrite.apply(relu, picture(), ("collapse_linear",)).changes == {"collapse_linear": 0}


def test_clamp_stands_before_the_shuffle_and_clamps():
    net = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2)).eval()
    nn.init.constant_(net[0].bias, 0.9)
    x = picture()
    out = rewrite.apply(net, x, ("clamp",)).module
    assert targets(out) == ["aten.conv2d.default", "aten.clamp.default", "aten.pixel_shuffle.default"]
    assert torch.equal(out(*x), net(*x).clamp(0, 1)) and (net(*x) > 1).any()


def test_uint8_io_equals_the_float_network_on_the_8_bit_grid():
    net, pixels = edsr(2), torch.randint(0, 256, (1, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    out = rewrite.apply(net, (pixels.float() / 255,), ("fold_scales", "fold_mean_shift", "collapse_linear", "clamp", "uint8_io")).module
    got = out(pixels)
    assert got.dtype == torch.uint8
    want = (net(pixels.float() / 255).clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    inside = (..., slice(1, -1), slice(1, -1))
    assert (got[inside].int() - want[inside].int()).abs().max() <= 1
    torch.export.export(out, (pixels,))


def test_the_network_itself_is_not_changed():
    net, x = edsr(2), picture()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    rewrite.apply(net, x, ("fold_scales", "fold_mean_shift", "collapse_linear", "clamp"))
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_layer_names_survive():
    out = rewrite.apply(edsr(2), picture(), ("fold_scales", "fold_mean_shift", "collapse_linear", "clamp")).module
    names = {name.removesuffix(".weight") for name, _ in out.named_parameters()}
    assert {"head.0", "body.0.body.0", "body.2", "tail.0.0_tail_1"} <= names


def test_errors_say_what():
    with pytest.raises(UnknownName, match="no rewrite named 'collapse'.*did you mean 'collapse_linear'"):
        rewrite.apply(edsr(2), picture(), ("collapse",))

    class Untraceable(nn.Module):
        def forward(self, x):
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(LoweringError, match="torch.export could not trace"):
        rewrite.to_graph(Untraceable(), picture())
