import pytest

from edgekit import recipe
from edgekit.errors import InvalidFile, UnknownName
from edgekit.recipe import Prune, Quantize


@pytest.mark.parametrize("name", recipe.names())
def test_a_built_in_recipe_is_named_after_what_it_does(name):
    found = recipe.load(name)
    assert found.description
    assert found.prune if name == "pruned" else (found.precision == name and not found.prune)


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return recipe.load(str(path))


def test_a_backend_may_differ(tmp_path):
    mine = written(tmp_path, '[quantize]\nprecision = "int8"\ntiles = 8\n[backend.tflite]\nestimator = "mse"\nfloat_layers = ["head.*"]\n')
    assert mine.for_backend("tflite") == Quantize("int8", "mse", tiles=8, float_layers=("head.*",))
    assert mine.for_backend("executorch") == Quantize("int8", tiles=8)


def test_biases_are_corrected_where_weights_are_rounded_once_and_for_all(tmp_path):
    precisions = ("int8", "int8-weights", "int8-dynamic", "palettized-4", "fp16")
    assert [p for p in precisions if Quantize(p).corrects_bias] == ["int8", "int8-weights"]
    assert not written(tmp_path, '[quantize]\nprecision = "int8"\nbias_correction = false\n').quantize.corrects_bias


def test_a_prune_table_is_read_whole(tmp_path):
    table = 'ratio = 0.3\ncost = "latency"\nimportance = "taylor"\nmultiple = 4\nlayers = ["body.*", "tail.*"]\nshared = true\nblocks = 2\n'
    mine = written(tmp_path, f'[prune]\n{table}[quantize]\nprecision = "int8"\n')
    assert mine.prune == Prune(0.3, "latency", "taylor", 4, ("body.*", "tail.*"), True, 2) and mine.precision == "int8"


def test_a_ratio_is_all_a_prune_table_needs(tmp_path):
    mine = written(tmp_path, "[prune]\nratio = 0.25\n")
    assert mine.prune == Prune(0.25) and mine.quantize is None and mine.precision == "fp32"


@pytest.mark.parametrize(
    "text,line",
    [
        ('[quantize]\nprecision = "int9"\n', "precision is 'int9'; expected one of fp16, fp32, int8"),
        ('[quantize]\nprecision = "int8"\ntiles = -1\n', "mine.toml: quantize: tiles is -1; expected 1 to 10000"),
        ('[quantize]\nprecision = "int8"\npercentile = 101\n', "percentile is 101.0; expected above 50"),
        ('[quantize]\nprecision = "int8"\n[backend.tflite]\ntiles = 0\n', "mine.toml: [backend.tflite]: tiles is 0"),
        ('[quantize]\nprecision = "int8"\n[backend.tflite]\nestimators = "mse"\n', "unknown key 'estimators'"),
        ("[backend.tflite]\ntiles = 4\n", "without [quantize]"),
        ("[prun]\n", "unknown key 'prun'"),
        ("[prune]\n", "mine.toml: prune: 'ratio' is missing; expected a number"),
        ("[prune]\nratio = 0\n", "mine.toml: prune: ratio is 0; expected above 0 (nothing removed) and below 1 (nothing left)"),
        ("[prune]\nratio = 1\n", "mine.toml: prune: ratio is 1; expected above 0"),
        ("[prune]\nratio = nan\n", "mine.toml: prune: ratio is nan; expected a finite number"),
        ('[prune]\nratio = "half"\n', "mine.toml: prune: ratio is 'half'; expected a number"),
        ("[prune]\nratio = 0.3\nmultiple = -8\n", "mine.toml: prune: multiple is -8; expected 1 to 64"),
        ("[prune]\nratio = 0.3\nmultiple = 0\n", "mine.toml: prune: multiple is 0; expected 1 to 64"),
        ("[prune]\nratio = 0.3\nblocks = -1\n", "mine.toml: prune: blocks is -1; expected 0 or more"),
        ("[prune]\nratio = 0.3\nlayers = []\n", "mine.toml: prune: layers is empty; expected globs such as 'body.*'"),
        ('[prune]\nratio = 0.3\nimportance = "l2"\n', "mine.toml: prune: importance is 'l2'; expected one of activation, l1, taylor"),
        ('[prune]\nratio = 0.3\ncost = "flops"\n', "mine.toml: prune: cost is 'flops'; expected one of latency, macs, parameters"),
        ("[prune]\nratio = 0.3\nblock = 1\n", "mine.toml: prune: unknown key 'block'; expected one of ratio, cost, importance, multiple"),
        ("prune = 0.5\n", "mine.toml: prune is 0.5; expected a table"),
    ],
)
def test_faults_are_one_line(tmp_path, text, line):
    with pytest.raises(InvalidFile) as caught:
        written(tmp_path, text)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_names_offer_the_closest():
    with pytest.raises(UnknownName, match="did you mean 'int8-dynamic'"):
        recipe.load("int8-dynamik")
