"""What rounding shifts on average is back in the biases: by hand for one layer, and through a runtime for whole networks."""

import pytest
import torch
from torch import Tensor, nn

import edgekit_calibration
from edgekit import bias_correction, models, rewrite
from edgekit.quantize import round_weight
from edgekit.recipe import Quantize
from edgekit.rewrite.graph import aten, calls
from edgekit_targets import backend

WEIGHTS_ONLY, STATIC = Quantize("int8-weights"), Quantize("int8")


def tiles(count: int, side: int = 32, channels: int = 3) -> list[tuple[Tensor, ...]]:
    """Brighter and smoother than noise, as pictures are: what rounding shifts does not average out."""
    made = [torch.rand(1, channels, side // 8, side // 8, generator=torch.Generator().manual_seed(seed)) for seed in range(count)]
    return [(nn.functional.interpolate(one, size=(side, side), mode="bilinear"),) for one in made]


def traced(net: nn.Module, tile: tuple[Tensor, ...]):
    return rewrite.apply(net.eval(), tile, ()).module


class Shared(nn.Module):
    """One convolution called twice, and one without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.bare = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.bare(self.twice(self.twice(x).relu()))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 8, bias=False), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x.permute(0, 2, 3, 1)).relu()).permute(0, 3, 1, 2)


def test_of_one_pointwise_layer_with_rounded_weights_it_is_what_the_weights_lack_times_the_mean():
    torch.manual_seed(0)
    net, inputs = nn.Sequential(nn.Conv2d(3, 5, 1)), tiles(4)
    graph = traced(net, inputs[0])
    assert bias_correction.correct(graph, inputs, WEIGHTS_ONLY) == 1
    mean = torch.cat([x for (x,) in inputs]).mean((0, 2, 3))
    lacking = (net[0].weight - round_weight(net[0].weight, 0))[..., 0, 0] @ mean
    assert lacking.abs().max() > 1e-4
    assert graph.get_parameter("0.bias").sub(net[0].bias).allclose(lacking, atol=1e-6)


@pytest.mark.parametrize(("net", "layers"), [(Shared(), 3), (Attention(), 2), (nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2, groups=1)), 1)])
@pytest.mark.parametrize("quantize", [WEIGHTS_ONLY, STATIC])
def test_each_call_of_each_layer_is_corrected_and_the_network_itself_stays(net, layers, quantize):
    inputs = tiles(3)
    before = net.eval()(*inputs[0])
    graph = traced(net, inputs[0])
    assert bias_correction.correct(graph, inputs, quantize) == layers
    weighted = list(calls(graph, *bias_correction.WEIGHTED))
    assert len({str(node.args[2].target) for node in weighted}) == layers == len(weighted)
    assert graph(*inputs[0]).shape == before.shape and not torch.equal(graph(*inputs[0]), before)
    assert torch.equal(net(*inputs[0]), before)


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({"float_layers": ("0",)}, ["2.bias"]),
        ({"float_layers": ("*",)}, []),
        ({"float_types": ("conv2d",)}, []),
        ({"float_types": ("add",)}, ["0.bias", "2.bias"]),
    ],
)
def test_float_layers_keep_their_biases(changes, layers):
    torch.manual_seed(1)
    net, inputs = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 3)), tiles(2)
    graph = traced(net, inputs[0])
    assert bias_correction.correct(graph, inputs, Quantize("int8", **changes)) == len(layers)
    changed = [name for name, value in graph.named_parameters() if name.endswith("bias") and not torch.equal(value, net.get_parameter(name))]
    assert changed == layers


def test_what_is_computed_is_left_alone():
    class Computed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return aten.conv2d.default(x, x.mean((2, 3))[:, :, None, None].expand(1, 3, 1, 1).reshape(1, 3, 1, 1))

    graph = traced(Computed(), tiles(1)[0])
    assert bias_correction.correct(graph, tiles(1), STATIC) == 0


def test_means_that_were_written_as_products_are_no_layers():
    """A variance that is shifted below zero has no root."""

    class Normalized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return y * (y * y).mean(1, keepdim=True).rsqrt()

    inputs = tiles(2)
    graph = rewrite.apply(Normalized().eval(), inputs[0], ("channel_sums",)).module
    assert len(list(calls(graph, aten.conv2d.default))) == 2
    assert bias_correction.correct(graph, inputs, STATIC) == 1


def test_behind_a_root_that_rounding_leaves_without_a_value_biases_stay():
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.behind = nn.Conv2d(2, 1, 1, bias=False), nn.Conv2d(1, 2, 1)
            with torch.no_grad():
                self.before.weight[0, :, 0, 0] = torch.tensor([1, -0.999])

        def forward(self, x: Tensor) -> Tensor:
            return self.behind((self.before(x) - 0.0009 * x[:, :1]).sqrt())

    grey = [(tile[:, :1].expand(1, 2, 32, 32) + 0.5,) for (tile,) in tiles(3)]
    graph = traced(Root(), grey[0])
    bias = graph.get_parameter("behind.bias").clone()
    assert bias_correction.correct(graph, grey, WEIGHTS_ONLY) == 1
    assert torch.equal(graph.get_parameter("behind.bias"), bias)


def test_values_that_are_not_finite_are_refused():
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv((x - 2).sqrt())

    with pytest.raises(ValueError, match="finite"):
        bias_correction.correct(traced(Root(), tiles(1)[0]), tiles(1), STATIC)


def loss_of(
    graph: nn.Module, expected: list[Tensor], inputs: list[tuple[Tensor, ...]], calibration: list[tuple[Tensor, ...]], file
) -> tuple[float, float]:
    """Of an int8 ONNX file of `graph` on `inputs`: the largest mean shift of a colour, and the mean squared difference from what is expected."""
    onnxruntime = pytest.importorskip("onnxruntime")
    lowered = backend("onnx").lower(graph, inputs[0], STATIC, calibration, file)
    session = onnxruntime.InferenceSession(lowered.file)
    differences = torch.cat(
        [torch.from_numpy(session.run(None, {lowered.inputs[0].name: x.numpy()})[0]) - y for (x,), y in zip(inputs, expected, strict=True)]
    )
    return float(differences.mean((0, 2, 3)).abs().max()), float(differences.square().mean())


def test_a_file_made_of_it_has_its_colours_where_they_belong(tmp_path):
    """On pictures that did not calibrate it, and closer to the float network besides."""
    net = models.load("edsr-mobile").module
    calibration, inputs = (
        [(picture.tensor()[..., 64:128, 64:128].contiguous(),) for picture in source.pictures[:8]]
        for source in (edgekit_calibration.load("photos"), edgekit_calibration.test_set())
    )
    with torch.no_grad():
        expected = [net(*x) for x in inputs]
    graph = rewrite.apply(net, inputs[0], backend("onnx").rewrites).module
    shift, error = loss_of(graph, expected, inputs, calibration, tmp_path / "plain.onnx")
    bias_correction.correct(graph, calibration, STATIC)
    corrected_shift, corrected_error = loss_of(graph, expected, inputs, calibration, tmp_path / "corrected.onnx")
    assert corrected_shift < shift / 2 and corrected_error < error / 1.3
