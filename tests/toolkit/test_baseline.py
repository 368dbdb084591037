"""Classical steps beside a network: measured as the files are, on the same pictures; the page says who is nearer to the clean ones."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from reports import full
from test_report import Page
from torch import Tensor, nn

from edgekit import baseline, evidence, metrics, preparation, report
from edgekit.enhancer import Adjustment, Enhancer, ImageSpec
from edgekit.errors import InvalidFile
from edgekit.evidence import Fidelity
from edgekit.models.degrade import darkened, downscale, noisy, resize
from edgekit.parity import ParitySet


def smooth(seed: int) -> Tensor:
    """Like a photograph: soft, with an edge."""
    picture = resize(torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(seed)), 48, 48).clamp(0, 1)
    picture[..., 30:] *= 0.4
    return picture


PICTURES = [(f"{seed}.png", smooth(seed)) for seed in range(5)]


def enhancer(colour: str = "rgb", scale: int = 1, **more) -> Enhancer:
    degrade = more.pop("degrade", noisy(25, 25))
    spec = ImageSpec("image", 1 if colour in ("grey", "luma") else 3, colour)
    return Enhancer("net", nn.Identity(), degrade, scale, **({"inputs": (spec,), "outputs": (replace(spec, name="out"),)} | more))


def sides(network: Enhancer) -> ParitySet:
    return preparation.cut(network, PICTURES, (32, 32) if network.tiling == "exact" else (48, 48), 4 if network.tiling == "exact" else 0)


def beside(network: Enhancer, tiles: ParitySet, outputs: list[Tensor]) -> dict[str, Fidelity]:
    return {way.name: way for way in baseline.beside(network, tiles, {"net": outputs}, lambda what, done, total: None)}


def test_a_network_that_does_nothing_is_the_input_and_a_filter_beats_it():
    network = enhancer()
    tiles = sides(network)
    found = beside(network, tiles, [tile[0] for tile in tiles.tiles])
    given, net = found["the input as it is"], found["net"]
    assert (given.psnr_db, given.worst_psnr_db, given.ssim) == (net.psnr_db, net.worst_psnr_db, net.ssim)
    assert (given.kind, net.kind) == ("classical", "network") and list(found)[-1] == "net"
    psnr = [metrics.psnr_uint8_db(picture.clean, picture.inputs[0]) for picture in tiles.pictures]
    assert given.psnr_db == pytest.approx(sum(psnr) / 5) and given.worst_psnr_db == min(psnr)
    (bilateral,) = (way for name, way in found.items() if name.startswith("bilateral filter, sigma_space 2"))
    assert bilateral.psnr_db > given.psnr_db + 5 and bilateral.ssim > given.ssim
    assert len(found) == 5 and sum("CLAHE" in name or "equalization" in name for name in found) == 2


def test_the_best_setting_is_taken_from_every_fourth_picture():
    network = enhancer()
    tiles = sides(network)
    few = replace(tiles, pictures=tiles.pictures[:: baseline.TUNED_ON])
    (chosen,) = (name for name in beside(network, tiles, [tile[0] for tile in tiles.tiles]) if name.startswith("bilateral"))
    scores = {}
    for step in baseline.SETTINGS["bilateral filter"]:
        made = [(p.clean, baseline.classical.apply(step, p.inputs[0][0])[None]) for p in few.pictures]
        scores[step.parameters["sigma_colour"]] = sum(metrics.psnr_uint8_db(clean, one) for clean, one in made)
    assert chosen.endswith(f"sigma_colour {max(scores, key=scores.__getitem__):g}")


def test_super_resolution_is_held_against_bicubic_alone():
    network = enhancer(scale=2, degrade=downscale(2))
    tiles = sides(network)
    outputs = [nn.functional.interpolate(tile[0], scale_factor=2) for tile in tiles.tiles]
    found = beside(network, tiles, outputs)
    assert list(found) == ["bicubic enlargement", "net"]
    expected = [metrics.psnr_uint8_db(p.clean, resize(p.inputs[0], 48, 48).clamp(0, 1)) for p in tiles.pictures]
    assert found["bicubic enlargement"].psnr_db == pytest.approx(sum(expected) / 5) and found["net"].psnr_db < sum(expected) / 5


@pytest.mark.parametrize("colour", ["bgr", "luma"])
def test_colours_are_those_of_the_network(colour):
    def degrade(clean: Tensor) -> tuple[Tensor, ...]:
        (made,) = darkened(0.2, 0.2)(clean)
        return (made.flip(1) if colour == "bgr" else baseline.luma(made),)

    network, plain = enhancer(colour, degrade=degrade), enhancer(degrade=darkened(0.2, 0.2))
    tiles, plain_tiles = sides(network), sides(plain)
    found = beside(network, tiles, [tile[0] for tile in tiles.tiles])
    expected = beside(plain, plain_tiles, [tile[0] for tile in plain_tiles.tiles])
    assert found["net"].psnr_db == pytest.approx(found["the input as it is"].psnr_db, abs=1e-3) and len(found) == 5
    equalized = "histogram equalization"
    assert found[equalized].psnr_db > found["net"].psnr_db
    if colour == "bgr":
        assert found[equalized].psnr_db == pytest.approx(expected[equalized].psnr_db, abs=1e-3)


def test_numbers_are_applied_before_they_are_compared():
    apply = Adjustment("gain-gamma-saturation", "settings", ((0.25, 4.0), (0.25, 4.0), (0.0, 2.0)))
    network = enhancer(degrade=darkened(0.3, 0.3), outputs=(ImageSpec("settings", 3, "scalar"),), tiling="whole", apply=apply)
    tiles = sides(network)
    found = beside(network, tiles, [torch.full((1, 3), 0.5)] * 5)
    assert found["net"].psnr_db == pytest.approx(found["the input as it is"].psnr_db, abs=0.01), "the middle changes nothing"
    brighter = beside(network, tiles, [torch.tensor([[0.75, 0.5, 0.5]])] * 5)
    assert brighter["net"].psnr_db > found["net"].psnr_db + 3


def test_nothing_is_claimed_where_no_clean_picture_is_known():
    styled = enhancer(task="generate")
    tiles = sides(styled)
    assert beside(styled, tiles, [tile[0] for tile in tiles.tiles]) == {}
    fused = enhancer(inputs=(ImageSpec("a"), ImageSpec("b")), degrade=lambda clean: (clean, clean))
    tiles = sides(fused)
    assert beside(fused, tiles, [tile[0] for tile in tiles.tiles]) == {}


WAYS = (Fidelity("the input as it is", "classical", 20.0, 15.0, 0.6), Fidelity("CLAHE <b>", "classical", 24.0, 18.0, 0.75))


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (
            Fidelity("the network", "network", 25.5, 20.0, 0.8),
            "the network is 1.50 dB better than the best classical way, CLAHE <b>; its SSIM is 0.0500 higher.",
        ),
        (
            Fidelity("the network", "network", 23.0, 20.0, 0.7),
            "is 1.00 dB worse than a classical way, CLAHE <b>, and its SSIM is not higher: is it worth its time?",
        ),
        (
            Fidelity("the network", "network", 23.0, 20.0, 0.8),
            "has 1.00 dB less than the best classical way, CLAHE <b>, but its SSIM is 0.0500 higher",
        ),
    ],
)
def test_the_page_says_who_is_nearer(net, said, tmp_path):
    page = Page(report.build(full(tmp_path, fidelity=(*WAYS, net))))
    assert said in page.text and page.row("the network") == [f"{net.psnr_db:.2f}", "20.00", f"{net.ssim:.4f}"]
    assert page.row("CLAHE") == ["24.00", "18.00", "0.7500"] and "Their time was not measured." in page.text


def test_the_page_without_such_numbers_says_nothing_of_them(tmp_path):
    assert "classical" not in Page(report.build(full(tmp_path))).text


@pytest.mark.parametrize("change", [{"psnr_db": 101.0}, {"worst_psnr_db": -1.0}, {"ssim": 1.5}, {"kind": "magic"}, {"psnr_db": None}])
def test_such_numbers_are_not_believed(change, tmp_path):
    opened = full(tmp_path, fidelity=WAYS)
    assert (evidence.read(opened) or pytest.fail()).fidelity == WAYS
    file = opened.path / "evidence" / "evidence.json"
    table = json.loads(file.read_text("utf-8"))
    table["fidelity"][1] |= change
    file.write_text(json.dumps(table), "utf-8")
    with pytest.raises(InvalidFile, match="fidelity"):
        evidence.read(opened)
