"""The same tensors under other projects' names give the same network; published sizes have the published numbers of parameters."""

from __future__ import annotations

import re

import pytest
import torch

from edgekit.errors import InvalidCheckpoint
from edgekit.models import architectures, dncnn, edsr_bicubic, espcn, rdn, rrdbnet, span, srresnet, swinir


def renamed(state, rules):
    """The first pattern that fits the beginning of a key is replaced."""
    out = {}
    for key, value in state.items():
        pattern, new = next(((p, n) for p, n in rules if re.match(p, key)), ("^", ""))
        out[re.sub(f"^{pattern}", new, key)] = value
    return out


def network(build, **widths):
    torch.manual_seed(0)
    return build(**widths).eval()


def same(module, foreign, expected, picture):
    assert module.matches(foreign)
    with torch.no_grad():
        torch.testing.assert_close(module.from_state_dict(foreign).eval()(picture), expected, atol=2e-6, rtol=0)


@pytest.fixture
def picture():
    return torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(1))


LATER_ESRGAN = [
    (r"body\.(\d)\.rdb(\d)\.", r"RRDB_trunk.\1.RDB\2."),
    (r"conv_body\.", "trunk_conv."),
    (r"conv_up(\d)\.", r"upconv\1."),
    (r"conv_hr\.", "HRconv."),
]


def first_esrgan(blocks, doublings):
    behind = [f"conv_up{i + 1}" for i in range(doublings)] + ["conv_hr", "conv_last"]
    numbers = [3 * (i + 1) for i in range(doublings)] + [3 * doublings + 2, 3 * doublings + 4]  # an enlargement, a convolution and an activation each
    return [
        (r"conv_first\.", "model.0."),
        (r"body\.(\d)\.rdb(\d)\.conv(\d)\.", r"model.1.sub.\1.RDB\2.conv\3.0."),
        (r"conv_body\.", f"model.1.sub.{blocks}."),
        *((rf"{name}\.", f"model.{number}.") for name, number in zip(behind, numbers, strict=True)),
    ]


@pytest.mark.parametrize(("scale", "doublings"), [(4, 2), (2, 1), (8, 3), (1, 0)])
def test_esrgan_by_its_first_names(scale, doublings, picture):
    net = network(rrdbnet.RRDBNet, scale=scale, blocks=2, channels=6, growth=4, doublings=doublings)
    with torch.no_grad():
        expected = net(picture)
    foreign = renamed(net.state_dict(), first_esrgan(2, doublings))
    assert "model.1.sub.2.weight" in foreign and (
        doublings != 2 or {"model.3.weight", "model.6.weight", "model.8.weight", "model.10.bias"} <= set(foreign)
    )
    same(rrdbnet, foreign, expected, picture)
    assert rrdbnet.from_state_dict(foreign).scale == scale


def test_esrgan_by_its_later_names(picture):
    net = network(rrdbnet.RRDBNet, blocks=2, channels=6, growth=4)
    with torch.no_grad():
        same(rrdbnet, renamed(net.state_dict(), LATER_ESRGAN), net(picture), picture)


@pytest.mark.parametrize("scale", [1, 2])
def test_real_esrgan_folds_the_picture_where_it_enlarges_less(scale, picture):
    net = network(rrdbnet.RRDBNet, scale=scale, blocks=1, channels=6, growth=4)
    assert net.conv_first.in_channels == 3 * net.multiple_of**2 and net.multiple_of * scale == 4
    assert net(picture).shape == (1, 3, 12 * scale, 16 * scale)


@pytest.mark.parametrize(("scale", "stages"), [(2, 1), (3, 1), (4, 2)])
def test_rdn_by_edsr_pytorchs_names_and_range(scale, stages, picture):
    """That project's networks take and give 0..255."""
    net = network(rdn.RDN, scale=scale, blocks=2, channels=6, growth=4, layers=2)
    foreign = renamed(
        net.state_dict(),
        [
            (r"sfe(\d)\.", r"SFENet\1."),
            (r"rdbs\.(\d)\.layers\.(\d)\.conv\.", r"RDBs.\1.convs.\2.conv.0."),
            (r"rdbs\.(\d)\.lff\.", r"RDBs.\1.LFF."),
            (r"gff\.", "GFF."),
            (r"upscale\.(\d)\.", r"UPNet.\1."),
            (r"output\.", f"UPNet.{2 * stages}."),
        ],
    )
    with torch.no_grad():
        same(rdn, foreign, net(picture * 255) / 255, picture)


def test_espcn_by_lornatangs_names():
    net, luma = network(espcn.ESPCN, widths=(5, 4)), torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        same(espcn, renamed(net.state_dict(), [(r"first_part\.", "feature_maps."), (r"last_part\.", "sub_pixel.")]), net(luma), luma)


def test_srresnet_by_its_earlier_names(picture):
    net = network(srresnet.SRResNet, scale=2, blocks=1, channels=4)
    with torch.no_grad():
        same(srresnet, renamed(net.state_dict(), [(r"conv(\d)\.", r"conv_block\1.")]), net(picture), picture)


def test_dncnn_by_saoyans_names_without_biases(picture):
    net = network(dncnn.DnCNN, convolutions=4, channels=5)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias") and parameter.ndim == 1 and not isinstance(net.get_submodule(name.removesuffix(".bias")), torch.nn.BatchNorm2d):
                parameter.zero_()
        expected = net(picture)
    convolutions = {f"model.{i}" for i, layer in enumerate(net.model) if isinstance(layer, torch.nn.Conv2d)}
    foreign = {key.replace("model.", "dncnn."): value for key, value in net.state_dict().items() if key.removesuffix(".bias") not in convolutions}
    assert "dncnn.0.bias" not in foreign and "dncnn.3.bias" in foreign
    same(dncnn, foreign, expected, picture)


def test_swinir_with_the_masks_of_its_training_size(picture):
    net = network(swinir.SwinIR, channels=8, layers=(2,), heads=(2,), window=4, hidden=8, inner=4)
    mask = {"layers.0.residual_group.blocks.1.attn_mask": swinir.shift_mask(48, 48, 4)}
    with torch.no_grad():
        same(swinir, {**net.state_dict(), **mask}, net(picture), picture)


def test_the_video_network_is_told_from_the_single_picture_one():
    state = network(edsr_bicubic.EDSRBicubic, blocks=1, channels=4).state_dict()
    state["conv_in.0.weight"] = torch.zeros(4, 51, 3, 3)
    with pytest.raises(InvalidCheckpoint, match="takes 51 channels, expected 3: networks that read the previous frame too are for video"):
        edsr_bicubic.from_state_dict(state)


PUBLISHED = {
    "rrdbnet": ({}, 16.70),  # RealESRGAN_x4plus
    "srresnet": ({}, 1.55),
    "rdn": ({}, 22.27),
    "srvgg": ({"convolutions": 32}, 1.21),  # realesr-general-x4v3
    "nafnet": ({}, 29.16),  # NAFNet-SIDD-width32
    "restormer": ({}, 26.13),
    "swinir": ({}, 11.90),  # classical, x4
    "dncnn": ({"convolutions": 20, "normalized": False}, 0.67),  # KAIR's dncnn_color_blind
    "espcn": ({"scale": 3}, 0.02),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    widths, millions = PUBLISHED[name]
    with torch.device("meta"):
        net = architectures.named(name).build(**widths)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == millions


def test_swinir_lightweight_has_the_published_size():
    """The paper leaves the position tables out."""
    with torch.device("meta"):
        nets = [swinir.SwinIR(scale, 60, (6,) * 4, (6,) * 4, 8, 120, "direct") for scale in (2, 4)]
    sizes = [sum(p.numel() for name, p in net.named_parameters() if not name.endswith("bias_table")) for net in nets]
    assert [round(size / 1e3) for size in sizes] == [878, 897]


def test_span_has_the_published_size():
    """Its convolutions merged, which are what a phone runs."""
    net = span.SPAN(4, 48)
    merged = [part for layer in net.modules() if isinstance(layer, span.Conv3XC) for part in layer.merged()]
    plain = [p for name, p in net.named_parameters() if ".sk." not in name and ".conv." not in name]
    assert round(sum(p.numel() for p in (*merged, *plain)) / 1e3) == 426


def test_span_with_the_convolutions_that_its_authors_merged(picture):
    net = network(span.SPAN, scale=2, channels=4)
    copies = {
        f"{name}.eval_conv.{kind}": torch.zeros(1)
        for name, layer in net.named_modules()
        if isinstance(layer, span.Conv3XC)
        for kind in ("weight", "bias")
    }
    assert len(copies) == 40
    with torch.no_grad():
        same(span, {**net.state_dict(), **copies}, net(picture), picture)
