"""Strict TOML: a typed dataclass, or one line that names file, key and what is allowed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

import edgekit_targets
from edgekit import recipe, toml
from edgekit.errors import EdgekitError, InvalidFile, UnknownName


@dataclass(frozen=True)
class Inner:
    number: int
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    name: str
    ratio: float = 0.5
    on: bool = False
    level: int | None = None
    pair: tuple[int, int] = (1, 2)
    words: tuple[str, ...] = ()
    inner: Inner | None = None
    table: dict[str, Inner] = field(default_factory=dict)
    free: dict[str, Any] = field(default_factory=dict)
    derived: int = field(default=0, init=False)


def build(text: str) -> Outer:
    return toml.build(Outer, toml.parse(text, "x.toml"), "x.toml")


def test_everything_converts():
    made = build(
        """
        name = "n"
        ratio = 2
        on = true
        level = 3
        pair = [4, 5]
        words = ["a", "b"]
        inner = { number = 1, kind = "b" }
        table.one = { number = 2 }
        free = { x = [1, "two"] }
        """
    )
    assert made == Outer("n", 2.0, True, 3, (4, 5), ("a", "b"), Inner(1, "b"), {"one": Inner(2)}, {"x": [1, "two"]})
    assert isinstance(made.ratio, float)
    assert build('name = ""') == Outer("")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.toml: 'name' is missing; expected a text"),
        ("nmae = 'n'", "x.toml: unknown key 'nmae'; expected one of name, ratio, on, level, pair, words, inner, table, free"),
        ("name = 'n'\nderived = 1", "x.toml: unknown key 'derived'; expected one of"),
        ("name = 1", "x.toml: name is 1; expected a text"),
        ("name = 'n'\nlevel = 1.0", "x.toml: level is 1.0; expected a whole number"),
        ("name = 'n'\nlevel = true", "x.toml: level is True; expected a whole number"),
        ("name = 'n'\non = 1", "x.toml: on is 1; expected true or false"),
        ("name = 'n'\nratio = true", "x.toml: ratio is True; expected a number"),
        ("name = 'n'\nratio = nan", "x.toml: ratio is nan; expected a finite number"),
        ("name = 'n'\nratio = -inf", "x.toml: ratio is -inf; expected a finite number"),
        ("name = 'n'\npair = [1]", "x.toml: pair has 1 values; expected 2"),
        ("name = 'n'\npair = [1, 'x']", "x.toml: pair[1] is 'x'; expected a whole number"),
        ("name = 'n'\nwords = 'x'", "x.toml: words is 'x'; expected a list"),
        ("name = 'n'\nwords = [1]", "x.toml: words[0] is 1; expected a text"),
        ("name = 'n'\ninner = 1", "x.toml: inner is 1; expected a table"),
        ("name = 'n'\ninner = { number = 1, kind = 'c' }", "x.toml: inner: kind is 'c'; expected one of a, b"),
        ("name = 'n'\ninner = { number = 1, kind = [] }", "x.toml: inner: kind is []; expected one of a, b"),
        ("name = 'n'\ntable.one = { numer = 1 }", "x.toml: table.one: unknown key 'numer'; expected one of number, kind"),
        ("name = 'n'\nfree = 1", "x.toml: free is 1; expected a table"),
        ("name = 'n'\nname = 'm'", "x.toml: is not TOML (Cannot overwrite a value"),
        ("name", "x.toml: is not TOML (Expected '=' after a key"),
        ("name = 0x" + "f" * 6000, "x.toml: is not TOML (a number of 24000 bits)"),
        ("name = " + "9" * 6000, "x.toml: is not TOML ("),
        ("name = " + "[" * 5000, "x.toml: is not TOML ("),
        ("a." * 50 + "b = 1", "x.toml: line 1 holds 50 dots; expected at most 40"),
    ],
)
def test_one_line_that_names_the_place(text, message):
    with pytest.raises(InvalidFile) as caught:
        build(text)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_hostile_keys_stay_on_one_line():
    with pytest.raises(InvalidFile, match=r"unknown key 'a\\nb\\x00' is missing|unknown key 'a\\nb\\u2028"):
        build('"a\\nb\\u2028' + "x" * 900 + '" = 1')


def test_a_key_of_many_dots_costs_nothing():
    start = time.monotonic()
    with pytest.raises(InvalidFile):
        toml.parse("a." * 200_000 + "b = 1", "x.toml")
    assert time.monotonic() - start < 1


def test_files(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(toml.LARGEST_FILE + 1)
    for name, message in {
        "none.toml": "cannot be read (No such file or directory); expected a TOML file",
        "latin.toml": "is not UTF-8 text (byte 8); expected a TOML file",
        "folder.toml": "is no plain file or has more than",
        "pipe.toml": "is no plain file or has more than",
        "large.toml": "is no plain file or has more than",
        "a\0b.toml": "cannot be read (embedded null byte)",
    }.items():
        with pytest.raises(InvalidFile) as caught:
            toml.read(tmp_path / name)
        assert message in str(caught.value)


# The readers that stand on it


def recipe_error(tmp_path, text: str) -> str:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(EdgekitError) as caught:
        recipe.load(str(tmp_path / "mine.toml"))
    return str(caught.value)


def target_error(tmp_path, text: str) -> str:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(EdgekitError) as caught:
        edgekit_targets.load(str(tmp_path / "mine.toml"))
    return str(caught.value)


@pytest.mark.parametrize("name", recipe.names())
def test_built_in_recipes_load(name):
    assert recipe.load(name).name == name


@pytest.mark.parametrize("name", edgekit_targets.names())
def test_built_in_targets_load(name):
    assert edgekit_targets.load(name).name == name


def test_recipes_name_what_is_wrong(tmp_path):
    assert recipe_error(tmp_path, "[quantise]") == "mine.toml: unknown key 'quantise'; expected one of name, description, prune, quantize, backend"
    assert recipe_error(tmp_path, "[quantize]") == (
        "mine.toml: quantize: 'precision' is missing; expected one of fp16, fp32, int8, int8-dynamic, int8-weights, palettized-4, palettized-4-int8, palettized-6"
    )
    assert recipe_error(tmp_path, "quantize = { precision = 'int7' }").startswith("mine.toml: quantize: precision is 'int7'; expected one of fp16,")
    assert recipe_error(tmp_path, "[backend.tflite]\nestimator = 'mse'").startswith("mine.toml: [backend.*] without [quantize]")
    assert recipe_error(tmp_path, "quantize = { precision = 'int8' }\nbackend.tflite = { estimator = 'best' }").startswith(
        "mine.toml: [backend.tflite]: estimator is 'best'; expected one of min-max,"
    )
    assert recipe_error(tmp_path, "quantize = { precision = 'palettized-4', palette_bits = { 'body*' = 5 } }") == (
        "mine.toml: quantize: palette_bits of 'body*' is 5; expected one of 2, 4, 6, 8, 16"
    )
    assert recipe_error(tmp_path, "quantize = { precision = 'int8', palette_bits = { 'body*' = 4 } }") == (
        "mine.toml: quantize: palette_bits with precision int8; expected a palettized precision"
    )
    with pytest.raises(UnknownName, match=r"^no recipe named 'int-8'; known: .* \(did you mean 'int8'\?\)$"):
        recipe.load("int-8")


def test_targets_name_what_is_wrong(tmp_path):
    entry = "[[artifact]]\nbackend = 'executorch'\nrecipe = 'int8'\n"
    assert target_error(tmp_path, "tile = [64, 64]").startswith("mine.toml: no [[artifact]]")
    assert target_error(tmp_path, f"tiles = [64, 64]\n{entry}").startswith("mine.toml: unknown key 'tiles'; expected one of")
    assert target_error(tmp_path, f"tile = [64]\n{entry}") == "mine.toml: tile has 1 values; expected 2"
    assert target_error(tmp_path, f"tile = [-64, 64]\n{entry}").startswith("mine.toml: tile is [-64, 64]; expected two sides of at least 16")
    assert target_error(tmp_path, f"{entry}delegate = 'xnpack'").startswith("mine.toml: [[artifact]] 1: delegate is 'xnpack'; expected one of ")
    assert target_error(tmp_path, f"{entry}speed = 1").startswith("mine.toml: [[artifact]] 1: unknown key 'speed'; expected one of ")
    assert target_error(tmp_path, "[[artifact]]\nbackend = 'executorch'").startswith(
        "mine.toml: [[artifact]] 1: backend is 'executorch' and recipe is None"
    )
    assert target_error(tmp_path, "[[artifact]]\nbackend = 'torch'\nrecipe = 'int8'").startswith(
        "mine.toml: [[artifact]] 1: backend is 'torch'; expected one of"
    )
    with pytest.raises(UnknownName, match=r"^no target named 'andriod'; known: android, .* \(did you mean 'android'\?\)$"):
        edgekit_targets.load("andriod")
