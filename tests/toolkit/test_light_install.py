"""A CUDA machine needs torch, numpy, pillow, safetensors, typer, rich and a source checkout: no toolchain, no environment, no installed edgekit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from PIL import Image
from safetensors.torch import save_file

from edgekit.models.edsr import EDSR

ROOT = Path(__file__).parents[2]
CORE = ("torch", "numpy", "pillow", "safetensors", "typer", "rich")


def with_their_own(names: tuple[str, ...]) -> set[str]:
    """The packages, and those that they require, and so on."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower()
        try:
            needs = [Requirement(text) for text in distribution(name).requires or []]
        except PackageNotFoundError:  # what this machine needs none of
            continue
        if name not in found:
            found.add(name)
            waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Runs Python with those packages alone: -S leaves this environment's site-packages out, a folder of links brings them back one by one."""
    site = tmp_path_factory.mktemp("site")
    for name in with_their_own(CORE):
        dist = distribution(name)
        for top in {file.parts[0] for file in dist.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(dist.locate_file(top))))
    path = os.pathsep.join(map(str, (ROOT / "toolkit", ROOT / "targets", ROOT / "calibration", site)))

    def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HOME": str(cwd)}
        return subprocess.run([sys.executable, "-S", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)

    return run


@pytest.fixture
def photographs(tmp_path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed in range(2):
        coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8))
        coarse.resize((192, 192), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    return folder


def test_the_environment_is_as_light_as_it_says(python, tmp_path):
    """Else the other tests would prove nothing."""
    toolchains = ["executorch", "torchao", "coremltools", "litert_torch", "ai_edge_litert", "ai_edge_quantizer", "tensorflow", "onnx", "onnxruntime"]
    others = ["onnxscript", "openvino", "torch_pruning", "sklearn", "scipy", "skimage", "cv2", "jsonschema", "pytest"]
    code = (
        f"import importlib.util as u; print([n for n in {toolchains + others} if u.find_spec(n)]);"
        "import importlib.metadata as m, torch; print('edgekit' in {d.name for d in m.distributions()}); print(torch.__version__)"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout.splitlines() == ["[]", "False", torch.__version__], done.stderr


def test_training_needs_no_more(python, tmp_path, photographs):
    command = ["train", "edsr-mobile", "--data", str(photographs), "--out", "w", "--steps", "1", "--batch", "1", "--patch", "16", "--json"]
    done = python("-m", "edgekit", *command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 1 and (tmp_path / "w" / "edsr-mobile.safetensors").stat().st_size > 100_000


def test_capturing_a_reference_needs_no_more(python, tmp_path, photographs):
    torch.manual_seed(0)
    save_file(EDSR(2, blocks=1, channels=8).state_dict(), tmp_path / "tiny.safetensors")
    command = ["reference", "--model", "tiny.safetensors", "--device", "cpu", "--images", str(photographs), "--out", "captured", "--json"]
    done = python("-m", "edgekit", *command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["model"] == "tiny" and record["tiles"] > 0 and len(record["timings"]) == 2
    assert {path.name for path in (tmp_path / "captured").iterdir()} == {"record.json", "samples.safetensors"}
