"""package.module:factory: networks of the user's own code."""

from __future__ import annotations

import sys

import pytest
import torch
from safetensors.torch import save_file

from edgekit import models
from edgekit.errors import InvalidCheckpoint, InvalidFile
from edgekit.models import factory

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
    def forward(self, x):
        return x + self.conv(x)

def build():
    torch.manual_seed(0)
    return Net()

ready = build()
answer = 42

def number():
    return 42

def broken():
    raise RuntimeError("no GPU here\\nsecond line")

def darker(clean):
    return clean / 2

def wrong(clean):
    return clean, clean
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the module `handmade` in it, which is the current directory."""
    (tmp_path / "handmade.py").write_text(CODE, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "handmade", raising=False)
    yield tmp_path
    sys.modules.pop("handmade", None)


@pytest.mark.parametrize(
    ("name", "yes"),
    [("a:b", True), ("a.b.c:d", True), ("edsr", False), ("a/b.py:c", False), ("a:b:c", False), ("C:\\x.pth", False), ("a:", False), (":b", False)],
)
def test_what_is_a_factory(name, yes):
    assert factory.is_factory(name) is yes


@pytest.mark.parametrize("name", ["build", "ready"])
def test_a_module_of_the_current_directory(place, name):
    enhancer = models.load(f"handmade:{name}")
    x = torch.rand(1, 3, 20, 24)
    assert (enhancer.name, enhancer.source, enhancer.licence, enhancer.scale) == ("handmade", f"handmade:{name}", "unknown", 1)
    assert torch.equal(enhancer.module(x), sys.modules["handmade"].build().eval()(x))
    assert not enhancer.module.training and not any(p.requires_grad for p in enhancer.module.parameters())
    assert enhancer.sha256 == models.load("handmade:build").sha256 and len(enhancer.sha256) == 64


def test_the_contract_beside_it_and_another(place):
    (place / "handmade.toml").write_text('name = "mine"\nlicence = "MIT"\ndegrade = "handmade:darker"\n[[input]]\ncolour = "bgr"\nrange = [0, 255]\n')
    enhancer = models.load("handmade:build")
    x = torch.rand(1, 3, 20, 24)
    assert (enhancer.name, enhancer.licence, enhancer.inputs[0].colour, enhancer.inputs[0].range) == ("mine", "MIT", "rgb", (0.0, 1.0))
    expected = (sys.modules["handmade"].build()(x.flip(1) * 255).flip(1) / 255).clamp(0, 1)
    assert torch.allclose(enhancer.module(x), expected, atol=1e-6)
    assert torch.equal(enhancer.degrade(x)[0], x / 2)
    (place / "other.toml").write_text('name = "other"\n')
    assert models.load("handmade:build", contract=place / "other.toml").name == "other"


def test_weights_of_a_file_by_our_own_reader(place):
    state = {"conv.weight": torch.zeros(3, 3, 3, 3), "conv.bias": torch.full((3,), 0.05)}
    save_file(state, place / "w.safetensors")
    enhancer = models.load("handmade:build", place / "w.safetensors")
    assert torch.equal(enhancer.module(torch.zeros(1, 3, 8, 8)), torch.full((1, 3, 8, 8), 0.05))
    assert enhancer.sha256 != models.load("handmade:build").sha256
    save_file({"conv.weight": state["conv.weight"]}, place / "w.safetensors")
    with pytest.raises(InvalidCheckpoint, match=r"w\.safetensors: the tensors do not fit Net: 'conv.bias' is missing"):
        models.load("handmade:build", place / "w.safetensors")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("handmad:build", "handmad:build: no module named 'handmad', expected it in the current directory ("),
        ("handmade:make", "handmade:make: handmade has no 'make'; expected one of build, number, broken, darker, wrong"),
        ("handmade:answer", "is a int; expected a function without arguments that returns a torch.nn.Module"),
        ("handmade:number", "number() returned a int; expected a torch.nn.Module"),
        ("handmade:broken", "broken() failed: RuntimeError: no GPU here"),
        ("handmade:darker", "darker() failed: TypeError"),
    ],
)
def test_mistakes_are_named(place, name, line):
    with pytest.raises(InvalidFile) as caught:
        models.load(name)
    assert line in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import nowhere_to_be_found", "no module named 'nowhere_to_be_found', which handmade imports; expected it installed"),
        ("1 / 0", "importing handmade failed: ZeroDivisionError: division by zero"),
        ("def x(:", "importing handmade failed: SyntaxError"),
    ],
)
def test_modules_that_cannot_be_imported(place, code, line):
    (place / "handmade.py").write_text(code)
    with pytest.raises(InvalidFile, match=line):
        models.load("handmade:build")


@pytest.mark.parametrize(
    ("degrade", "line"),
    [
        ("handmade:wrong", "handmade:wrong: gave 2 values; expected 1 tensors"),
        ("handmade:broken", "handmade:broken: failed on (1, 3, 16, 16): TypeError"),
        ("handmade:answer", "degrade is 'handmade:answer', a int; expected a function"),
    ],
)
def test_degradations_that_do_not_work(place, degrade, line):
    (place / "handmade.toml").write_text(f'degrade = "{degrade}"\n')
    with pytest.raises(InvalidFile) as caught:
        models.load("handmade:build").degrade(torch.rand(1, 3, 16, 16))
    assert line in str(caught.value)
