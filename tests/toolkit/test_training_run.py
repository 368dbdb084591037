"""A whole training of a small network on two pictures: what it writes, and what its test numbers mean."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edgekit import models, training_run
from edgekit.errors import InvalidCheckpoint
from edgekit.models.degrade import resize
from edgekit.models.edsr import EDSR
from edgekit.models.edsr_mobile import EDSRMobile
from edgekit.models.unet import UNet
from edgekit.models.zero_dce import ZeroDCE
from edgekit.preparation import PictureSet
from edgekit.train import TrainSettings


def picture(seed: int, height: int = 70, width: int = 67) -> Tensor:
    """Sides that no network divides."""
    soft = resize(torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(seed)), height, width)
    return (soft.clamp(0, 1) * 255).round() / 255


TEST = PictureSet("two", "0" * 64, [("a", picture(0)), ("grey", picture(1).mean(1, keepdim=True).mul(255).round().div(255).expand(-1, 3, -1, -1))])
CROPS = torch.cat([picture(seed, 80, 80) for seed in (2, 3, 4)]).mul(255).round().byte()
SMALL = {
    "edsr": lambda: EDSR(2, blocks=1, channels=8),
    "edsr-x4": lambda: EDSR(4, blocks=1, channels=8),
    "edsr-mobile": lambda: EDSRMobile(2, (8, 8), trainable=True),
    "denoise": lambda: UNet((4, 8)),
    "lowlight": lambda: ZeroDCE(8),
}


def small(name: str) -> models.Entry:
    return replace(models.entry(name), build=SMALL[name])


def run(name: str, out, steps: int = 2, **options) -> training_run.Card:
    settings = TrainSettings(steps=steps, batch=2, patch_px=64 if name == "lowlight" else 16)
    return training_run.run(small(name), CROPS, "three pictures", TEST, settings, out, device="cpu", progress=lambda *_: None, **options)


def test_every_model_has_a_method():
    assert list(training_run.METHODS) == [entry.name for entry in models.MODELS]
    for method in training_run.METHODS.values():
        assert method.init is None or method.init in models.names()


@pytest.mark.parametrize("name", SMALL)
def test_a_run_writes_weights_that_load_and_a_card(name, tmp_path):
    card = run(name, tmp_path)
    weights = tmp_path / f"{name}.safetensors"
    assert {path.name for path in tmp_path.iterdir()} == {weights.name, f"{name}.json", f"{name}.resume"}
    written = json.loads((tmp_path / f"{name}.json").read_text())
    assert written == json.loads(json.dumps(asdict(card))) and (written["model"], written["steps"], written["pictures"]) == (name, 2, 2)
    assert (written["data"], written["crops"], written["init"]) == ("three pictures", 3, None)
    with safe_open(weights, "pt") as file:
        assert json.loads(file.metadata()["card"]) == written
    loaded = models.load(str(weights))
    assert sum(p.numel() for p in loaded.module.parameters()) == card.parameters
    assert training_run.METHODS[name].test(loaded.module, small(name), TEST) == card.test, "the numbers are those of the file"
    assert any(f"{abs(value):.2f}" in card.headline for value in card.test.values()) and "{" not in card.headline


def test_a_run_resumes(tmp_path):
    run("edsr", tmp_path)
    assert run("edsr", tmp_path, steps=3).steps == 3


def test_a_run_with_nothing_left_to_do_writes_its_card_again(tmp_path):
    first, second = run("edsr", tmp_path), run("edsr", tmp_path)
    assert second.test == first.test and second.steps == 2

    def not_json(constant: str):
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads((tmp_path / "edsr.json").read_text(), parse_constant=not_json)["loss"] is None, "no step, no loss"


def test_the_same_seed_writes_the_same_weights(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        run("edsr-mobile", tmp_path / folder)
    a, b = (load_file(tmp_path / folder / "edsr-mobile.safetensors") for folder in ("a", "b"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_starts_from_other_weights(tmp_path):
    """x4 from x2: the same tensors up to the second stage of the upsampler."""
    torch.manual_seed(7)
    given = EDSR(2, blocks=1, channels=8).state_dict()
    save_file(given, tmp_path / "x2.safetensors")
    torch.manual_seed(0)
    network = EDSR(4, blocks=1, channels=8)
    own = {key: value.clone() for key, value in network.state_dict().items()}
    training_run.start_from(network, tmp_path / "x2.safetensors")
    taken = {key for key, value in network.state_dict().items() if not torch.equal(value, own[key])}
    assert all(torch.equal(network.state_dict()[key], given[key]) for key in taken)
    assert taken == {key for key in own if not key.startswith("tail.0.2")}
    assert run("edsr-x4", tmp_path, init=tmp_path / "x2.safetensors").init == "x2.safetensors"


def test_weights_that_fit_nowhere_are_refused(tmp_path):
    save_file({"a": torch.zeros(1), "head.0.weight": torch.zeros(9, 3, 3, 3)}, tmp_path / "x.safetensors")
    with pytest.raises(InvalidCheckpoint, match=r"x\.safetensors: none of its 2 tensors fits EDSR; expected weights of a similar network$"):
        training_run.start_from(EDSR(2, blocks=1, channels=8), tmp_path / "x.safetensors")


class Answer(nn.Module):
    """A network that is a plain function."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize("name", ["edsr", "edsr-x4"])
def test_bicubic_gains_nothing_over_bicubic(name):
    scale = models.entry(name).scale
    found = training_run.test_super_resolution(Answer(lambda x: resize(x, x.shape[-2] * scale, x.shape[-1] * scale)), models.entry(name), TEST)
    assert found["gain_db"] == found["least_gain_db"] == 0 and found["psnr_db"] == found["bicubic_db"] > 20
    nearest = training_run.test_super_resolution(Answer(lambda x: nn.functional.interpolate(x, scale_factor=scale)), models.entry(name), TEST)
    assert nearest["least_gain_db"] <= nearest["gain_db"] < -0.5


def test_no_denoising_gains_nothing():
    found = training_run.test_denoiser(Answer(lambda x: x), models.entry("denoise"), TEST)
    assert all(value == 0 for key, value in found.items() if "gain" in key)
    noise_only = {sigma: 20 * torch.log10(torch.tensor(255 / sigma)) for sigma in (5, 15, 25)}
    assert all(found[f"psnr_{sigma}_db"] == pytest.approx(float(level), abs=0.6) for sigma, level in noise_only.items())
    blurred = training_run.test_denoiser(
        Answer(lambda x: nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)), models.entry("denoise"), TEST
    )
    assert blurred["least_gain_25_db"] > 3 and blurred["gain_50_db"] > blurred["gain_5_db"]


def test_low_light_numbers():
    entry, grey = models.entry("lowlight"), PictureSet("grey", "", [(str(v), torch.full((1, 3, 40, 40), v / 255)) for v in (90, 160)])
    same = training_run.test_low_light(Answer(lambda x: x), entry, grey)
    assert same["brightness_before"] == same["brightness_after"] < 0.4 and same["psnr_db"] == same["dark_psnr_db"]
    assert same["clipped"] == same["cast"] == 0
    white = training_run.test_low_light(Answer(torch.ones_like), entry, grey)
    assert white["clipped"] == white["worst_clipped"] == white["brightness_after"] == 1
    lit = replace(entry, degrade=lambda clean: (clean,))
    half_white = PictureSet("white", "", [("w", torch.cat([torch.ones(1, 3, 40, 20), torch.full((1, 3, 40, 20), 0.5)], 3))])
    assert training_run.test_low_light(Answer(lambda x: x), lit, half_white)["clipped"] == 0, "it was white before"
    assert training_run.test_low_light(Answer(torch.ones_like), lit, half_white)["clipped"] == 0.5
    red = training_run.test_low_light(Answer(lambda x: x * torch.tensor([1.5, 1.0, 1.0]).view(1, 3, 1, 1)), entry, grey)
    reddest = max(float(entry.degrade(clean)[0].mean()) for _, clean in grey.pictures) * 0.5
    assert 0 < red["cast"] <= red["worst_cast"] and reddest / 2 < red["worst_cast"] < reddest + 1 / 255


@pytest.mark.parametrize("corrupt", [training_run.add_noise, training_run.dim], ids=["noise", "dim"])
def test_training_inputs_lie_on_the_grid_and_are_new_each_time(corrupt):
    clean, random = torch.cat([picture(0), picture(0)]), torch.Generator().manual_seed(0)
    first, second = corrupt(clean, random), corrupt(clean, random)
    assert torch.equal(first, (first * 255).round() / 255) and first.min() >= 0 and first.max() <= 1
    assert not torch.equal(first, second) and not torch.equal(first[0], first[1])
    assert torch.equal(first, corrupt(clean, torch.Generator().manual_seed(0)))


def test_training_covers_what_the_networks_are_tested_on():
    grey, random = torch.full((400, 3, 16, 16), 128 / 255), torch.Generator().manual_seed(0)
    sigmas = ((training_run.add_noise(grey, random) - grey) * 255).flatten(1).std(1)
    assert sigmas.min() < 4.5 and 49 < sigmas.max() < 60
    light = training_run.dim(torch.full((400, 3, 2, 2), 1.0), random).mean((1, 2, 3))
    assert light.max() > 0.95, "well-lit pictures too"
    assert light.min() < float(models.degrade.expose(torch.tensor(1.0), 0.04)), "and the darkest of `darkened`"
