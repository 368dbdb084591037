"""Where a network's own arithmetic is more than a row of layers: against its definition, written out a second time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edgekit.models import ecbsr, nafnet, restormer, span, srvgg, swinir
from edgekit.models.degrade import downscale, luma_of, noisy


@pytest.fixture
def random():
    torch.manual_seed(0)
    return torch.randn


def test_nafnet_normalizes_each_pixel_over_its_channels(random):
    norm = nafnet.LayerNorm2d(7)
    with torch.no_grad():
        norm.weight.copy_(random(7))
        norm.bias.copy_(random(7))
    x = random(2, 7, 5, 4) * 3 + 1
    expected = F.layer_norm(x.permute(0, 2, 3, 1), (7,), norm.weight, norm.bias, 1e-6).permute(0, 3, 1, 2)
    torch.testing.assert_close(norm(x), expected, atol=1e-5, rtol=0)


def test_restormer_without_bias_divides_only(random):
    x = random(2, 6, 3, 4) + 2
    channels_last = x.permute(0, 2, 3, 1)
    expected = (channels_last / (channels_last.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()).permute(0, 3, 1, 2)
    torch.testing.assert_close(restormer.Norm(6, biased=False)(x), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(restormer.Norm(6, biased=True)(x), F.layer_norm(channels_last, (6,)).permute(0, 3, 1, 2), atol=1e-5, rtol=0)


def test_restormer_attends_between_channels(random):
    attention, x = restormer.Attention(4, 2, biased=True), random(1, 4, 3, 5)
    with torch.no_grad():
        attention.temperature.copy_(random(2, 1, 1))
        q, k, v = attention.qkv_dwconv(attention.qkv(x))[0].flatten(1).chunk(3)
        rows = []
        for head in range(2):
            mine = slice(2 * head, 2 * head + 2)
            unit_q, unit_k = (part[mine] / part[mine].norm(dim=1, keepdim=True) for part in (q, k))
            rows.append(torch.softmax(attention.temperature[head] * unit_q @ unit_k.T, 1) @ v[mine])
        expected = attention.project_out(torch.cat(rows).reshape(1, 4, 3, 5))
        torch.testing.assert_close(attention(x), expected, atol=1e-5, rtol=0)


def test_ecbsr_is_the_sum_of_its_branches(random):
    block, x = ecbsr.ECB(3, 5, middle=7, activate=True), random(2, 3, 6, 8)
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.requires_grad:
                parameter.copy_(random(parameter.shape))

        def padded(first):  # the 1x1 convolution's result, its own bias around it
            y = F.conv2d(x, first.k0) + 0
            return F.pad(y, (1, 1, 1, 1)) + first.b0.view(1, -1, 1, 1)

        expected = block.conv3x3(x) + F.conv2d(padded(block.conv1x1_3x3), block.conv1x1_3x3.k1, block.conv1x1_3x3.b1)
        for name in ("sbx", "sby", "lpl"):
            edge = block.get_submodule(f"conv1x1_{name}")
            expected = expected + F.conv2d(padded(edge), edge.scale * edge.mask, edge.bias, groups=5)
        torch.testing.assert_close(block(x), block.act(expected), atol=1e-4, rtol=0)


def test_ecbsr_filters_are_sobels_and_laplaces():
    for name, (axis, order) in {"sbx": (1, 1), "sby": (0, 1), "lpl": (0, 2)}.items():
        ramp = torch.arange(5.0) ** order
        picture = (ramp[:, None] if axis == 0 else ramp[None]).expand(5, 5)
        found = F.conv2d(picture[None, None], torch.tensor(ecbsr.EDGES[name])[None, None])
        assert torch.equal(found, torch.full((1, 1, 3, 3), {"sbx": -8.0, "sby": -8.0, "lpl": 2.0}[name]))


def test_span_trains_what_it_runs(random):
    conv, x = span.Conv3XC(3, 4), random(2, 3, 6, 7)
    with torch.no_grad():
        trained = conv.train()(x)
        torch.testing.assert_close(conv.eval()(x), trained, atol=1e-5, rtol=0)
        inner = conv.conv(F.pad(x, (1, 1, 1, 1))) + conv.sk(x)
    torch.testing.assert_close(trained, inner)


def test_srvgg_without_weights_is_the_nearest_enlargement(random):
    net, x = srvgg.SRVGGNetCompact(3, 1, 4), random(1, 3, 4, 5)
    torch.nn.init.zeros_(net.body[-1].weight)
    torch.nn.init.zeros_(net.body[-1].bias)
    assert torch.equal(net(x), x.repeat_interleave(3, 2).repeat_interleave(3, 3))


def test_windows_come_back(random):
    x = random(2, 8, 12, 3)
    windows = swinir.into_windows(x, 4)
    assert windows.shape == (12, 16, 3) and torch.equal(windows[1], x[0, :4, 4:8].reshape(16, 3))
    assert torch.equal(swinir.out_of_windows(windows, 4, 8, 12), x)


def test_relative_positions_name_each_distance_once():
    index = swinir.relative_positions(3)
    assert index.shape == (9, 9) and index.unique().tolist() == list(range(25))
    distances = {}
    for a in range(9):
        for b in range(9):
            distances.setdefault((a // 3 - b // 3, a % 3 - b % 3), set()).add(int(index[a, b]))
    assert len(distances) == 25 and all(len(found) == 1 for found in distances.values())
    assert int(index[0, 0]) == 12 and int(index[0, 8]) == 0 and int(index[8, 0]) == 24


def test_shifted_windows_do_not_see_across_the_border():
    """Two pixels that the shift brings into one window may see each other only if they were less than a window apart before it."""
    side, window = 8, 4
    where = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), -1).roll((-2, -2), (0, 1))
    places = swinir.into_windows(where[None].float(), window)
    near = ((places[:, :, None] - places[:, None]).abs() < window).all(-1)
    assert torch.equal(swinir.shift_mask(side, side, window) == 0, near)


def test_shifted_attention_is_plain_attention_moved(random):
    """Away from the border, a shifted layer does to a shifted picture what a plain one does to the plain one."""
    plain, shifted = (swinir.SwinLayer(4, 2, 4, 8, shifted=s).eval() for s in (False, True))
    shifted.load_state_dict(plain.state_dict())
    x = random(1, 16, 16, 4)
    mask = swinir.shift_mask(16, 16, 4)
    with torch.no_grad():
        a = plain(x.roll((-2, -2), (1, 2)), mask).roll((2, 2), (1, 2))
        torch.testing.assert_close(shifted(x, mask)[:, 2:-2, 2:-2], a[:, 2:-2, 2:-2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("degrade", [noisy(), downscale(2)])
def test_luma_of_the_degraded_picture(degrade):
    clean = (torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    (given,), (plain,) = luma_of(degrade)(clean), degrade(clean)
    expected = 0.299 * plain[:, :1] + 0.587 * plain[:, 1:2] + 0.114 * plain[:, 2:]
    assert given.dtype == torch.float32 and given.shape[1] == 1
    torch.testing.assert_close(given, expected, atol=1e-6, rtol=0)
