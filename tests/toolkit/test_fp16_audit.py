"""The fp16 audit on networks whose every value is known: what overflows, where, on which picture, and what to do about it."""

import json
import math

import pytest
import torch
from torch import nn

from edgekit import fp16_audit, models
from edgekit.fp16_audit import Audit, Magnitude, audit
from edgekit.quantize import matches

BLACK, WHITE = "adversarial-0", "adversarial-1"


class Gain(nn.Module):
    """One pixel of all channels times a number, then back."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
        self.head.weight.data = torch.eye(3)[:, :, None, None] * gain
        self.tail.weight.data = torch.eye(3)[:, :, None, None] / gain

    def forward(self, x):
        return self.tail(torch.relu(self.head(x)))


def tile(value: float = 0.5, channels: int = 3, side: int = 16) -> torch.Tensor:
    return torch.full((1, channels, side, side), value)


def of(found: Audit, operator: str) -> Magnitude:
    return next(m for m in found.operators if m.operator == operator)


@pytest.fixture
def only_the_given_tiles(monkeypatch):
    monkeypatch.setattr(fp16_audit, "_adversarial", lambda example: [])


def test_what_overflows_is_named_with_its_layer_and_picture():
    found = audit(Gain(65_600), (tile(),), [("grey", (tile(),))])
    assert [(m.operator, m.kind, m.layer, m.largest, m.picture) for m in found.operators] == [
        ("conv2d", "conv2d", "head", 65_600, WHITE),
        ("relu", "relu", "relu", 65_600, WHITE),
        ("conv2d_1", "conv2d", "tail", 1, WHITE),
    ]
    assert [m.overflows for m in found.operators] == [True, True, False]
    assert found.headroom == pytest.approx(65_504 / 65_600) and found.pictures == 10
    assert found.line() == (
        "conv2d 'head' reaches 6.56e+04 on adversarial-1 and 1 more; fp16 ends at 65504: keep it in float32 with "
        "--fp32-layers 'head' --fp32-layers 'relu', or scale the weights before it down and those after it up"
    )


def test_the_given_tiles_count_too():
    """Values beyond 1 come from no adversarial picture."""
    found = audit(Gain(60_000), (tile(),), [("fine", (tile(),)), ("bright", (tile(1.5),))])
    assert [m.picture for m in found.operators] == ["bright"] * 3 and of(found, "conv2d").largest == 90_000


def test_what_fits_is_left_alone():
    found = audit(Gain(32_752), (tile(),), [])
    assert found.headroom == 2 and found.line() is None and found.overflowing == ()


def test_kept_layers_are_left_out():
    network = Gain(65_600)
    by_layer = audit(network, (tile(),), [], keep=("head",))
    assert [m.operator for m in by_layer.operators] == ["relu", "conv2d_1"] and by_layer.line().startswith("relu 'relu' reaches")
    by_operator = audit(network, (tile(),), [], keep=("conv2d", "rel*"))
    assert [m.operator for m in by_operator.operators] == ["conv2d_1"] and by_operator.headroom == 65_504
    assert audit(network, (tile(),), [], keep=("*",)).headroom == math.inf


def test_beyond_float32_and_no_number():
    class Infinite(nn.Module):
        def forward(self, x):
            y = x * 3e38 * 3e38
            return y - y

    found = audit(Infinite(), (tile(),), [])
    assert found.headroom == 0 and [m.overflows for m in found.operators] == [True, True, True]
    assert "reaches 3e+38" in found.line() or "reaches more than float32 holds" in found.line()
    assert of(found, "sub").largest == math.inf and found.summary()["headroom"] == 0
    json.dumps(found.summary(), allow_nan=False)


def test_underflow_is_the_share_that_fp16_makes_zero(only_the_given_tiles):
    values = torch.tensor([0.0, 2.0**-26, 2.0**-25, 1.01 * 2.0**-25, 2.0**-24, -(2.0**-25), 1.0, 3.0])
    assert ((values != 0) & (values.half() == 0)).tolist() == [False, True, True, False, False, True, False, False]
    small = values.repeat(3, 4, 2)[None].contiguous()

    class Scale(nn.Module):
        def forward(self, x):
            return x * 1.0

    one = audit(Scale(), (small,), [("small", (small,))])
    assert of(one, "mul").underflow == 3 / 8
    two = audit(Scale(), (small,), [("small", (small,)), ("zeros", (small * 0,)), ("large", (small + 1,))])
    assert of(two, "mul").underflow == pytest.approx(1 / 8)
    assert two.summary()["underflow"] == [{"operator": "mul", "kind": "mul", "share": 0.125}]


def test_sums_inside(only_the_given_tiles):
    """16 x 16 pixels of 300: their sum is 76800, their squares' 23 million; only the results must fit."""

    class Mean(nn.Module):
        def forward(self, x):
            return x - x.mean((2, 3), keepdim=True)

    found = audit(Mean(), (tile(),), [("bright", (tile(300.0),))])
    assert of(found, "mean").inside == 76_800 and of(found, "mean").may_overflow and found.line() is None
    assert found.summary()["sums_inside"] == [{"operator": "mean", "kind": "mean", "largest": 76_800.0}]
    norm = audit(nn.InstanceNorm2d(3), (tile(),), [("bright", (tile(300.0),))])
    assert norm.operators[0].inside == 90_000 * 256 and norm.line() is None
    assert audit(nn.InstanceNorm2d(3), (tile(),), [("dark", (tile(1 / 16),))]).operators[0].inside == 16


@pytest.mark.parametrize(("make", "name"), [(lambda: nn.GroupNorm(1, 2), "group_norm"), (lambda: Deviation(), "std")])
def test_what_converters_write_out_counts_with_its_squares(only_the_given_tiles, make, name):
    """Half of the pixels 0, half 600: each is 300 from the mean, and 90000 is too much, though the norm itself gives 1 and -1."""
    halves = torch.cat([tile(0.0, 2, 8), tile(600.0, 2, 8)], 2)
    found = audit(make().eval(), (halves,), [("halves", (halves,))])
    assert of(found, name).largest == 90_000 and found.line().startswith(f"{name} '{name}' reaches 9e+04 on halves; ")
    assert audit(make().eval(), (halves,), [("halves", (halves / 2,))]).line() is None


class Deviation(nn.Module):
    def forward(self, x):
        return x / (x.std((2, 3), keepdim=True, correction=0) + 1)


def magnitude(name: str, largest: float) -> Magnitude:
    return Magnitude(name, "add", name, largest, 0.0, 0.0, "p")


def test_globs_stand_for_three_or_more_and_for_nothing_else():
    def globs(over, fine):
        line = Audit(tuple(magnitude(n, 1e6) for n in over) + tuple(magnitude(n, 1.0) for n in fine), 1).line()
        found = [word.strip("',") for word in line.split() if word.startswith("'")][1:]
        assert all(matches(name, found) for name in over) and not any(matches(name, found) for name in fine)
        return found

    assert globs(["up.0.a", "up.1.b"], []) == ["up.0.a", "up.1.b"]
    assert globs(["up.0.a", "up.0.b", "up.1.a", "x"], []) == ["up.*", "x"]
    assert globs(["up.0.a", "up.0.b", "up.0.c", "up.1.a"], ["up.1.b"]) == ["up.0.*", "up.1.a"]
    assert globs(["add", "add_1", "add_2", "mul_3"], ["mul", "addmm"]) == ["add", "add_1", "add_2", "mul_3"]
    assert globs(["add", "add_1", "add_2", "mul_3"], ["mul"]) == ["add*", "mul_3"]


def test_every_overflow_is_in_the_line():
    """Also those that a summary does not list."""
    names = [f"{letter}_{i}" for i in range(9) for letter in ("q", "z")]
    found = Audit(tuple(magnitude(n, 1e6 if n.startswith("q") else 1.0) for n in names), 1)
    assert found.line().startswith("add 'q_0' reaches 1e+06 on p and 8 more; ") and "--fp32-layers 'q_*'," in found.line()


def test_progress_and_pictures_of_other_channels():
    seen = []

    class Two(nn.Module):
        def forward(self, image, mask):
            return image * mask

    example = (tile(), tile(0.25, 1))
    found = audit(Two(), example, [("given", example)], progress=seen.append)
    assert seen == list(range(1, 11)) and found.operators[0].largest == 1


def test_the_summary_is_short_and_plain():
    found = audit(Gain(65_600), (tile(),), [])
    summary = found.summary()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["largest"][0] == {"operator": "head", "kind": "conv2d", "largest": 65_600.0, "picture": WHITE}
    assert summary["sums_inside"] == [] and summary["pictures"] == 9


@pytest.mark.parametrize("name", models.names())
def test_built_in_models_fit(name):
    enhancer = models.load(name)
    example = tuple(torch.rand(1, spec.channels, 32, 32) for spec in enhancer.inputs)
    assert audit(enhancer.module, example, [("noise", example)]).headroom > 100
