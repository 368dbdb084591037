"""Checkpoints as people have them, and as nobody should."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from edgekit.errors import InvalidCheckpoint
from edgekit.models import checkpoint


def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"head.weight": torch.randn(4, 3, 3, 3, generator=generator), "head.bias": torch.randn(4, generator=generator), "count": torch.tensor(7)}


def refused(path: Path) -> str:
    """The one line."""
    with pytest.raises(InvalidCheckpoint) as caught:
        checkpoint.read(path)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 400 and line.startswith(str(path))
    return line.removeprefix(f"{path}: ")


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[k], expected[k]) and found[k].is_contiguous() for k in expected)


SAVERS = {
    "x.safetensors": lambda state, path: save_file(state, path),
    "x.pth": torch.save,
    "x.PT": torch.save,
    "legacy.ckpt": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("name", SAVERS)
def test_reads_what_people_save(tmp_path, name):
    SAVERS[name](weights(), tmp_path / name)
    found = checkpoint.read(tmp_path / name)
    assert same(found, weights())
    (tmp_path / name).write_bytes(b"")  # the tensors are memory of their own, not a view of the file
    assert same(found, weights())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", checkpoint.WRAPPERS)
def test_unwraps(tmp_path, wrapper, legacy):
    training = {
        "epoch": 3,
        "lr": 1e-4,
        "name": "edsr",
        wrapper: OrderedDict((f"module.{k}", v) for k, v in weights().items()),
        "optimizer": {
            "state": {0: {"exp_avg": torch.zeros(3)}},
            "param_groups": [{"betas": (0.9, 0.999), "params": [0]}],
            "milestones": Counter([1, 2]),
        },
    }
    torch.save(training, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    assert same(checkpoint.read(tmp_path / "x.pth"), weights())


@pytest.mark.parametrize(("raw", "averaged"), [("params", "params_ema"), ("model", "ema"), ("generator", "params_ema")])
def test_averaged_weights_come_first(tmp_path, raw, averaged):
    zeros = {k: torch.zeros_like(v) for k, v in weights().items()}
    torch.save({raw: zeros, averaged: weights()}, tmp_path / "x.pth")
    assert same(checkpoint.read(tmp_path / "x.pth"), weights())


def test_a_wrapper_without_tensors_does_not_count(tmp_path):
    """Exponential averages keep their settings in a dict; a wrapper may stand in another."""
    torch.save({"ema": {"decay": 0.999, "updates": 3}, "state_dict": {"params": weights()}, "params_ema": {}}, tmp_path / "x.pth")
    assert same(checkpoint.read(tmp_path / "x.pth"), weights())


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_compiled_and_parallel_modules(tmp_path, prefix):
    torch.save({f"{prefix}{k}": v for k, v in weights().items()}, tmp_path / "x.pth")
    assert same(checkpoint.read(tmp_path / "x.pth"), weights())


@pytest.mark.parametrize("prefix", checkpoint.PREFIXES)
def test_networks_inside_training_modules(prefix):
    """Lightning's checkpoints hold the discriminator and the losses too."""
    others = {"netD.conv.weight": torch.zeros(2), "loss.vgg.mean": torch.zeros(3)}
    whole, part = checkpoint.networks_in({**{f"{prefix}{k}": v for k, v in weights().items()}, **others})
    assert same(part, weights()) and len(whole) == len(weights()) + 2


def test_a_module_prefix_counts_only_where_all_have_it(tmp_path):
    torch.save({"module.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "x.pth")
    assert list(checkpoint.read(tmp_path / "x.pth")) == ["module.a", "b"]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_become_float32(tmp_path, suffix, dtype):
    state = {"a": torch.linspace(-2, 2, 9).to(dtype)}
    SAVERS[f"x{suffix}"](state, tmp_path / f"x{suffix}")
    found = checkpoint.read(tmp_path / f"x{suffix}")["a"]
    assert found.dtype == torch.float32 and torch.equal(found, state["a"].float())


def test_real_modules_with_parameters_and_strides(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    torch.save(net.state_dict(), tmp_path / "state.pth")
    torch.save(dict(net.named_parameters()), tmp_path / "parameters.pth")
    assert same(checkpoint.read(tmp_path / "state.pth"), dict(net.state_dict()))
    assert list(checkpoint.read(tmp_path / "parameters.pth")) == [k for k, _ in net.named_parameters()]


def test_sha256_is_of_the_bytes(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"abc")
    assert checkpoint.sha256(tmp_path / "x.pth") == sha256(b"abc").hexdigest()


# What is not there, or not whole


@pytest.mark.parametrize("suffix", checkpoint.SUFFIXES)
def test_missing_empty_and_folders(tmp_path, suffix):
    assert refused(tmp_path / f"x{suffix}") == "cannot be read (No such file or directory); expected a checkpoint"
    (tmp_path / f"empty{suffix}").touch()
    assert refused(tmp_path / f"empty{suffix}") == "is empty (0 bytes); expected a checkpoint"
    (tmp_path / f"folder{suffix}").mkdir()
    assert refused(tmp_path / f"folder{suffix}").startswith("is not a file")
    os.mkfifo(tmp_path / f"pipe{suffix}")
    assert refused(tmp_path / f"pipe{suffix}").startswith("is not a file")


def test_other_suffixes(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"abc")
    assert refused(tmp_path / "x.bin") == "is not a checkpoint by its name; expected .safetensors, .pth, .pt, .ckpt"


@pytest.mark.parametrize("name", SAVERS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_truncated(tmp_path, name, part):
    SAVERS[name](weights(), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * part)])
    assert "expected" in refused(tmp_path / name)


@pytest.mark.parametrize("suffix", checkpoint.SUFFIXES)
@pytest.mark.parametrize("data", [b"hello, world", b"\x80\x02.", b"PK\x03\x04", b"\0" * 100, b"<html><body>404</body></html>"])
def test_other_files(tmp_path, suffix, data):
    (tmp_path / f"x{suffix}").write_bytes(data)
    assert "expected" in refused(tmp_path / f"x{suffix}")


def test_flipped_bit_in_the_numbers(tmp_path):
    """torch reads past a record's checksum."""
    torch.save(weights(), tmp_path / "x.pth")
    data = bytearray((tmp_path / "x.pth").read_bytes())
    data[data.index(weights()["head.weight"].numpy().tobytes()) + 5] ^= 1
    (tmp_path / "x.pth").write_bytes(data)
    assert refused(tmp_path / "x.pth").startswith("is damaged (x/data/0 fails its checksum)")


# What would run


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.command = f"touch {path}"

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["zip", "legacy", "plain"])
def test_code_is_refused_and_never_executed(tmp_path, protocol, kind):
    trap, path = tmp_path / "trap", tmp_path / "x.pth"
    evil = {"head.weight": torch.zeros(3), "x": Malicious(trap)}
    if kind == "plain":
        path.write_bytes(pickle.dumps({"x": evil["x"]}, protocol=protocol))
    else:
        torch.save(evil, path, pickle_protocol=protocol, _use_new_zipfile_serialization=kind == "zip")
    line = refused(path)
    assert not trap.exists()
    # Protocols 0 and 1 write torch's own parts with opcodes that are refused already.
    assert "posix.system" in line or (protocol < 2 and "it uses the pickle opcode" in line)
    if kind == "plain":
        pickle.loads(path.read_bytes())
        assert trap.exists(), "the trap works"


def test_whole_modules_are_refused(tmp_path):
    torch.save(nn.Conv2d(1, 1, 1), tmp_path / "x.pth")
    assert "torch.nn.modules.conv.Conv2d" in refused(tmp_path / "x.pth")


def test_torchscript_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(nn.Conv2d(1, 1, 1)), tmp_path / "x.pt")
    assert refused(tmp_path / "x.pt").startswith("is a TorchScript archive, which is code; expected a state dict")


def test_exported_programs_are_refused(tmp_path):
    torch.export.save(torch.export.export(nn.Conv2d(1, 1, 1), (torch.zeros(1, 1, 4, 4),)), tmp_path / "x.pt2")
    (tmp_path / "x.pt2").rename(tmp_path / "x.pt")
    assert refused(tmp_path / "x.pt").startswith("is an exported program")


def archive(path: Path, pickled: bytes, *, entries: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in {"x/data.pkl": pickled, "x/version": b"3\n", "x/byteorder": b"little", **(entries or {})}.items():
            file.writestr(name, data)


def call(function: str, *arguments: bytes) -> bytes:
    """A pickle of {"a": function(*arguments)}; an argument is its own opcodes."""
    module, _, name = function.rpartition(".")
    return b"\x80\x02}X\x01\x00\x00\x00a" + f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tRs."


LONG_10_TO_12 = b"\x8a\x06" + (10**12).to_bytes(6, "little")


@pytest.mark.parametrize(
    "function", ["builtins.bytearray", "torch.FloatTensor", "torch.storage.UntypedStorage", "_codecs.encode", "torch._tensor._rebuild_from_type_v2"]
)
def test_what_torch_allows_but_weights_never_need(tmp_path, function):
    """torch.load(weights_only=True) would allocate a terabyte for the first three."""
    archive(tmp_path / "x.pth", call(function, LONG_10_TO_12))
    assert f"it needs code to be executed to load: {function}" in refused(tmp_path / "x.pth")


def test_a_key_that_takes_forever_to_hash(tmp_path):
    """60 levels of (t, t): 200 bytes, 2**60 steps."""
    levels = b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
    archive(tmp_path / "x.pth", b"\x80\x02}" + levels + b"K\x01s.")
    assert "more elements than any weights file has" in refused(tmp_path / "x.pth")


def test_protocol_4_is_refused_with_the_way_out(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pth", pickle_protocol=4)
    assert "uses the pickle opcode" in refused(tmp_path / "x.pth") and "save it again with" in refused(tmp_path / "x.pth")


# What claims more than there is


def storage(dtype: str, elements: int) -> bytes:
    return (
        b"(X\x07\x00\x00\x00storagectorch\n"
        + dtype.encode()
        + b"Storage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ"
        + struct.pack("<i", elements)
        + b"tQ"
    )


def tensor(elements: int, shape: bytes, stride: bytes) -> bytes:
    return call("torch._utils._rebuild_tensor_v2", storage("Float", elements), b"K\x00", shape, stride, b"\x89", b"ccollections\nOrderedDict\n)R")


def test_a_tensor_of_one_number_that_claims_a_terabyte(tmp_path):
    archive(tmp_path / "x.pth", tensor(1, LONG_10_TO_12 + b"\x85", b"K\x00\x85"), entries={"x/data/0": struct.pack("<f", 1.0)})
    assert "'a' claims the shape [1000000000000]" in refused(tmp_path / "x.pth")


def test_a_storage_that_claims_more_than_its_record(tmp_path):
    archive(tmp_path / "x.pth", tensor(2**30, b"J" + struct.pack("<i", 2**30) + b"\x85", b"K\x01\x85"), entries={"x/data/0": struct.pack("<f", 1.0)})
    refused(tmp_path / "x.pth")


def test_many_views_of_one_storage(tmp_path):
    big = torch.zeros(1000)
    torch.save({str(i): big for i in range(1000)}, tmp_path / "x.pth")
    assert "which is more than the file's" in refused(tmp_path / "x.pth")


def test_tied_weights_are_no_bomb(tmp_path):
    tied = torch.ones(1000)
    torch.save({"a": tied, "b": tied}, tmp_path / "x.pth")
    assert same(checkpoint.read(tmp_path / "x.pth"), {"a": tied, "b": tied})


def test_zip_bombs(tmp_path):
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as source, zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert refused(tmp_path / "x.pth").startswith("the archive is compressed or encrypted")


def test_overlapping_zip_entries(tmp_path):
    """Many directory entries for the same bytes: stored, small outside, large inside."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("x/data.pkl", b"\x80\x02}.")
        file.writestr("x/data/0", bytes(100_000))
        for index in range(50):
            entry = file.infolist()[1]
            copy = zipfile.ZipInfo(f"x/data/{index + 1}")
            for field in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(copy, field, getattr(entry, field))
            file.filelist.append(copy)
    (tmp_path / "x.pth").write_bytes(buffer.getvalue())
    assert "the archive claims 5100" in refused(tmp_path / "x.pth")


def test_one_name_twice(tmp_path):
    """torch's zip reader does not tell a from A; two readers must not see two pickles."""
    archive(tmp_path / "x.pth", b"\x80\x02}.", entries={"x/DATA.pkl": b"\x80\x02}."})
    assert refused(tmp_path / "x.pth").startswith("the archive holds one name twice")


@pytest.mark.parametrize("length", [2**63, 10**9, 101])
def test_safetensors_header_that_claims_more(tmp_path, length):
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", length) + b"{}" + bytes(98))
    assert refused(tmp_path / "x.safetensors").startswith("is not a whole .safetensors file")


def test_safetensors_tensor_that_claims_more(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert refused(tmp_path / "x.safetensors").startswith("is not a whole .safetensors file")


# What is no set of weights


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list; expected a dict of tensors"),
        (torch.zeros(3), "holds a Tensor; expected a dict of tensors"),
        ({"epoch": 3}, "'epoch' holds a int; expected a dict of tensors, bare or under params_ema, ema, params, state_dict, "),
        ({"params": {"a": "text"}}, "'a' holds a str"),
        ({1: torch.zeros(1)}, "a key of type int holds a Tensor"),
        ({}, "holds no tensors"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "it needs code to be executed to load: torch.ComplexFloatStorage"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "it needs code to be executed to load: torch._utils._rebuild_sparse_tensor"),
    ],
)
def test_not_a_dict_of_tensors(tmp_path, content, message):
    torch.save(content, tmp_path / "x.pth")
    assert message in refused(tmp_path / "x.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(("value", "kind"), [(float("nan"), "NaN"), (float("inf"), "infinity"), (float("-inf"), "infinity")])
def test_nan_and_infinity_are_named(tmp_path, suffix, value, kind):
    state = weights()
    state["head.weight"].view(-1)[[2, 9]] = value
    SAVERS[f"x{suffix}"](state, tmp_path / f"x{suffix}")
    assert refused(tmp_path / f"x{suffix}").startswith(f"'head.weight' holds {kind} (2 of 108 values)")


def test_float64_beyond_float32_is_no_weight(tmp_path):
    save_file({"a": torch.tensor([1e300], dtype=torch.float64)}, tmp_path / "x.safetensors")
    assert refused(tmp_path / "x.safetensors").startswith("'a' holds infinity (1 of 1 values)")
