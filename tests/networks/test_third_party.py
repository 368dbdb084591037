"""A network that edgekit has never seen goes in by module:factory, as the README says, and a measured file comes out."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgekit import bundle
from edgekit.cli import console, main, sets
from edgekit.preparation import PictureSet

THIRD_PARTY = Path(__file__).parent / "third_party"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The network's folder as its author has it; few and small test pictures, because this is about the network."""
    shutil.copytree(THIRD_PARTY, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(console, "_terminal", None)
    whole = sets.test_set()
    few = [(name, picture[..., :96, :128].contiguous()) for (name, picture), _ in zip(whole.pictures, range(2), strict=False)]
    monkeypatch.setattr(sets, "test_set", lambda: PictureSet("few", whole.sha256, few))
    sys.modules.pop("lumen", None)
    yield tmp_path
    sys.modules.pop("lumen", None)


def lumen() -> torch.nn.Module:
    return sys.modules["lumen"].enhancer()


def test_inspect_says_what_was_probed(place, capfd):
    assert main(["inspect", "lumen:enhancer", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["name"], found["scale"], found["multiple_of"], found["tiling"], found["licence"]) == ("lumen", 1, 4, "exact", "MIT")
    assert found["inputs"] == ["image: 3 rgb, 0 to 1"] and found["receptive_radius"] == 65
    assert found["probed"] == ["scale 1", "multiple of 4", "tiling exact, a pixel reaches 65 px"]


def test_it_exports_runs_and_validates(place, capfd):
    arguments = ["export", "--model", "lumen:enhancer", "--target", "android", "--backend", "executorch", "--recipe", "fp32", "--tile", "64x64"]
    assert main([*arguments, "--out", "made"]) in (0, 1)
    assert "nobody stated, so probed: scale 1; multiple of 4" in capfd.readouterr().err
    opened = bundle.read(place / "made")
    (artifact,) = opened.manifest.artifacts
    assert [line.name for line in artifact.budget if line.status == "over"] == []
    assert artifact.delegation is not None and artifact.delegation.partitions == 1 and artifact.delegation.leftovers == {}
    assert artifact.parity is not None and artifact.parity.worst_psnr_db is not None and artifact.parity.worst_psnr_db > 80
    assert opened.manifest.image.inputs[0].colour == "rgb" and opened.manifest.image.multiple_of == 4

    picture = (np.random.default_rng(0).random((90, 110, 3)) * 255).astype(np.uint8)
    Image.fromarray(picture).save("photo.png")
    assert main(["run", "made", "photo.png", "--out", "enhanced"]) == 0
    result = np.asarray(Image.open(next(Path("enhanced").iterdir())).convert("RGB"))[20:60, 20:60].astype(int)
    bgr = torch.from_numpy(picture[:88, :108, ::-1].copy()).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        expected = lumen()(bgr)[0].permute(1, 2, 0).numpy()[20:60, 20:60, ::-1].clip(0, 255)
    # Far from the edge, where its halo was found to be enough, the file gives what the author's own code gives.
    assert np.abs(result - expected).max() <= 2

    assert main(["validate", "made", "--weights", "lumen:enhancer", "--golden-only"]) == 0
