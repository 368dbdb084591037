"""Core ML palettes: what the file stores, that it loses less than nearest-value clustering, and that the recipe's bits reach each layer."""

import copy

import pytest
import torch
from tiny import pictures, psnr

from edgekit import models, rewrite
from edgekit.errors import LoweringError
from edgekit.models.edsr import EDSR
from edgekit.palette import cluster, snap
from edgekit.recipe import Quantize
from edgekit_targets.coreml import CoreML

pytest.importorskip("coremltools")
from edgekit_targets.coreml import inspect
from edgekit_targets.coreml.evaluator import Program

IOS18 = CoreML(minimum_deployment_target="iOS18")


@pytest.fixture(scope="module")
def network(tile):
    torch.manual_seed(0)
    return rewrite.apply(EDSR(2, 1, 16).eval(), tile, CoreML.rewrites).module


@pytest.fixture(scope="module")
def lower(network, tile, tiles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("palettes")

    def make(quantize, options=IOS18):
        out = folder / f"{len(list(folder.iterdir()))}.mlpackage"
        return options.lower(network, tile, quantize, tiles, out)

    return make


def output(made, tile):
    return Program(made.file)(tile)[0]


def test_fitted_to_outputs(lower, network, tile, expected):
    before = copy.deepcopy(network.state_dict())
    made = lower(Quantize("palettized-4"))
    nearest = copy.deepcopy(network)
    for node in nearest.graph.nodes:
        if node.target is torch.ops.aten.conv2d.default:
            weight = nearest.get_parameter(node.args[1].target)
            weight.data = snap(weight.data, cluster(weight.data, 4))
    with torch.no_grad():
        assert psnr(output(made, tile), expected) > psnr(nearest(*tile), expected) + 6
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items()), "the caller's network was changed"
    assert all(len(set(layer.weight.flatten().tolist())) <= 16 for layer in inspect.read(made.file).layers)


def test_integer_arithmetic_with_palettes(lower, tile, expected):
    """int8 tables with a scale, int8 activations: what the Neural Engine multiplies as integers."""
    made = lower(Quantize("palettized-4-int8"))
    contents = inspect.read(made.file)
    counts = contents.counts()
    assert counts["constexpr_lut_to_dense"] == counts["constexpr_blockwise_shift_scale"] == len(contents.layers) == len(made.quantized)
    assert counts["quantize"] > 0
    for layer in contents.layers:
        levels = layer.weight / (abs(layer.weight).max() / 127)
        assert abs(levels - levels.round()).max() < 0.1
    assert psnr(output(made, tile), expected) > 40


def test_other_bits_for_some_layers(lower, tile, expected):
    plain = lower(Quantize("palettized-4"))
    mixed = lower(Quantize("palettized-4", palette_bits={"body.*": 8, "head.0": 16, "body.1": 6}))
    bits = {"body.0.body.0": 8, "body.0.body.2": 8, "body.1": 6, "tail.0.0_tail_1": 4}
    assert mixed.facts["palette_bits"] == bits and mixed.kept_float == ("head.0",)
    counts = [len(set(layer.weight.flatten().tolist())) for layer in inspect.read(mixed.file).layers]
    assert counts[0] > 256 and all(16 < n <= 256 for n in counts[1:3]) and 16 < counts[3] <= 64 and counts[4] <= 16
    assert psnr(output(mixed, tile), expected) > psnr(output(plain, tile), expected)


@pytest.mark.parametrize("options", [CoreML(), IOS18], ids=["iOS17", "iOS18"])
def test_the_bits_on_disk_are_the_bits_asked_for(tmp_path, tiles, options):
    """64 channels: 36 864 fp16 values of 16 kinds, which numpy 2.4.6's `unique` counts as more."""
    torch.manual_seed(0)
    tile = tiles[0]
    network = rewrite.apply(EDSR(2, 2, 64).eval(), tile, CoreML.rewrites).module
    for precision, entries in (("palettized-4", 16), ("palettized-6", 64)):
        made = options.lower(network, tile, Quantize(precision), tiles, tmp_path / f"{precision}.mlpackage")
        assert {layer.table for layer in inspect.read(made.file).layers} == {entries}
        stored = sum(file.stat().st_size for file in made.file.rglob("weight.bin"))
        weights = sum(layer.weight.size for layer in inspect.read(made.file).layers)
        assert stored < weights * made.facts["palette_bits"]["head.0"] / 8 + 20_000


def test_a_kernel_that_was_never_trained_is_a_layer_too(tmp_path):
    """edsr-mobile adds the enlarged picture by a fixed kernel, which is a buffer."""
    torch.manual_seed(0)
    model = models.load("edsr-mobile")
    tiles = [(p,) for p in pictures(4)]
    kernel = model.module.anchor.weight.clone()
    made = IOS18.lower(
        rewrite.apply(model.module, tiles[0], CoreML.rewrites).module, tiles[0], Quantize("palettized-6"), tiles, tmp_path / "m.mlpackage"
    )
    assert "anchor" in made.quantized and torch.equal(model.module.anchor.weight, kernel)
    with torch.no_grad():
        assert psnr(output(made, tiles[0]), model.module(*tiles[0]).clamp(0, 1)) > 40


@pytest.mark.parametrize(
    ("quantize", "message"),
    [
        (Quantize("palettized-4", palette_bits={"neck*": 8}), "names 'neck\\*', which fits no layer; layers are head.0"),
        (Quantize("palettized-4", float_layers=("*",)), "no layer is left to palettize"),
        (Quantize("palettized-4", palette_bits={"*": 16}), "no layer is left to palettize"),
    ],
)
def test_what_cannot_be_done_is_named(lower, quantize, message):
    with pytest.raises(LoweringError, match=message):
        lower(quantize)


def test_without_calibration_tiles(network, tile, tmp_path):
    with pytest.raises(LoweringError, match="palettes are fitted to calibration tiles; got none"):
        IOS18.lower(network, tile, Quantize("palettized-4"), [], tmp_path / "x.mlpackage")


def test_ios_17_is_refused():
    assert "iOS 18" in (CoreML().refusal("palettized-4-int8") or "") and IOS18.refusal("palettized-4-int8") is None
