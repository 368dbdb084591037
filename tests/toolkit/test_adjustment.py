"""Networks that give numbers instead of a picture, and what the numbers do to it at full size."""

import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import bundles
import numpy as np
import pytest
import torch

from edgekit import bundle, manifest_file, models
from edgekit.adjustment import adjusted, settings
from edgekit.cli import console, main, sets
from edgekit.enhance import TileSpec, enhance_adjusted
from edgekit.enhancer import Adjustment
from edgekit.errors import EdgekitError, InvalidFile
from edgekit.models.degrade import resize
from edgekit.picture import SourcePicture, create_picture, open_picture
from edgekit.preparation import PictureSet

APPLY = Adjustment("gain-gamma-saturation", "settings", ((0.5, 4.0), (0.25, 2.0), (0.0, 2.0)))
WEIGHTS = Path(__file__).parents[1] / "networks" / "weights" / "adjust.safetensors"
SPEC = TileSpec((64, 48), 0, result="scalar")


def by_hand(pixels: np.ndarray, gain: float, gamma: float, saturation: float) -> np.ndarray:
    """(H, W, 3) of any depth -> float64 in [0, 1], written down a second time."""
    bright = np.clip(gain * pixels.astype(np.float64) / np.iinfo(pixels.dtype).max, 1e-6, 1) ** gamma
    grey = bright.mean(2, keepdims=True)
    return np.clip(grey * (1 - saturation) + saturation * bright, 0, 1)


def test_positions_span_the_ranges() -> None:
    ends = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1 / 3, 2 / 3, 0.5]])
    expected = torch.tensor([[0.5, 0.25, 0.0], [4.0, 2.0, 2.0], [1.0, 1.0, 1.0]])
    assert torch.allclose(settings(APPLY, ends), expected, atol=1e-6)


def test_gain_gamma_and_saturation_of_one_change_nothing_and_others_what_they_say() -> None:
    picture = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0)).clamp(min=1e-5)
    numbers = torch.tensor([[1.0, 1.0, 1.0], [1.7, 0.6, 1.4]])
    same, changed = adjusted(picture, numbers)
    assert torch.allclose(same, picture[0], atol=1e-6)
    levels = (picture[1] * 65535).round()
    expected = by_hand(levels.permute(1, 2, 0).numpy().astype(np.uint16), 1.7, 0.6, 1.4)
    assert np.abs(changed.permute(1, 2, 0).numpy() - expected).max() < 1e-4
    assert torch.equal(adjusted(picture[:1], torch.tensor([[2.0, 0.5, 0.0]]))[0, 0], adjusted(picture[:1], torch.tensor([[2.0, 0.5, 0.0]]))[0, 2])


class RowsCounted(SourcePicture):
    """Says how many rows it was asked for at once."""

    asked: ClassVar[list[int]] = []

    def colour(self, rows):
        self.asked.append(len(rows))
        return super().colour(rows)


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 4), (np.uint8, 1), (np.uint16, 2)])
def test_the_picture_keeps_its_size_depth_and_alpha_in_bounded_memory(dtype, channels, tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (601, 83, channels), dtype=dtype)
    source = RowsCounted("in.png", pixels)
    source.asked.clear()
    seen = []

    def session(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        seen.append(inputs[0])
        return torch.zeros(1, 1), torch.tensor([[0.5, 0.4, 0.6]])

    enhance_adjusted(session, SPEC, APPLY, 1, source, tmp_path / "out.png")
    assert max(source.asked) <= 64, "never the whole picture at once"
    (given,) = seen
    assert given.shape == (1, 3, 64, 48) and torch.allclose(given, resize(source.colour(range(601))[None], 64, 48).clamp(0, 1), atol=1e-5)

    made = open_picture(tmp_path / "out.png").pixels
    assert (made.dtype, made.shape) == (pixels.dtype, pixels.shape)
    colours = 1 if channels <= 2 else 3
    numbers = settings(APPLY, torch.tensor([[0.5, 0.4, 0.6]]))[0].tolist()
    expected = by_hand(pixels[:, :, :colours], *numbers) * np.iinfo(dtype).max
    assert np.abs(made[:, :, :colours] - expected).max() <= (1 if dtype == np.uint8 else 3)
    assert np.array_equal(made[:, :, colours:], pixels[:, :, colours:])


def test_files_of_8_bits_get_levels_and_give_levels(tmp_path) -> None:
    source = SourcePicture("in.png", np.full((70, 50, 3), 64, np.uint8))

    def session(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        assert inputs[0].dtype == torch.uint8 and set(inputs[0].unique().tolist()) == {64}
        return (torch.tensor([[255, 170, 0]], dtype=torch.uint8),)  # gain 4, gamma 1, no colours

    enhance_adjusted(session, replace(SPEC, io="uint8"), APPLY, 0, source, tmp_path / "out.png")
    assert set(np.unique(open_picture(tmp_path / "out.png").pixels)) <= {255}


@pytest.mark.parametrize(
    ("given", "line"), [(torch.zeros(1, 4), r"gave \(1, 4\); expected \(1, 3\)"), (torch.tensor([[0.1, float("nan"), 0.2]]), "not finite")]
)
def test_other_numbers_are_refused_and_leave_no_file(given, line, tmp_path) -> None:
    source = SourcePicture("in.png", np.zeros((70, 50, 3), np.uint8))
    with pytest.raises(EdgekitError, match=line):
        enhance_adjusted(lambda inputs: (given,), SPEC, APPLY, 0, source, tmp_path / "out.png")
    assert not list(tmp_path.iterdir())


def table(folder: Path) -> dict:
    """A manifest whose files give three numbers."""
    found = json.loads(manifest_file.to_json(bundles.sample(folder)[0]))
    found["model"]["scale"] = found["image"]["scale"] = 1
    found["image"]["outputs"] = [found["image"]["outputs"][0] | {"name": "settings", "colour": "scalar"}]
    return found | {"apply": {"kind": "gain-gamma-saturation", "output": "settings", "ranges": [list(r) for r in APPLY.ranges]}}


def test_the_manifest_says_what_the_numbers_do(tmp_path) -> None:
    found = table(tmp_path)
    assert manifest_file.from_json(json.dumps(found), "m").apply == APPLY
    del found["apply"]
    assert manifest_file.from_json(json.dumps(found), "m").apply is None, "older manifests lack the key"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"ranges": [[0.0, 4.0], [0.5, 2.0], [0.0, 2.0]]}, "apply: ranges is .*of gain and gamma above 0"),
        ({"ranges": [[0.5, 4.0], [2.0, 0.5], [0.0, 2.0]]}, "apply: ranges is"),
        ({"ranges": [[0.5, 4.0], [0.5, 2.0], [-1.0, 2.0]]}, "apply: ranges is"),
        ({"ranges": [[0.5, 4.0]]}, "ranges"),
        ({"kind": "curves"}, "kind"),
        ({"output": "enhanced"}, "apply: output is 'enhanced'; expected a scalar output of 3 channels: settings"),
    ],
)
def test_manifests_that_cannot_be_applied_are_refused(changes, line, tmp_path) -> None:
    found = table(tmp_path)
    found["apply"] |= changes
    with pytest.raises(InvalidFile, match=line):
        manifest_file.from_json(json.dumps(found), "m")


def test_an_apply_without_one_picture_is_refused(tmp_path) -> None:
    found = table(tmp_path) | {"sampler": {"kind": "ddim", "noise": [0.5], "seed": 0}}
    with pytest.raises(InvalidFile, match="apply: image has scale 1 and the inputs rgb; expected scale 1, one picture and no sampler"):
        manifest_file.from_json(json.dumps(found), "m")


def test_a_network_exports_and_runs_as_it_adjusts(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "_terminal", None)
    whole = sets.test_set()
    few = [(name, picture[..., :96, :96].contiguous()) for (name, picture), _ in zip(whole.pictures, range(2), strict=False)]
    monkeypatch.setattr(sets, "test_set", lambda: PictureSet("few", whole.sha256, few))
    arguments = [
        "export",
        "--model",
        str(WEIGHTS),
        "--target",
        "desktop",
        "--backend",
        "onnx",
        "--recipe",
        "fp32",
        "--tile",
        "64x64",
        "--out",
        "made",
    ]
    code = main(arguments)
    assert code in (0, 1), capfd.readouterr().err
    apply = bundle.read(Path("made")).manifest.apply
    enhancer = models.load(str(WEIGHTS))
    assert apply is not None and apply == enhancer.apply

    pixels = (few[0][1][0] * 65535 * 0.4).permute(1, 2, 0).numpy().astype(np.uint16)  # dark
    source = SourcePicture("in.png", np.tile(pixels, (4, 3, 1)))
    with create_picture(Path("dark.png"), source, source.height, source.width) as file:
        file.write(source.pixels)
    assert main(["run", "made", "dark.png", "--out", "enhanced"]) == 0, capfd.readouterr().err
    with torch.no_grad():
        positions = enhancer.module(resize(source.colour(range(source.height))[None], 64, 64).clamp(0, 1))
    expected = by_hand(source.pixels, *settings(apply, positions)[0].tolist()) * 65535
    made = open_picture(Path("enhanced/dark.png")).pixels
    assert made.dtype == np.uint16 and np.abs(made - expected).max() <= 6
    assert made.mean() > 1.2 * source.pixels.mean(), "the network has learned to lighten dark pictures"
