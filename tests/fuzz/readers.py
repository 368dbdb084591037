"""Feeds hostile files to edgekit's readers, in child processes that may not grow, hang or write."""

from __future__ import annotations

import faulthandler
import hashlib
import io
import json
import os
import resource
import signal
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from random import Random

import hostile
import torch
from bundles import sample
from PIL import Image
from safetensors.torch import save

import edgekit_calibration
import edgekit_targets
from edgekit import bundle, capture, device_report, models, recipe
from edgekit.enhancer import Enhancer
from edgekit.errors import EdgekitError
from edgekit.models import contract_file, program
from edgekit.models.edsr import EDSR

LONGEST_S = 5
MEMORY = 2**30
"""Bytes of address space that one reader may add."""
BATCH = 250
"""Inputs per child process: a new one starts from a clean heap, and one that dies loses little."""


@dataclass(frozen=True)
class Reader:
    """`make` gives a hostile file, written as `name` in the working folder; `read` reads that folder or file."""

    name: str
    make: hostile.Make
    read: Callable[[Path], object]


@dataclass
class Outcome:
    """`refused` counts the kinds of one-line errors; a fault is anything else that happened, with the input that did it."""

    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.read + self.refused.total() + len(self.faults)


def all_readers(folder: Path) -> list[Reader]:
    """`folder` holds what stands beside a hostile file: the other files of its bundle, the pictures of its set."""
    parts, place = folder / "parts", folder / "bundle"
    parts.mkdir()
    bundle.write(place, *sample(parts))
    manifest = (place / "manifest.json").read_text("utf-8")
    opened = bundle.read(place)
    targets = [resource.read_text("utf-8") for resource in files("edgekit_targets").iterdir() if resource.name.endswith(".toml")]
    recipes = [resource.read_text("utf-8") for resource in (files("edgekit") / "recipes").iterdir()]
    return [
        Reader("manifest.json", hostile.json_maker(manifest), lambda file: _read_beside(file, place)),
        Reader(
            "device-report.json", hostile.json_maker(_device_report(opened)), lambda file: device_report.against(device_report.read(file), opened)
        ),
        Reader("target.toml", hostile.text_maker([*targets, FULL_TARGET]), lambda file: edgekit_targets.load(str(file))),
        Reader("recipe.toml", hostile.text_maker([*recipes, FULL_RECIPE]), lambda file: recipe.load(str(file))),
        Reader("set.toml", hostile.text_maker([_set_file(folder / "set")]), lambda file: _read_set(file, folder / "set")),
        Reader("record.json", hostile.json_maker(_reference(folder / "reference")), lambda file: _read_reference(file, folder / "reference")),
        Reader("net.safetensors", hostile.safetensors_maker(_safetensors()), lambda file: models.load(str(file))),
        Reader("net.pth", hostile.torch_maker(_torch(legacy=False), _torch(legacy=True)), lambda file: models.load(str(file))),
        Reader("net.pt2", hostile.program_maker(_program()), lambda file: program.read(file)),
        Reader("net.toml", hostile.text_maker([FULL_CONTRACT]), lambda file: contract_file.read(file)),
    ]


FULL_CONTRACT = """
name = "mine"
task = "restore"
scale = 2
multiple_of = 8
tiling = "exact"
degrade = "noise"
licence = "MIT"
[[input]]
name = "image"
channels = 3
colour = "bgr"
range = [0, 255]
[[input]]
name = "step"
colour = "scalar"
mean = [0.5]
std = [0.25]
[[output]]
name = "enhanced"
"""

FULL_TARGET = """
description = "everything that a target may say"
tile = [96, 128]
io = "uint8"
[[artifact]]
backend = "executorch"
recipe = "int8"
delegate = "xnnpack"
[[artifact]]
backend = "onnx"
recipe = "fp32"
[budgets.restore]
psnr_db = 45.0
worst_psnr_db = 40
delta_psnr_db = 0.1
max_abs = 1e-4
"""

FULL_RECIPE = """
description = "everything that a recipe may say"
[quantize]
precision = "palettized-4-int8"
estimator = "percentile"
percentile = 99.9
tiles = 32
float_layers = ["head*", "tail.1"]
float_types = ["add"]
fp32_layers = ["norm*"]
palette_bits = { "body.*" = 4, "head*" = 8 }
[prune]
ratio = 0.5
cost = "macs"
importance = "taylor"
multiple = 8
layers = ["body.*"]
shared = true
blocks = 1
[backend.tflite]
estimator = "mse"
"""


def _device_report(opened: bundle.Bundle) -> str:
    """What an app says of the bundle's first file."""
    report = json.loads((Path(__file__).parents[1] / "fixtures/device_reports/whole.json").read_text("utf-8"))
    first = opened.manifest.artifacts[0]
    report["artifacts"][0] |= {"name": first.name, "sha256": first.sha256}
    return json.dumps(report)


def _read_beside(file: Path, place: Path) -> object:
    file.replace(place / "manifest.json")
    return bundle.read(place)


def _read_set(file: Path, place: Path) -> object:
    file.replace(place / "set.toml")
    return edgekit_calibration.load(str(place))


def _read_reference(file: Path, place: Path) -> object:
    file.replace(place / capture.RECORD)
    return capture.read(place)


def _reference(folder: Path) -> str:
    """The record of a captured reference, with the values beside it."""
    torch.manual_seed(0)
    module = EDSR(2, blocks=1, channels=4).eval()
    enhancer = Enhancer("tiny", module, lambda clean: (clean,), 2, sha256="0" * 64)
    tiles = [(torch.rand(1, 3, 16, 16),) for _ in range(2)]
    capture.capture(enhancer, tiles, (16, 16), 2, folder, device="cpu", sizes=(16,))
    return (folder / capture.RECORD).read_text("utf-8")


def _set_file(folder: Path) -> str:
    """A set of one picture."""
    folder.mkdir()
    Image.linear_gradient("L").convert("RGB").resize((32, 24)).save(folder / "gradient.png")
    digest = hashlib.sha256((folder / "gradient.png").read_bytes()).hexdigest()
    return (
        'name = "gradients"\ndescription = "one picture"\n\n[[picture]]\nfile = "gradient.png"\norigin = "made here"\nauthor = "nobody"\n'
        f'licence = "CC0-1.0"\ntags = ["flat", "grey"]\nwidth = 32\nheight = 24\nsha256 = "{digest}"\n'
    )


def _states() -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    return [EDSR(2, blocks=1, channels=4).state_dict(), EDSR(4, blocks=2, channels=3).half().state_dict()]


def _safetensors() -> list[bytes]:
    return [save(state) for state in _states()]


def _program() -> bytes:
    """A small exported network for pictures of any size; loaded once, so that what torch imports for it is there before the memory is bounded."""
    buffer = io.BytesIO()
    network = EDSR(2, blocks=1, channels=4).eval()
    any_size = ({2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO},)
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, 16, 24),), dynamic_shapes=any_size), buffer)
    torch.export.load(io.BytesIO(buffer.getvalue()))
    return buffer.getvalue()


def _torch(*, legacy: bool) -> list[bytes]:
    out = []
    for state in _states():
        for content in (state, {"epoch": 3, "params_ema": state, "lr": 0.1, "betas": (0.9, 0.99)}):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
            out.append(buffer.getvalue())
    return out


def fuzz(reader: Reader, inputs: int, seed: int, folder: Path, progress: Callable[[int], None]) -> Outcome:
    """`folder` is an empty one to work in."""
    outcome, start = Outcome(), 0
    while start < inputs:
        stop = min(inputs, start + BATCH)
        start = _in_child(reader, start, stop, seed, folder, outcome)
        progress(start)
    return outcome


def _in_child(reader: Reader, start: int, stop: int, seed: int, folder: Path, outcome: Outcome) -> int:
    """Runs inputs start .. stop - 1 in a child; returns the next one to run, which is sooner than `stop` if the child died."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        status = 1
        try:
            _child(reader, start, stop, seed, folder, send)
            status = 0
        finally:
            os._exit(status)
    os.close(send)
    with os.fdopen(receive, "r", encoding="utf-8") as pipe:
        lines = [json.loads(line) for line in pipe]
    _, status = os.waitpid(child, 0)
    for kind, detail in lines:
        if kind == "read":
            outcome.read += 1
        elif kind == "refused":
            outcome.refused[detail] += 1
        else:
            outcome.faults.append(detail)
    following = start + len(lines)
    if following < stop:
        how = f"signal {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"
        outcome.faults.append(f"{reader.name} input {following} of seed {seed}: the process ended with {how} (status 1 after {LONGEST_S} s: a hang)")
        following += 1
    return following


def _child(reader: Reader, start: int, stop: int, seed: int, folder: Path, send: int) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for index in range(start, stop):
        data = reader.make(Random(f"{seed} {reader.name} {index}"))
        faulthandler.dump_traceback_later(LONGEST_S, exit=True)
        result = _one(reader, data, folder, f"{reader.name} input {index} of seed {seed}")
        faulthandler.cancel_dump_traceback_later()
        os.write(send, (json.dumps(result) + "\n").encode())


def _one(reader: Reader, data: bytes, folder: Path, where: str) -> tuple[str, str]:
    file = folder / reader.name
    file.write_bytes(data)
    try:
        reader.read(file)
        result = ("read", "")
    except EdgekitError as error:
        line = str(error)
        good = line and line.isprintable() and len(line) < 400
        result = ("refused", type(error).__name__) if good else ("fault", f"{where}: not one short line: {line[:300]!r}")
    except BaseException as error:
        result = ("fault", f"{where}: {type(error).__name__}: {str(error)[:200]}")
    file.unlink(missing_ok=True)
    if made := list(folder.iterdir()):
        for path in made:
            path.rename(folder.parent / f"made-by-{os.getpid()}-{path.name}")
        return "fault", f"{where}: made {[path.name for path in made]}"
    return result
