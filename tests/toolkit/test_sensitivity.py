"""Which layer suffers from rounding: planted, found, and named as recipes name it."""

import pytest
import torch
from torch import Tensor, nn

import edgekit_targets
from edgekit import metrics, rewrite, sensitivity
from edgekit.models.edsr import EDSR
from edgekit.models.unet import UNet
from edgekit.recipe import Quantize


def edsr() -> EDSR:
    torch.manual_seed(0)
    return EDSR(2, blocks=3, channels=8).eval()


def tiles(count: int = 3) -> list[tuple[Tensor, ...]]:
    return [(torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed)),) for seed in range(count)]


def measured(net: nn.Module, rewrites: tuple[str, ...] = (), **options) -> list[sensitivity.LayerSensitivity]:
    return sensitivity.measure(rewrite.apply(net, tiles()[0], rewrites).module, tiles(), **options)


def outlier(net: EDSR, block: int, factor: float = 300) -> EDSR:
    """One channel between a block's convolutions is `factor` times as large, and is undone behind: the same function with ranges that rounding dislikes."""
    first, _, second = net.body[block].body
    with torch.no_grad():
        first.weight[2] *= factor
        first.bias[2] *= factor
        second.weight[:, 2] /= factor
    return net


@pytest.mark.parametrize("block", [0, 2])
def test_an_outlier_among_activations_is_found(block):
    plain = {found.layer: found.worst_psnr_db for found in measured(edsr())}
    ranking = measured(outlier(edsr(), block))
    assert {found.layer for found in ranking[:2]} == {f"body.{block}.body.0", f"body.{block}.body.2"}
    assert all(found.worst_psnr_db < plain[found.layer] - 30 for found in ranking[:2])
    for found in ranking[2:]:
        assert found.worst_psnr_db == pytest.approx(plain[found.layer], abs=0.5), "the others are as they were"


@pytest.mark.parametrize("name", ["encoder.1.2", "up.0"])
def test_an_outlier_among_weights_is_found(name):
    """Large weights that read a channel which is always zero: the activations stay, but in each output channel the other weights share a scale with them.
    In a transposed convolution, output channels are the second axis."""
    torch.manual_seed(0)
    net = UNet((4, 8)).eval()
    before, layer = net.get_submodule({"encoder.1.2": "encoder.1.0", "up.0": "encoder.1.2"}[name]), net.get_submodule(name)
    with torch.no_grad():
        before.weight[0], before.bias[0] = 0, -0.01
        plain = {found.layer: found.worst_psnr_db for found in measured(net)}
        (layer.weight if name == "up.0" else layer.weight.transpose(0, 1))[0] *= 1000
        planted = {found.layer: found.worst_psnr_db for found in measured(net)}
    assert planted.pop(name) < plain.pop(name) - 15
    assert planted == plain, "the others are as they were"


def test_the_most_sensitive_is_first_and_the_worst_tile_counts():
    ranking = measured(edsr())
    worst = [found.worst_psnr_db for found in ranking]
    assert len(set(worst)) == 10 and worst == sorted(worst)
    assert all(found.worst_psnr_db < found.psnr_db < metrics.CAP_DB for found in ranking)


def test_a_layer_without_influence_loses_nothing():
    net = edsr()
    with torch.no_grad():
        net.body[1].body[2].weight.zero_()
    last = measured(net)[-1]
    assert last == sensitivity.LayerSensitivity("body.1.body.0", metrics.CAP_DB, metrics.CAP_DB)


def test_one_layer_loses_less_than_all(tmp_path):
    """The names and the size of the loss are those of a file: beside ONNX Runtime's own int8 of the same graph."""
    backend = edgekit_targets.backend("onnx")
    graph = rewrite.apply(edsr(), tiles()[0], backend.rewrites).module
    ranking = sensitivity.measure(graph, tiles())
    lowered = backend.lower(graph, tiles()[0], Quantize("int8", "min-max"), tiles(), tmp_path / "all.onnx")
    assert {found.layer for found in ranking} == set(lowered.quantized) and lowered.kept_float == ()
    from edgekit_targets.devices.host import Host

    with torch.no_grad():
        worst = min(metrics.psnr_db(graph(*tile), output[0]) for tile, output in zip(tiles(), Host().run(lowered.file, tiles()).outputs, strict=True))
    assert worst < ranking[0].worst_psnr_db < worst + 12


def test_transposed_convolutions_are_layers_too():
    torch.manual_seed(0)
    net = UNet((4, 8)).eval()
    ranking = measured(net)
    assert {found.layer for found in ranking} == {name for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}
    assert "up.0" in {found.layer for found in ranking}


def test_progress_counts_layers():
    calls = []
    measured(edsr(), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 10) for i in range(1, 11)]
