"""Exported programs: what loads, what is refused, and that nothing in a hostile one is executed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

from edgekit import models
from edgekit.errors import InvalidCheckpoint, InvalidFile
from edgekit.models.edsr import EDSR
from edgekit.models.unet import UNet

X = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def save(net: nn.Module, path: Path, shapes: Any = None, example: torch.Tensor = X) -> nn.Module:
    torch.export.save(torch.export.export(net.eval(), (example,), dynamic_shapes=shapes), path)
    return net


def edsr() -> nn.Module:
    torch.manual_seed(0)
    return EDSR(2, blocks=1, channels=4).eval()


ANY_SIZE = ({2: Dim.AUTO, 3: Dim.AUTO},)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("program") / "good.pt2"
    save(edsr(), path, ANY_SIZE)
    return path.read_bytes()


def test_any_size(tmp_path):
    net = save(edsr(), tmp_path / "mine.pt2", ANY_SIZE)
    enhancer = models.load(str(tmp_path / "mine.pt2"))
    assert (enhancer.name, enhancer.scale, enhancer.tiling, enhancer.only, enhancer.source) == ("mine", 2, "exact", None, "mine.pt2")
    assert torch.equal(enhancer.module(X), net(X))
    assert torch.export.export(enhancer.module, (X,)).module()(X).shape == (1, 3, 64, 96), "it can be traced again"


def test_strides_are_kept(tmp_path):
    torch.manual_seed(0)
    save(UNet((4, 6, 8)), tmp_path / "x.pt2", ({2: 4 * Dim("h", min=4, max=512), 3: 4 * Dim("w", min=4, max=512)},))
    assert models.load(str(tmp_path / "x.pt2")).multiple_of == 4


def test_a_fixed_size_is_the_only_one(tmp_path):
    net = save(edsr(), tmp_path / "x.pt2")
    enhancer = models.load(str(tmp_path / "x.pt2"))
    assert (enhancer.only, enhancer.tiling, enhancer.scale) == ((32, 48), "whole", 2)
    assert torch.equal(enhancer.module(X), net(X))
    (tmp_path / "x.toml").write_text('tiling = "exact"\n')
    with pytest.raises(InvalidFile, match=r"tiling is exact, but it takes 32x48 only, so that no halo can be measured; expected tiling = "):
        models.load(str(tmp_path / "x.pt2"))


def test_the_contract_beside_it(tmp_path):
    net = save(edsr(), tmp_path / "x.pt2", ANY_SIZE)
    (tmp_path / "x.toml").write_text('name = "named"\nlicence = "MIT"\n[[input]]\ncolour = "bgr"\n')
    enhancer = models.load(str(tmp_path / "x.pt2"))
    assert (enhancer.name, enhancer.licence) == ("named", "MIT")
    assert torch.allclose(enhancer.module(X), net(X.flip(1)).flip(1).clamp(0, 1), atol=1e-6)
    (tmp_path / "x.toml").write_text("[[input]]\n[[input]]\nname = 'b'\n")
    with pytest.raises(InvalidFile, match=r"x\.pt2: takes 1 inputs; expected 2"):
        models.load(str(tmp_path / "x.pt2"))


def test_a_contract_names_no_code(tmp_path):
    """A factory's may; a file of a stranger's must not."""
    save(edsr(), tmp_path / "x.pt2", ANY_SIZE)
    (tmp_path / "x.toml").write_text('degrade = "os:getcwd"\n')
    with pytest.raises(InvalidFile, match="degrade is 'os:getcwd'; expected one of downscale, noise, dark, none"):
        models.load(str(tmp_path / "x.pt2"))


@pytest.mark.parametrize(
    ("example", "shapes", "line"),
    [
        (X.half(), None, "input 1 is torch.float16 of 4 dimensions; expected float32"),
        (X.expand(2, -1, -1, -1), None, "expected a batch of 1"),
        (X, ({3: Dim.AUTO},), "its height or its width is fixed, but not both"),
    ],
)
def test_shapes_that_do_not_serve(tmp_path, example, shapes, line):
    net = edsr()
    save(net.half() if example.dtype == torch.float16 else net, tmp_path / "x.pt2", shapes, example)
    with pytest.raises(InvalidFile, match=line):
        models.load(str(tmp_path / "x.pt2"))


# Hostile files


def changed(data: bytes, path: Path, change: Callable[[dict[str, bytes]], None], compression: int = zipfile.ZIP_STORED) -> Path:
    """The archive with other members, written by zipfile: name below the root -> bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        root = archive.namelist()[0].split("/")[0]
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name if name.startswith("/") else f"{root}/{name}", content)
    return path


def in_model(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    def apply(members: dict[str, bytes]) -> None:
        model = json.loads(members["models/model.json"])
        change(model)
        members["models/model.json"] = json.dumps(model).encode()

    return apply


def first_node(model: dict[str, Any]) -> dict[str, Any]:
    return model["graph_module"]["graph"]["nodes"][0]


def some_expression(model: dict[str, Any]) -> dict[str, Any]:
    values = model["graph_module"]["graph"]["tensor_values"]
    return next(size["as_expr"] for value in values.values() for size in value["sizes"] if "as_expr" in size)


class Malicious:
    def __reduce__(self):
        return os.system, ("touch trap",)


def pickled() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": Malicious()}, buffer)
    return buffer.getvalue()


def with_pickled_weight(members: dict[str, bytes]) -> None:
    config = json.loads(members["data/weights/model_weights_config.json"])
    one = next(iter(config["config"].values()))
    one["use_pickle"] = True
    members[f"data/weights/{one['path_name']}"] = pickled()
    members["data/weights/model_weights_config.json"] = json.dumps(config).encode()


def with_opaque_constant(members: dict[str, bytes]) -> None:
    config = {"config": {"x": {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}}}
    members["data/constants/model_constants_config.json"] = json.dumps(config).encode()
    members["data/constants/opaque_obj_0"] = pickled()


def put(name: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.update({name: content})


CODE = "__import__('os').system('touch trap')"
HOSTILE: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "example inputs": (put("data/sample_inputs/model.pt", pickled()), "it needs code to be executed to load: posix.system"),
    "legacy weights": (put("data/weights/model.pt", pickled()), "it needs code to be executed to load: posix.system"),
    "legacy constants": (put("data/constants/model.pt", pickled()), "it needs code to be executed to load: posix.system"),
    "a weight": (with_pickled_weight, "it needs code to be executed to load: posix.system"),
    "a constant": (with_opaque_constant, "opaque_obj_0', which is no record of numbers"),
    "a size": (in_model(lambda m: some_expression(m).update(expr_str=CODE)), "as expr_str; refused"),
    "a huge power": (in_model(lambda m: some_expression(m).update(expr_str="Pow(Integer(10), Integer(1000000000))")), "as expr_str; refused"),
    "an operator": (in_model(lambda m: first_node(m).update(target="torch.os.system")), "it holds 'torch.os.system' as target"),
    "a file": (in_model(lambda m: first_node(m).update(target="torch.ops.aten.from_file.default")), "aten.from_file.default' as target"),
    "a name": (in_model(lambda m: first_node(m).update(name=f"x={CODE}")), "as name; refused"),
    "a value": (in_model(lambda m: m["graph_module"]["graph"]["tensor_values"].update({f"x={CODE}": {}})), "it holds the name"),
    "an attribute": (
        in_model(lambda m: m["graph_module"]["signature"]["input_specs"][0]["parameter"].update(parameter_name=CODE)),
        "as parameter_name",
    ),
    "a subgraph": (
        in_model(lambda m: first_node(m)["inputs"][0].update(arg={"as_graph": {"name": "g", "graph": {}}})),
        "it holds a graph inside its graph",
    ),
    "a tree": (in_model(lambda m: m["graph_module"]["module_call_graph"][0]["signature"].update(in_spec='[1, {"type": "os.x"}]')), "as in_spec"),
    "compiled code": (put("data/aotinductor/model/x.so", b"\x7fELF"), "the archive holds 'data/aotinductor/model/x.so'"),
    "TorchScript": (put("code/__torch__.py", b"x"), "is a TorchScript archive, which is code"),
    "an absolute name": (put("/etc/x", b"x"), "more than one folder"),
    "a name outside": (put("../../x", b"x"), "the archive holds a link or an absolute name"),
    "another model": (put("models/other.json", b"{}"), "the archive holds 'models/other.json'"),
    "deep nesting": (put("models/model.json", b"[" * 100_000), "is truncated, damaged or no file of torch.export.save"),
    "no model": (lambda members: members.pop("models/model.json") and None, "is no exported program"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_and_nothing_runs(tmp_path, monkeypatch, good, kind):
    monkeypatch.chdir(tmp_path)
    change, line = HOSTILE[kind]
    path = changed(good, tmp_path / "x.pt2", change)
    with pytest.raises(InvalidCheckpoint) as caught:
        models.load(str(path))
    message = str(caught.value)
    assert line in message and "\n" not in message and len(message) < 400
    assert not (tmp_path / "trap").exists()


def test_guards_are_left_out(tmp_path, monkeypatch, good):
    """torch would run them as Python; the network is the same without."""
    monkeypatch.chdir(tmp_path)
    path = changed(good, tmp_path / "x.pt2", in_model(lambda m: m.update(guards_code=[CODE])))
    assert torch.equal(models.load(str(path)).module(X), edsr()(X))
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("kind", ["example inputs", "a size"])
def test_the_traps_work(tmp_path, monkeypatch, good, kind):
    """What is refused above would have run in torch.export.load."""
    monkeypatch.chdir(tmp_path)
    path = changed(good, tmp_path / "x.pt2", HOSTILE[kind][0])
    with contextlib.suppress(Exception):
        torch.export.load(path)
    assert (tmp_path / "trap").exists()


def test_zip_bombs_and_links(tmp_path, good):
    path = changed(good, tmp_path / "x.pt2", lambda members: None, zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidCheckpoint, match="the archive is compressed or encrypted"):
        models.load(str(path))
    link = zipfile.ZipInfo("x/data/weights/weight_9")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, b"/etc/passwd")
    with pytest.raises(InvalidCheckpoint, match="the archive holds a link"):
        models.load(str(path))


def test_a_weight_that_claims_a_terabyte(tmp_path, good):
    def claim(members: dict[str, bytes]) -> None:
        config = json.loads(members["data/weights/model_weights_config.json"])
        next(iter(config["config"].values()))["tensor_meta"]["sizes"] = [{"as_int": 2**40}]
        members["data/weights/model_weights_config.json"] = json.dumps(config).encode()

    with pytest.raises(InvalidCheckpoint, match="its tensors claim 1099511"):
        models.load(str(changed(good, tmp_path / "x.pt2", claim)))


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04", b"\0" * 100])
def test_other_files(tmp_path, data):
    (tmp_path / "x.pt2").write_bytes(data)
    with pytest.raises(InvalidCheckpoint, match=r"x\.pt2: "):
        models.load(str(tmp_path / "x.pt2"))


def test_weights_beside_a_program(tmp_path):
    with pytest.raises(InvalidFile, match="x.pt2: holds its weights already, and --weights y.pth is another"):
        models.load("x.pt2", Path("y.pth"))
