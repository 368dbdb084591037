"""The two sets that ship: whole, free, varied, apart."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit_calibration
from edgekit_calibration.make_sets import HERE, docs_page
from edgekit_calibration.pixels import read_pixels
from edgekit_calibration.setfile import read_set_file
from edgekit_calibration.sources import read_sources

ROOT = Path(__file__).parent.parent.parent
FREE = {
    "CC0-1.0", "CC-BY-2.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "GPL-2.0-or-later", "LGPL-3.0-only", "MIT", "BSD-3-Clause",
    "LicenseRef-public-domain",
}  # fmt: skip
SHOWN = {"day", "night", "skin", "foliage", "text", "gradient", "texture", "near-white", "near-black"}


@pytest.fixture(params=["photos", "testset"])
def found(request):
    return edgekit_calibration.load("photos") if request.param == "photos" else edgekit_calibration.test_set()


def test_names():
    assert edgekit_calibration.names() == ("photos",)
    assert edgekit_calibration.load("photos").name == "photos"
    assert edgekit_calibration.test_set().name == "testset"


def test_enough_pictures_and_tiles():
    assert len(edgekit_calibration.load("photos").pictures) >= 24
    test = read_set_file(HERE / "testset").picture
    assert len(test) >= 28
    tiles = sum(math.ceil(entry.width / 2 / 128) * math.ceil(entry.height / 2 / 128) for entry in test)  # at scale 2
    assert tiles >= 96


def test_every_picture_is_complete(found):
    for picture in found.pictures:
        tensor = picture.tensor()
        assert tensor.dtype == torch.float32 and tensor.is_contiguous()
        assert tensor.shape[:2] == (1, 3)
        assert min(tensor.shape[2:]) >= 192 and all(side % 24 == 0 for side in tensor.shape[2:])
        assert tensor.min() >= 0 and tensor.max() <= 1 and tensor.std() > 0.01
        assert picture.licence in FREE and picture.origin and picture.tags
        assert picture.path.suffix == ".webp"


def test_every_kind_of_content_is_shown(found):
    assert {tag for picture in found.pictures for tag in picture.tags} >= SHOWN


def test_tags_of_light_are_true(found):
    for picture in found.pictures:
        values = read_pixels(picture.path).mean(axis=2)
        if "near-white" in picture.tags:
            assert np.mean(values > 230) > 0.05, picture.name
        if "near-black" in picture.tags:
            assert np.mean(values < 25) > 0.05, picture.name
        if "grey" in picture.tags:
            assert np.ptp(read_pixels(picture.path).astype(int), axis=2).mean() < 4, picture.name


def test_sets_follow_the_sources():
    sources = read_sources()
    for name, role in (("photos", "calibration"), ("testset", "test")):
        listed = {Path(entry.file).stem: entry for entry in read_set_file(HERE / name).picture}
        meant = {photograph.id: photograph for photograph in sources.photograph if photograph.role == role}
        assert listed.keys() == meant.keys()
        for key, entry in listed.items():
            assert (entry.author, entry.licence, entry.tags) == (meant[key].author, meant[key].licence, meant[key].tags)
            assert entry.origin == sources.origin(meant[key])
    assert len({photograph.sha256 for photograph in sources.photograph}) == len(sources.photograph)
    assert {path.name for path in (HERE / "photos").iterdir()} == {entry.file for entry in read_set_file(HERE / "photos").picture} | {"set.toml"}


def test_small_enough_to_ship():
    assert sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()) <= 14e6


def test_page_is_up_to_date():
    assert (ROOT / "toolkit/docs/pictures.md").read_text("utf-8") == docs_page()
