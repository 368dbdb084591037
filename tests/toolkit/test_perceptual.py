"""LPIPS without its weights (the usual case), and with a stand-in package: nothing is ever fetched."""

from types import SimpleNamespace

import pytest
import torch

from edgekit import parity, perceptual
from edgekit.manifest import ParityReference
from edgekit.target import Budget


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """lpips and torchvision as far as they are used; yields the file whose presence decides."""

    class LPIPS(torch.nn.Module):
        def __init__(self, net, verbose):
            super().__init__()
            assert net == "alex" and not verbose

        def forward(self, a, b):
            assert a.min() >= -1 and a.max() <= 1 and a.min() < 0
            return (a - b).abs().mean((1, 2, 3), keepdim=True)

    weights = SimpleNamespace(DEFAULT=SimpleNamespace(url="where/ever/alexnet-1.pth"))
    modules = {"lpips": SimpleNamespace(LPIPS=LPIPS), "torchvision.models": SimpleNamespace(AlexNet_Weights=weights)}
    monkeypatch.setattr(perceptual, "find_spec", lambda name: name)
    monkeypatch.setattr(perceptual, "import_module", modules.__getitem__)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    perceptual._network.cache_clear()
    (tmp_path / "checkpoints").mkdir()
    yield tmp_path / "checkpoints" / "alexnet-1.pth"
    perceptual._network.cache_clear()


def compared(side=72):
    pictures = [("a", torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)))]
    found = parity.prepare(pictures, lambda x: (x,), 1, (128, 128), 0)
    outputs = [tile[0] for tile in found.tiles]
    return parity.compare(found, outputs, [o * 0.9 for o in outputs], ParityReference("here", "float32"), "host", True)


def test_without_the_package_it_is_not_measured_and_says_why(monkeypatch):
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None)
    measured = compared()
    assert measured.lpips is None
    assert parity.why_not(measured, None)["lpips"].startswith(
        "LPIPS needs the Python package lpips and torchvision and AlexNet's weights on this machine"
    )
    assert [line.status for line in parity.check(measured, Budget(lpips=0.1)) if line.name == "lpips"] == ["not measured"]


def test_without_the_weights_nothing_is_fetched(installed):
    assert perceptual.missing() == (
        "LPIPS needs AlexNet's weights alexnet-1.pth in torch's own cache folder (torch.hub.get_dir()); nothing is downloaded"
    )
    assert compared().lpips is None


def test_a_torchvision_of_another_torch_is_a_reason_and_no_crash(installed, monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist\nand more")

    monkeypatch.setattr(perceptual, "import_module", broken)
    assert perceptual.missing() == (
        "LPIPS needs torchvision, which cannot be imported here (operator torchvision::nms does not exist): "
        f"install the one made for torch {torch.__version__}"
    )


def test_with_both_it_is_measured_and_checked(installed):
    installed.write_bytes(b"weights")
    assert perceptual.missing() is None
    measured = compared()
    assert measured.lpips == pytest.approx(0.1, abs=0.02) and "lpips" not in parity.why_not(measured, None)
    assert [line.status for line in parity.check(measured, Budget(lpips=0.05)) if line.name == "lpips"] == ["over"]
    small = compared(side=40)
    assert small.lpips is None and parity.why_not(small, None)["lpips"] == "no test picture has sides of 64 px"
