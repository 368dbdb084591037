import pytest

from edgekit import recipe
from edgekit.errors import InvalidFile, UnknownName
from edgekit.recipe import Quantize


@pytest.mark.parametrize("name", recipe.names())
def test_a_built_in_recipe_is_named_after_what_it_does(name):
    found = recipe.load(name)
    assert found.precision == name and found.description


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return recipe.load(str(path))


def test_a_backend_may_differ(tmp_path):
    mine = written(tmp_path, '[quantize]\nprecision = "int8"\ntiles = 8\n[backend.tflite]\nestimator = "mse"\nfloat_layers = ["head.*"]\n')
    assert mine.for_backend("tflite") == Quantize("int8", "mse", tiles=8, float_layers=("head.*",))
    assert mine.for_backend("executorch") == Quantize("int8", tiles=8)


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
    ],
)
def test_faults_are_one_line(tmp_path, text, line):
    with pytest.raises(InvalidFile) as caught:
        written(tmp_path, text)
    assert line in str(caught.value)


def test_unknown_names_offer_the_closest():
    with pytest.raises(UnknownName, match="did you mean 'int8-dynamic'"):
        recipe.load("int8-dynamik")
