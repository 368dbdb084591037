"""Networks that overflow in fp16: the audit finds where, `fp32_layers` cures it in the Core ML file, and the bundle says so."""

import re

import pytest
import torch
from tiny import pictures, psnr
from torch import Tensor, nn

from edgekit import fp16_audit, models, pipeline, rewrite, tiles
from edgekit.cli import main
from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidFile, LoweringError
from edgekit.pipeline import Job
from edgekit.preparation import PictureSet
from edgekit.recipe import Quantize, Recipe
from edgekit.target import Budget, Target
from edgekit.verdict import judge
from edgekit_targets import backend
from edgekit_targets.coreml import CoreML
from edgekit_targets.devices.host import Host

pytest.importorskip("edgekit_targets.coreml.library")
from edgekit_targets.coreml import inspect, w8a8
from edgekit_targets.coreml.evaluator import Program
from edgekit_targets.coreml.lower import _Levels, _program, to_graph


class WrittenNorm(nn.Module):
    """An instance norm as people write it: its squares leave fp16 where values exceed 256."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(1, channels, 1, 1) + 0.5), nn.Parameter(torch.rand(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean((2, 3), keepdim=True)
        return x * torch.rsqrt((x * x).mean((2, 3), keepdim=True) + 1e-5) * self.weight + self.bias


class Normalizing(nn.Module):
    """A layer whose results reach some thousands, and a norm behind it."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.head, self.norm, self.tail = nn.Conv2d(3, 8, 3, padding=1), norm, nn.Conv2d(8, 3, 3, padding=1)
        self.head.weight.data *= 4000

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.tail(torch.relu(self.norm(self.head(x)))))


class Block(nn.Module):
    def __init__(self, channels: int, gain: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(2, channels)
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.conv2.weight.data *= gain

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(nn.functional.silu(self.conv1(nn.functional.silu(self.norm(x)))))


class Decoder(nn.Module):
    """Residual blocks that add ever larger values, as the decoders of latent-diffusion autoencoders do."""

    def __init__(self, channels: int = 8, gain: float = 100_000.0) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(Block(channels, gain * 2**i) for i in range(3))
        self.up, self.norm, self.tail = nn.Upsample(scale_factor=2), nn.GroupNorm(2, channels), nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x)
        for block in self.blocks:
            x = block(x)
        return torch.sigmoid(self.tail(nn.functional.silu(self.norm(self.up(x)))))


class Loud(nn.Module):
    """Twice the picture, by way of values up to 150000."""

    def __init__(self, gain: float = 150_000.0) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 12, 1, bias=False)
        self.head.weight.data = torch.eye(3)[:, :, None, None] * gain
        self.tail.weight.data = torch.eye(3).repeat_interleave(4, 0)[:, :, None, None] / gain

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(self.tail(torch.relu(self.head(x))), 2)


NETWORKS = {
    "written": lambda: Normalizing(WrittenNorm(8)),
    "group norm": lambda: Normalizing(nn.GroupNorm(2, 8)),
    "decoder": Decoder,
    "loud": Loud,
}

TILE = (pictures(1)[0],)


def graph_of(name: str) -> nn.Module:
    torch.manual_seed(0)
    return rewrite.apply(NETWORKS[name]().eval().requires_grad_(False), TILE, CoreML.rewrites).module


def proposed(audit: fp16_audit.Audit) -> tuple[str, ...]:
    return tuple(re.findall(r"--fp32-layers '([^']+)'", audit.line() or ""))


@pytest.mark.parametrize(
    ("name", "line", "globs"),
    [
        ("written", r"mul 'mul' reaches 9\.\d+e\+06 on adversarial-\d and 2 more; ", ("mul", "mean_1", "add")),
        ("group norm", r"group_norm 'norm' reaches 1\.\d+e\+07 on adversarial-\d; ", ("norm",)),
        ("decoder", r"group_norm 'blocks\.1\.norm' reaches \d.*e\+\d+ on adversarial-\d and \d+ more; ", None),
        ("loud", r"conv2d 'head' reaches 1\.5e\+05 on adversarial-1 and 1 more; ", ("head", "relu")),
    ],
    ids=NETWORKS,
)
def test_what_the_audit_proposes_is_the_cure(name, line, globs, tmp_path):
    """On the tile and on the picture that overflowed most."""
    graph = graph_of(name)
    audit = fp16_audit.audit(graph, TILE, [("tile", TILE)])
    assert audit.headroom < 1 and re.match(line, audit.line())
    assert globs in (None, proposed(audit))
    worst = max(audit.overflowing, key=lambda m: m.largest).picture
    hard = next((p[None],) for i, p in enumerate(tiles.adversarial(TILE[0].shape[-1])) if worst == f"adversarial-{i}")
    plain = Program(CoreML().lower(graph, TILE, Quantize("fp16"), [], tmp_path / "plain.mlpackage").file)
    made = CoreML().lower(graph, TILE, Quantize("fp16", fp32_layers=proposed(audit)), [], tmp_path / "cured.mlpackage")
    cured = Program(made.file)
    for tile in (TILE, hard):
        with torch.no_grad():
            expected = graph(*tile)
        broken, result = plain(tile)[0], cured(tile)[0]
        assert not torch.isfinite(broken).all() or psnr(broken, expected) < 30
        assert torch.isfinite(plain(tile, faithful=False)[0]).all()
        assert torch.isfinite(result).all() and psnr(result, expected) >= 50
    assert fp16_audit.audit(graph, TILE, [], keep=proposed(audit)).headroom >= 1
    assert {"fp16", "fp32"} <= {operation.dtypes[0] for operation in cured.operations if operation.kind != "cast"}


def float32(file) -> list[str]:
    return [operator.kind for operator in inspect.read(file).operators if operator.dtype == "fp32" and operator.kind != "cast"]


def test_an_operator_that_becomes_several_stays_float32_whole(tmp_path):
    """Core ML has no group norm; its parts have names of their own. The ReLU reads the result, so it computes in float32 too."""
    made = CoreML().lower(graph_of("group norm"), TILE, Quantize("fp16", fp32_layers=("norm",)), [], tmp_path / "m.mlpackage")
    parts = ["reshape", "reduce_mean", "sub", "square", "reduce_mean", "add", "sqrt", "real_div", "reshape"]
    kept = float32(made.file)
    assert made.facts["fp32_operators"] == ["group_norm", "relu"]
    assert kept[: len(parts)] == parts and set(kept[len(parts) :]) <= {"mul", "add", "relu"} and kept[-1] == "relu"


@pytest.mark.parametrize(
    ("precision", "target", "io"),
    [("int8", "iOS17", "tensor"), ("int8-weights", "iOS18", "tensor"), ("palettized-4", "iOS17", "tensor"), ("fp16", "iOS17", "image")],
)
def test_islands_in_every_precision(precision, target, io, tmp_path):
    quantize = Quantize(precision, fp32_layers=("head", "relu"), **({"float_layers": ("head",)} if precision != "fp16" else {}))
    options = CoreML(minimum_deployment_target=target, io=io)
    graph = graph_of("loud")
    made = options.lower(graph, TILE, quantize, [TILE], tmp_path / "m.mlpackage")
    assert {"conv", "relu"} <= set(float32(made.file))
    given = TILE if io == "tensor" else ((TILE[0] * 255).round(),)
    (result,) = Program(made.file)(given)
    assert psnr(result / (255 if io == "image" else 1), graph(*TILE)) > 25


def test_globs_that_fit_nothing(tmp_path):
    with pytest.raises(LoweringError, match=r"fp32_layers has 'haed', which fits no operator; operators are conv2d, relu, conv2d_1, "):
        CoreML().lower(graph_of("loud"), TILE, Quantize("fp16", fp32_layers=("head", "haed")), [], tmp_path / "m.mlpackage")


def named(program) -> list[tuple[str, str]]:
    return [(node.name, str(node.target)) for node in program.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("name", ["edsr-mobile", "denoise", "lowlight", *NETWORKS])
def test_the_audit_and_the_lowering_use_the_same_names(name):
    """Both export the network again; an operator that is `add_1` to one must not be `add_2` to the other, with whatever is wrapped around it."""
    if name in NETWORKS:
        graph, example = graph_of(name), TILE
    else:
        enhancer = models.load(name)
        example = tuple(torch.rand(1, spec.channels, 32, 32) for spec in enhancer.inputs)
        graph = rewrite.apply(enhancer.module, example, CoreML.rewrites).module
    audited = [m.operator for m in fp16_audit.audit(graph, example, []).operators]
    lowered = to_graph(graph, example)
    plain = named(_program(lowered, example))
    assert [n for n, _ in plain if n in audited] == audited and len(plain) == len(audited)
    image = named(_program(_Levels(lowered), example))
    assert image[: len(plain)] == plain
    w8a8.quantize(lowered, Quantize("int8"), [example])
    int8 = [(n, target) for n, target in named(_program(lowered, example)) if "quantize" not in target]
    assert int8 == plain


# From the pipeline and the command line --------------------------------------------------------------------------------------------------------------------


def soft(count: int) -> PictureSet:
    return PictureSet("soft", "0" * 64, [(str(i), picture) for i, picture in enumerate(pictures(count, side=96))])


def exported(out, recipe: Recipe):
    torch.manual_seed(0)
    network = Loud().eval().requires_grad_(False)
    enhancer = Enhancer("loud", network, lambda clean: (clean[..., ::2, ::2].contiguous(),), 2, sha256="0" * 64)
    target = Target("phone", (), (32, 32), budgets={"restore": Budget(psnr_db=40.0)})
    return pipeline.export(enhancer, target, [Job(backend("coreml"), recipe)], soft(1), soft(2), Host(), out)


def test_a_bundle_says_that_it_overflows(tmp_path):
    recipe = Recipe("fp16", quantize=Quantize("fp16", tiles=2))
    bundle = exported(tmp_path / "bundle", recipe)
    (artifact,) = bundle.manifest.artifacts
    lines = {line.name: (line.measured, line.status) for line in artifact.budget}
    assert lines["fp16_headroom"] == (pytest.approx(65_504 / 150_000), "over")
    assert lines["finite"] == (0.0, "over") and artifact.parity.executed_by == "evaluator"
    verdict = judge(bundle.manifest)
    assert verdict.ship is None
    (told,) = [line for line in verdict.over if "fp16_headroom" in line]
    assert told == (
        "loud-coreml-fp16: fp16_headroom 0.4367, budget 1 (conv2d 'head' reaches 1.5e+05 on adversarial-1 and 1 more; fp16 ends at 65504: keep it in "
        "float32 with --fp32-layers 'head' --fp32-layers 'relu', or scale the weights before it down and those after it up)"
    )
    fp16 = artifact.facts["fp16"]
    assert fp16["largest"][0]["operator"] == "head" and fp16["overflow"] in told

    cured = Recipe("fp16", quantize=Quantize("fp16", tiles=2, fp32_layers=("head", "relu")))
    bundle = exported(tmp_path / "cured", cured)
    (artifact,) = bundle.manifest.artifacts
    lines = {line.name: line.status for line in artifact.budget}
    assert lines["fp16_headroom"] == lines["finite"] == lines["psnr_db"] == "ok"
    assert artifact.parity.psnr_db > 50 and artifact.latency is None and "not its speed" in artifact.why_not["latency"]
    assert artifact.facts["fp32_operators"] == ["conv2d", "conv2d_1", "relu"] and "overflow" not in artifact.facts["fp16"]
    assert judge(bundle.manifest).ship == artifact.name


@pytest.mark.parametrize(("name", "precision"), [("onnx", "int8"), ("tflite", "fp16"), ("executorch", "int8")])
def test_other_backends_refuse_islands(name, precision, tmp_path):
    with pytest.raises(InvalidFile, match=f"{name} {precision} cannot mix float32 and fp16, so fp32_layers 'head' does not apply; expected Core ML"):
        job = Job(backend(name), Recipe(precision, quantize=Quantize(precision, fp32_layers=("head",))))
        pipeline.export(Enhancer("loud", Loud(), lambda clean: (clean,), 2), Target("t", ()), [job], soft(1), soft(1), Host(), tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "android", "--recipe", "int8"), "executorch int8 cannot mix float32 and fp16, so fp32_layers"),
        (
            ("--target", "ios", "--recipe", "fp32"),
            "--fp32-layers with recipe 'fp32', which computes in float32 everywhere; expected an fp16 or int8 recipe",
        ),
    ],
)
def test_the_command_line_refuses_islands_where_there_are_none(arguments, message, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    import edgekit.cli.console as console

    monkeypatch.setattr(console, "_terminal", None)
    assert main(["export", "--model", "edsr-mobile", *arguments, "--fp32-layers", "head*"]) == 2
    error = capfd.readouterr().err
    assert message in error and "Traceback" not in error and list(tmp_path.iterdir()) == []
