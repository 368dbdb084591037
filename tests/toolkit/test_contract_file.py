"""The image contract that a network's author writes."""

from __future__ import annotations

import pytest

from edgekit.enhancer import ImageSpec
from edgekit.errors import InvalidFile
from edgekit.models.contract_file import ContractFile, Tensor, read, spec

FULL = """
name = "mine"
task = "segment"
scale = 1
multiple_of = 8
tiling = "whole"
degrade = "noise"
licence = "MIT"
[[input]]
name = "visible"
colour = "bgr"
range = [0, 255]
[[input]]
name = "infrared"
colour = "grey"
mean = [0.5]
std = [0.5]
[[output]]
name = "mask"
colour = "mask"
channels = 3
"""


def contract(tmp_path, text: str) -> ContractFile:
    (tmp_path / "x.toml").write_text(text, "utf-8")
    return read(tmp_path / "x.toml")


def test_everything_that_it_may_say(tmp_path):
    found = contract(tmp_path, FULL)
    assert (found.name, found.task, found.scale, found.multiple_of, found.tiling, found.degrade, found.licence) == (
        "mine", "segment", 1, 8, "whole", "noise", "MIT",
    )  # fmt: skip
    assert found.input[0] == Tensor("visible", colour="bgr", range=(0.0, 255.0))
    assert found.input[1] == Tensor("infrared", colour="grey", mean=(0.5,), std=(0.5,))
    assert found.output == (Tensor("mask", 3, "mask"),)


def test_what_it_leaves_out_is_unknown(tmp_path):
    found = contract(tmp_path, "")
    assert found == ContractFile() and found.scale is found.multiple_of is found.tiling is found.degrade is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("scal = 2", "unknown key 'scal'; expected one of name, task, scale, multiple_of, tiling, degrade, licence, input, output"),
        ("scale = 0", "scale is 0; expected 1 to 16"),
        ("multiple_of = 1000", "multiple_of is 1000; expected 1 to 512"),
        ('tiling = "some"', "tiling is 'some'; expected one of exact, whole"),
        ('task = "draw"', "task is 'draw'; expected one of generate, restore, segment"),
        ('name = "../x"', "name is '../x'; expected letters, digits, '-', '_' and '.'"),
        ("[[input]]\nchannels = 4\ncolour = 'rgb'", "[[input]] 1: channels is 4; expected 3 of rgb"),
        ("[[input]]\nchannels = 0", "[[input]] 1: channels is 0; expected 1 to 64"),
        ("[[input]]\ncolour = 'cmyk'", "colour is 'cmyk'; expected one of bgr, grey, luma, mask, rgb, scalar"),
        ("[[input]]\nrange = [255, 0]", "[[input]] 1: range is [255.0, 0.0]; expected the value of black, then that of white, which is larger"),
        ("[[input]]\nrange = [0, 1]\nmean = [0.5]", "[[input]] 1: has range, and mean or std too; expected either range or mean and std"),
        ("[[input]]\nmean = [0.1, 0.2]", "[[input]] 1: mean has 2 values; expected 1, or one for each of 3 channels"),
        ("[[output]]\nstd = [0.0]", "[[output]] 1: std is [0.0]; expected numbers above 0"),
        ("[[input]]\nname = 'a'\n[[input]]\nname = 'a'", "two [[input]] tables are named 'a'; expected a name for each"),
        ("input = []", "has 0 [[input]] tables; expected 1 to 8"),
        ("[[input]]\nrange = [0, nan]", "range[1] is nan; expected a finite number"),
    ],
)
def test_mistakes_are_one_line(tmp_path, text, line):
    with pytest.raises(InvalidFile) as caught:
        contract(tmp_path, text)
    assert line in str(caught.value) and "x.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (Tensor(), ImageSpec("image")),
        (Tensor("a", colour="bgr", range=(0, 255)), ImageSpec("a", 3, "bgr", (-0.0,), (1 / 255,), (0, 255))),
        (Tensor(range=(-1, 1)), ImageSpec("image", 3, "rgb", (0.5,), (0.5,), (-1, 1))),
        (Tensor(mean=(0.5,), std=(0.25,)), ImageSpec("image", 3, "rgb", (0.5,), (0.25,), (-2.0, 2.0))),
        (Tensor(colour="luma"), ImageSpec("image", 1, "luma")),
        (Tensor(colour="scalar", channels=2, range=(0, 1000)), ImageSpec("image", 2, "scalar", range=(0, 1000))),
    ],
)
def test_what_a_table_means(tensor, expected):
    assert spec(tensor, ImageSpec("image")) == expected
