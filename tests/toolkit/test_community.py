"""Checkpoints of the community, recognized and built by spandrel from the tensors that our reader took out of the file."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from edgekit import models
from edgekit.errors import InvalidCheckpoint
from edgekit.models import architectures, checkpoint, community

pytestmark = pytest.mark.skipif(find_spec("spandrel") is None, reason="the extra 'checkpoints' is not installed")


def test_every_architecture_is_there():
    """Also those that import torchvision, whose operators do not load beside a CPU build of torch."""
    found = community.names()
    assert len(found) >= 36 and {"LaMa", "RestoreFormer", "ESRGAN", "HAT", "PLKSR", "SAFMN"} <= set(found)


def plksr() -> nn.Module:
    community.registry()
    from spandrel.architectures.PLKSR.__arch.PLKSR import PLKSR

    torch.manual_seed(0)
    return PLKSR(dim=16, n_blocks=1, upscaling_factor=2).eval()


def uformer() -> nn.Module:
    community.registry()
    from spandrel.architectures.Uformer.__arch.Uformer import Uformer

    torch.manual_seed(0)
    return Uformer(embed_dim=8, depths=[1] * 9, win_size=8).eval()


def save(net: nn.Module, path, **wrapped):
    state = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    torch.save({"params_ema": {f"module.{k}": v for k, v in state.items()}, **wrapped}, path)


def test_a_checkpoint_of_a_network_that_edgekit_does_not_have(tmp_path):
    net = plksr()
    assert architectures.recognized(net.state_dict()) is None
    save(net, tmp_path / "2x_mine.pth", iter=5000)
    enhancer = models.load(str(tmp_path / "2x_mine.pth"))
    assert (enhancer.name, enhancer.scale, enhancer.tiling, enhancer.multiple_of) == ("2x_mine", 2, "exact", 1)
    assert enhancer.probed[0] == "architecture PLKSR (spandrel)"
    assert enhancer.sha256 == checkpoint.sha256(tmp_path / "2x_mine.pth")
    x = torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        assert torch.allclose(enhancer.module(x), net(x), atol=2e-3)  # its weights were saved in half precision
    assert enhancer.degrade(torch.rand(1, 3, 32, 32))[0].shape == (1, 3, 16, 16)


def test_size_requirements_are_respected(tmp_path):
    """Square sides in multiples of 128: one size, no tiles."""
    torch.save(uformer().state_dict(), tmp_path / "x.pth")
    enhancer = models.load(str(tmp_path / "x.pth"))
    assert (enhancer.tiling, enhancer.only) == ("whole", (128, 128))


def test_names_that_fit_and_tensors_that_do_not(tmp_path):
    state = {k: torch.zeros(2) for k in plksr().state_dict()}
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(InvalidCheckpoint, match=r"x\.pth: its names are those of PLKSR, but its tensors do not fit it: "):
        models.load(str(tmp_path / "x.pth"))


def test_without_spandrel_there_is_a_pip_line(tmp_path, monkeypatch):
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pth")
    community.registry.cache_clear()
    monkeypatch.setattr(community, "find_spec", lambda name: None)
    with pytest.raises(InvalidCheckpoint) as caught:
        models.load(str(tmp_path / "x.pth"))
    assert "fit no known network of edgekit's own; expected spandrel" in str(caught.value) and 'pip install "edgekit[checkpoints]"' in str(
        caught.value
    )
    community.registry.cache_clear()


def test_our_own_networks_need_no_spandrel(tmp_path, monkeypatch):
    """The table comes first."""
    monkeypatch.setitem(sys.modules, "spandrel", None)
    monkeypatch.setattr(community, "registry", lambda: pytest.fail("spandrel was asked"))
    torch.save(models.load("edsr-mobile").module.state_dict(), tmp_path / "x.pth")
    assert models.load(str(tmp_path / "x.pth")).scale == 2
