"""Weight norm, spectral norm and pruning masks in checkpoints become the weights that torch itself computes from them."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from edgekit import models
from edgekit.errors import InvalidCheckpoint
from edgekit.models import factory, parametrized
from edgekit.models.architectures import named

warnings.filterwarnings("ignore", message=".*weight_norm.*", category=FutureWarning)

LAYERS = {
    "convolution": lambda: nn.Conv2d(3, 5, 3),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4),
    "one channel out": lambda: nn.Conv2d(4, 1, 3),
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 3),
    "square transposed": lambda: nn.ConvTranspose2d(4, 4, 3),
    "square convolution": lambda: nn.Conv2d(4, 4, 3),
    "linear": lambda: nn.Linear(6, 6),
}
NORMS = {
    "weight norm": weight_norm,
    "weight norm, one number": lambda layer: weight_norm(layer, dim=None),  # pyright: ignore[reportArgumentType]
    "weight norm of axis 1": lambda layer: weight_norm(layer, dim=1),
    "spectral norm": spectral_norm,
    "weight norm as parametrization": parametrizations.weight_norm,
    "spectral norm as parametrization": parametrizations.spectral_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
}


def trained(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, norm: str) -> nn.Module:
    """The layer with `norm`, after two training steps, in eval mode: its weight is no longer what it started as."""
    given = torch.rand(2, layer.in_features) if isinstance(layer, nn.Linear) else torch.rand(2, layer.in_channels, 8, 8)
    normed = NORMS[norm](layer)
    optimizer = torch.optim.SGD(normed.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (normed(given) ** 2).mean().backward()
        optimizer.step()
    normed.eval()(given)
    return normed


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", LAYERS)
def test_gives_the_weight_that_torch_uses_in_eval_mode(kind: str, norm: str) -> None:
    torch.manual_seed(0)
    layer = trained(LAYERS[kind](), norm)
    found = parametrized.plain(nn.Sequential(nn.Identity(), layer).state_dict())
    assert sorted(found) == ["1.bias", "1.weight"]
    assert isinstance(layer.weight, Tensor) and torch.equal(found["1.weight"], layer.weight) and found["1.weight"].is_contiguous()
    plain = nn.Sequential(nn.Identity(), LAYERS[kind]())
    plain.load_state_dict(found)


def test_plain_state_dicts_and_those_of_networks_with_norms_stay() -> None:
    state = {"a.weight": torch.rand(2, 2), "a.bias": torch.rand(2), "weighty": torch.rand(1)}
    assert parametrized.plain(state) == state
    own = weight_norm(nn.Conv2d(3, 3, 3)).state_dict()
    assert parametrized.plain(own, besides=own.keys()).keys() == own.keys()


def normed(module: nn.Module) -> dict[str, Tensor]:
    """Weight norm on every second convolution, spectral norm on the others; the state dict."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    for i, layer in enumerate(layers):
        (weight_norm, parametrizations.spectral_norm)[i % 2](layer)
    return {key: value.detach().contiguous() for key, value in module.state_dict().items()}


def test_such_a_checkpoint_loads_as_the_network_that_it_is(tmp_path) -> None:
    torch.manual_seed(0)
    module = named("espcn").build(scale=2)
    state = normed(module)
    torch.save(state, tmp_path / "net.pth")
    enhancer = models.load(str(tmp_path / "net.pth"))
    picture = torch.rand(1, enhancer.inputs[0].channels, 16, 16)
    assert torch.allclose(enhancer.module(picture), module.eval()(picture), atol=1e-6)


CODE = """
from torch import nn
from torch.nn.utils import weight_norm

def bare():
    return nn.Conv2d(3, 3, 3, padding=1)

def normed():
    return weight_norm(bare())
"""


def test_a_factory_takes_them_with_and_without_norms_of_its_own(tmp_path, monkeypatch) -> None:
    (tmp_path / "own_norms.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.manual_seed(3)
    layer = weight_norm(nn.Conv2d(3, 3, 3, padding=1))
    torch.save({key: value.detach() for key, value in layer.state_dict().items()}, tmp_path / "net.pth")
    picture = torch.rand(1, 3, 32, 32)
    for name in ("bare", "normed"):
        enhancer = factory.load(f"own_norms:{name}", tmp_path / "net.pth")
        assert torch.allclose(enhancer.module(picture), layer(picture), atol=1e-6)


V, U = torch.rand(4, 3, 3, 3), torch.rand(4)


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ({"a.weight_g": torch.rand(4, 1, 1, 1)}, "'a.weight' is stored as a.weight_g alone; expected weight_g and _v"),
        ({"a.weight_v": V}, "'a.weight' is stored as a.weight_v alone"),
        ({"a.weight_orig": V, "a.weight_u": U}, "'a.weight' is stored as a.weight_orig, a.weight_u alone"),
        ({"weight_orig": V}, "'weight' is stored as weight_orig alone"),
        ({"a.parametrizations.weight.original0": U}, "'a.weight' is stored as a.parametrizations.weight.original0 alone"),
        (
            {"a.parametrizations.weight.original": V, "a.parametrizations.weight.0.base": U},
            "'a.weight' is stored as a.parametrizations.weight.original, a.parametrizations.weight.0.base alone",
        ),
        ({"a.weight_g": torch.rand(3, 1, 1, 1), "a.weight_v": V}, r"the parts of 'a.weight' do not fit one another: a.weight_g \(3, 1, 1, 1\)"),
        ({"a.weight_orig": V, "a.weight_u": U, "a.weight_v": U}, "the parts of 'a.weight' do not fit one another"),
        ({"a.weight_orig": V, "a.weight_mask": U}, "the parts of 'a.weight' do not fit one another"),
        ({"a.weight_g": torch.rand(4, 1, 1, 1), "a.weight_v": V, "a.weight": V}, "'a.weight' is there, and 'a.weight_g' too"),
        ({"a.weight_g": torch.rand(4, 1, 1, 1), "a.weight_v": torch.zeros(4, 3, 3, 3)}, "'a.weight' is not finite once its parts are put together"),
    ],
)
def test_parts_that_are_not_whole_are_refused_in_one_line(state, line, tmp_path) -> None:
    with pytest.raises(InvalidCheckpoint, match=line) as caught:
        parametrized.plain(state)
    assert "\n" not in str(caught.value)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(InvalidCheckpoint, match=rf"^{tmp_path}/net.pth: {line}"):
        models.load(str(tmp_path / "net.pth"))
