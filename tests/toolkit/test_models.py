"""The table of built-in networks, and checkpoints by path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgekit import models
from edgekit.errors import InvalidCheckpoint, InvalidFile, UnknownName
from edgekit.models import checkpoint
from edgekit.models.edsr import EDSR
from edgekit.models.edsr_mobile import EDSRMobile
from edgekit.models.unet import UNet
from edgekit.models.zero_dce import ZeroDCE

KNOWN = "denoise, edsr, edsr-mobile, edsr-x4, lowlight"


def save_tiny(path, scale=2):
    torch.manual_seed(0)
    net = EDSR(scale, blocks=2, channels=8).eval()
    torch.save(net.state_dict(), path)
    return net


@pytest.mark.parametrize("name", models.names())
def test_built_ins_load_with_their_weights(name):
    entry, enhancer = models.entry(name), models.load(name)
    assert (enhancer.name, enhancer.scale, enhancer.licence, enhancer.source) == (name, entry.scale, entry.licence, entry.source)
    assert len(enhancer.sha256) == 64
    assert not enhancer.module.training and not any(p.requires_grad for p in enhancer.module.parameters())
    assert sum(p.numel() for p in entry.merge(entry.build()).parameters()) == sum(p.numel() for p in enhancer.module.parameters())
    clean = torch.rand(1, 3, 24, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert enhancer.module(*enhancer.degrade(clean)).shape == clean.shape


def test_built_in_edsr_is_trained():
    """It restores a smooth pattern better than bicubic enlargement does; random weights are 20 dB worse."""
    enhancer = models.load("edsr")
    y, x = torch.meshgrid(torch.linspace(0, 1, 96), torch.linspace(0, 1, 96), indexing="ij")
    clean = (0.5 + 0.4 * torch.sin(60 * (x + y**2))).expand(1, 3, 96, 96).contiguous()
    (small,) = enhancer.degrade(clean)
    with torch.no_grad():
        error = (enhancer.module(small) - clean)[..., 8:-8, 8:-8].square().mean()
    bicubic = (torch.nn.functional.interpolate(small, scale_factor=2, mode="bicubic") - clean)[..., 8:-8, 8:-8].square().mean()
    assert error < bicubic


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("suffix", checkpoint.SUFFIXES[1:])
def test_a_checkpoint_by_path(tmp_path, scale, suffix):
    path = tmp_path / f"mine{suffix}"
    net, x = save_tiny(path, scale), torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    enhancer = models.load(str(path))
    assert (enhancer.name, enhancer.scale, enhancer.source, enhancer.licence) == ("mine", scale, path.name, "unknown")
    assert enhancer.sha256 == checkpoint.sha256(path)
    assert enhancer.degrade(torch.rand(1, 3, 12 * scale, 12 * scale))[0].shape == (1, 3, 12, 12)
    with torch.no_grad():
        assert torch.equal(enhancer.module(x), net(x))


SMALL = {
    "edsr": (lambda: EDSR(2, blocks=2, channels=8), 2, 1),
    "edsr-x4": (lambda: EDSR(4, blocks=2, channels=8), 4, 1),
    "edsr-mobile": (lambda: EDSRMobile(3, (8, 4)), 3, 1),
    "denoise": (lambda: UNet((4, 6, 8)), 1, 4),
    "lowlight": (lambda: ZeroDCE(8, 3), 1, 1),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_checkpoint_is_recognized_by_its_tensors(tmp_path, name):
    """Its contract comes with it: scale, stride, and how its inputs are made."""
    build, scale, multiple_of = SMALL[name]
    torch.manual_seed(0)
    net, clean = build().eval(), torch.rand(1, 3, 24, 48, generator=torch.Generator().manual_seed(0))
    torch.save(net.state_dict(), tmp_path / "mine.pth")
    enhancer = models.load(str(tmp_path / "mine.pth"))
    assert type(enhancer.module) is type(net) and (enhancer.scale, enhancer.multiple_of) == (scale, multiple_of)
    (given,), (expected,) = enhancer.degrade(clean), models.entry(name).architecture.contract(net).degrade(clean)
    assert torch.equal(given, expected) and given.shape == (1, 3, 24 // scale, 48 // scale)
    with torch.no_grad():
        assert torch.equal(enhancer.module(given), net(given)) and enhancer.module(given).shape == clean.shape


def test_every_built_in_has_a_small_one_here():
    assert sorted(SMALL) == models.names()


@pytest.mark.parametrize("name", SMALL)
def test_no_network_takes_anothers_tensors(tmp_path, name):
    """One line that names what does not fit, whichever network meets whichever weights."""
    for other, (build, _, _) in SMALL.items():
        state = build().state_dict()
        same = models.entry(other).architecture is models.entry(name).architecture
        assert models.entry(name).architecture.matches(state) is same
        torch.save(state, tmp_path / "other.pth")
        if not same:
            with pytest.raises(InvalidCheckpoint, match=r"other\.pth: the tensors do not fit "):
                models.load(name, tmp_path / "other.pth")


def test_other_weights_for_a_built_in(tmp_path):
    save_tiny(tmp_path / "mine.pth", 3)
    enhancer = models.load("edsr", tmp_path / "mine.pth")
    assert (enhancer.name, enhancer.scale, enhancer.source, enhancer.licence) == ("edsr", 3, "mine.pth", "unknown")


def test_unknown_names_offer_the_closest():
    with pytest.raises(UnknownName, match=rf"^no model named 'esdr'; known: {KNOWN} \(did you mean 'edsr'\?\)$"):
        models.load("esdr")
    with pytest.raises(UnknownName, match="no model named 'zzz'"):
        models.entry("zzz")


def test_wrong_tensors_are_named_with_the_file(tmp_path):
    net = EDSR(blocks=1, channels=8)
    state = {k: v for k, v in net.state_dict().items() if not k.startswith("tail.1")}
    torch.save({**state, "tail.1.weight": torch.zeros(1, 8, 3, 3), "foo": torch.zeros(1)}, tmp_path / "x.pth")
    expected = r"x\.pth: the tensors do not fit EDSR: 'tail.1.bias' is missing; 'foo' is unexpected; 'tail.1.weight' is \(1, 8, 3, 3\), expected \(3, 8, 3, 3\)$"
    with pytest.raises(InvalidCheckpoint, match=expected):
        models.load(str(tmp_path / "x.pth"))


def test_another_network_is_named_by_its_tensors(tmp_path):
    torch.save({f"layer{i}.weight": torch.zeros(1) for i in range(5)}, tmp_path / "x.pth")
    with pytest.raises(InvalidCheckpoint) as caught:
        models.load(str(tmp_path / "x.pth"))
    line = str(caught.value)
    assert (
        "x.pth: its tensors ('layer0.weight', 'layer1.weight', 'layer2.weight' ...) fit no known network of edgekit's or spandrel's; expected one of "
        in line
    )
    assert line.endswith("or give --model package.module:factory (toolkit/docs/your-model.md)")


@pytest.mark.parametrize("prefix", ["netG.", "generator."])
def test_a_checkpoint_of_gan_training(tmp_path, prefix):
    """The discriminator beside it is left out."""
    net = EDSR(2, blocks=2, channels=8).eval()
    state = {f"{prefix}{k}": v for k, v in net.state_dict().items()} | {"netD.0.weight": torch.zeros(3)}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "x.ckpt")
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(models.load(str(tmp_path / "x.ckpt")).module(x), net(x))


def test_half_precision_weights_become_float32(tmp_path):
    net = EDSR(2, blocks=2, channels=8).eval()
    torch.save({k: v.half() for k, v in net.state_dict().items()}, tmp_path / "x.pth")
    module = models.load(str(tmp_path / "x.pth")).module
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert torch.equal(module.state_dict()["head.0.weight"], net.head[0].weight.half().float())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "net.onnx",
            rf"net.onnx: is neither a built-in name \({KNOWN}\) nor one of .safetensors, .pth, .pt, .ckpt, .pt2 nor package.module:factory$",
        ),
        ("my package:factory", "is neither a built-in name"),
        ("folder/net", "is neither a built-in name"),
    ],
)
def test_what_cannot_be_loaded_says_so(name, message):
    with pytest.raises(InvalidFile, match=message):
        models.load(name)


def test_two_checkpoints_at_once(tmp_path):
    with pytest.raises(InvalidFile, match="is a checkpoint already, and --weights b.pth is another"):
        models.load(str(tmp_path / "a.pth"), tmp_path / "b.pth")


def test_a_contract_for_a_network_whose_contract_is_known():
    with pytest.raises(InvalidFile, match="edsr: its image contract is known, and --contract x.toml is another; expected one of them"):
        models.load("edsr", contract=Path("x.toml"))


def test_missing_shipped_weights_are_one_line(monkeypatch):
    monkeypatch.setattr(models, "MODELS", (replace(models.entry("edsr"), weights="gone.safetensors"),))
    with pytest.raises(InvalidCheckpoint, match=r"gone\.safetensors: cannot be read"):
        models.load("edsr")
