"""Weights files -> plain float32 tensors. A file is data here: nothing in it is ever executed."""

from __future__ import annotations

import hashlib
import io
import mmap
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from edgekit.errors import InvalidCheckpoint
from edgekit.models import pickles

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
WRAPPERS = ("params_ema", "ema", "params", "state_dict", "model_state_dict", "generator", "model", "net")
"""Keys under which training code keeps the state dict; the first one that holds tensors counts (averaged weights before raw ones)."""

PREFIXES = ("generator.", "netG.", "net_g.", "g_ema.", "ema.", "model.", "net.")
"""Attributes of training modules that hold the network (Lightning and GAN code), beside a discriminator and losses."""

_SAVE = "save it again with torch.save(model.state_dict(), ...) or as .safetensors"


def sha256(path: Path) -> str:
    """Of the file's bytes, 64 hexadecimal digits. Raises InvalidCheckpoint if it cannot be read."""
    file_size(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path) -> dict[str, Tensor]:
    """The state dict in `path`: name -> contiguous CPU tensor of its own memory; float16, bfloat16 and float64 become float32, integers stay.

    Reads .safetensors, and .pth, .pt, .ckpt as torch.save writes them (both its formats), with weights_only=True. Takes the state dict out of the WRAPPERS
    and strips `module.` and `_orig_mod.` (DataParallel, torch.compile). Raises InvalidCheckpoint, one line, for a file that is missing, truncated, of another
    kind, larger inside than outside, not made of tensors, or with NaN or infinite weights; and for every pickle that would call anything else than tensor
    constructors.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidCheckpoint(f"{path}: is not a checkpoint by its name; expected {', '.join(SUFFIXES)}")
    size = file_size(path)
    if path.suffix.lower() == ".safetensors":
        found = _read_safetensors(path)
    else:
        _look_inside(path, size)
        found = _unwrap(_read_torch(path), path)
    for prefix in ("module.", "_orig_mod.", "module."):
        if found and all(key.startswith(prefix) for key in found):
            found = {key.removeprefix(prefix): value for key, value in found.items()}
    if not found:
        raise InvalidCheckpoint(f"{path}: holds no tensors; expected a state dict")
    _require_bounds(found, path, size)
    return {key: _plain(key, value, path) for key, value in found.items()}


def networks_in(state: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """`state` as it is, and each part of it that stands under one of PREFIXES, without the prefix: what may be a network of its own."""
    parts = ({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)} for prefix in PREFIXES)
    return [dict(state), *(part for part in parts if part)]


def fit(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads `state` into `network` (which may be on the meta device: its parameters become these tensors).

    Raises InvalidCheckpoint that names the first three tensors that are missing, unexpected or of another shape.
    """
    expected = network.state_dict()
    faults = [f"'{key}' is missing" for key in expected if key not in state]
    faults += [f"'{key}' is unexpected" for key in state if key not in expected]
    faults += [
        f"'{key}' is {tuple(state[key].shape)}, expected {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise InvalidCheckpoint(f"the tensors do not fit {type(network).__name__}: {'; '.join(fault[:100] for fault in faults[:3])}{more}")
    network.load_state_dict(dict(state), assign=True)


def file_size(path: Path) -> int:
    """Bytes of a regular, readable file that is not empty."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InvalidCheckpoint(f"{path}: is not a file; expected {', '.join(SUFFIXES)}")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidCheckpoint(f"{path}: cannot be read ({reason}); expected a checkpoint") from error
    if not found.st_size:
        raise InvalidCheckpoint(f"{path}: is empty (0 bytes); expected a checkpoint")
    return found.st_size


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in list(file.keys())}
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        raise InvalidCheckpoint(f"{path}: is not a whole .safetensors file ({brief(error)}); expected one that safetensors wrote") from error


def _look_inside(path: Path, size: int) -> None:
    """Refuses a torch file whose pickles or archive are not what torch.save writes, before torch sees it."""
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":
                with zipfile.ZipFile(file) as archive:
                    _look_into_zip(archive, path, size)
                return
            # The format before torch 1.6: five pickles (magic number, version, machine, the object, storage names), then the raw numbers.
            # Mapped, because reading a text that claims 4 GB from a file allocates them first.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                _require_readable([pickles.scan(mapped) for _ in range(5)])
    except pickles.Refused as error:
        raise InvalidCheckpoint(f"{path}: not a state dict of tensors ({error}); refused: {_SAVE}") from error
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise InvalidCheckpoint(f"{path}: is truncated, damaged or no file of torch.save ({brief(error)}); expected a whole checkpoint") from error


def require_tensors_only(data: bytes, what: str) -> None:
    """`data` is a file of torch.save made of tensors alone: it loads with weights_only=True, and the readers before it find nothing else.

    Raises InvalidCheckpoint, whose message opens with `what`.
    """
    if not data:
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _look_into_zip(archive, Path(what), len(data))
    except pickles.Refused as error:
        raise InvalidCheckpoint(f"{what}: is not made of tensors ({error}); refused") from error
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise InvalidCheckpoint(f"{what}: is truncated, damaged or no file of torch.save ({brief(error)}); refused") from error
    try:
        torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # as in _read_torch
        raise InvalidCheckpoint(f"{what}: is not made of tensors ({brief(error)}); refused") from error


def _look_into_zip(archive: zipfile.ZipFile, path: Path, size: int) -> None:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise InvalidCheckpoint(f"{path}: is a TorchScript archive, which is code; expected a state dict: {_SAVE}")
    if any(name.startswith("models/") for name in inner):
        raise InvalidCheckpoint(f"{path}: is an exported program; expected a name that ends in .pt2, or a state dict: {_SAVE}")
    if len({name.lower() for name in names}) != len(names):
        raise InvalidCheckpoint(f"{path}: the archive holds one name twice; refused: {_SAVE}")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise InvalidCheckpoint(f"{path}: the archive is compressed or encrypted, which torch.save never does; refused: {_SAVE}")
    if sum(entry.file_size for entry in entries) > size:
        raise InvalidCheckpoint(f"{path}: the archive claims {sum(e.file_size for e in entries)} bytes, the file holds {size}; refused")
    if "data.pkl" not in inner:
        raise InvalidCheckpoint(f"{path}: is a zip archive without data.pkl; expected a file of torch.save")
    unread = []
    for name in names:
        if name.endswith(".pkl"):
            unread.append(pickles.scan(io.BytesIO(archive.read(name))))
    _require_readable(unread)
    if damaged := archive.testzip():
        raise InvalidCheckpoint(f"{path}: is damaged ({damaged[:60]} fails its checksum); expected a whole checkpoint")


def _require_readable(unread: list[str]) -> None:
    for opcode in filter(None, unread):
        raise pickles.Refused(f"it uses the pickle opcode {opcode}, which torch.save writes on demand only and torch.load does not read")


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:
        # An interpreter fed with damaged opcodes raises nearly anything: KeyError, struct.error, AttributeError ...
        raise InvalidCheckpoint(f"{path}: not a state dict of tensors ({brief(error)}); refused: {_SAVE}") from error


def _unwrap(found: Any, path: Path) -> dict[str, Tensor]:
    tensors = _tensors_of(found, len(WRAPPERS))
    if tensors is not None:
        return tensors
    if not isinstance(found, dict):
        raise InvalidCheckpoint(f"{path}: holds a {type(found).__name__}; expected a dict of tensors, bare or under {', '.join(WRAPPERS)}")
    while (wrapper := next((key for key in WRAPPERS if isinstance(found.get(key), dict)), None)) is not None:
        found = found[wrapper]
    key, value = next((k, v) for k, v in found.items() if not (isinstance(k, str) and isinstance(v, Tensor)))
    name = repr(key[:60]) if isinstance(key, str) else f"a key of type {type(key).__name__}"
    raise InvalidCheckpoint(f"{path}: {name} holds a {type(value).__name__}; expected a dict of tensors, bare or under {', '.join(WRAPPERS)}")


def _tensors_of(found: Any, depth: int) -> dict[str, Tensor] | None:
    """The dict of tensors that `found` is, or holds under WRAPPERS one within another; None if it holds none."""
    if not isinstance(found, dict) or depth < 0:
        return None
    if all(isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items()):
        return dict(found)
    return next((inner for key in WRAPPERS if key in found and (inner := _tensors_of(found[key], depth - 1))), None)


def _require_bounds(state: Mapping[str, Tensor], path: Path, size: int) -> None:
    """A view with stride 0 is as large as it says in ten bytes of file: nothing here may be larger than the numbers that the file holds.
    Tied weights stand in the dict more than once; four times the file is more than any network has."""
    total = 0
    for key, value in state.items():
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.device.type != "cpu":
            raise InvalidCheckpoint(f"{path}: '{key[:60]}' is {value.dtype}, {value.layout}, {value.device}; expected a plain tensor of real numbers")
        claimed = value.numel() * value.element_size()
        total += claimed
        if claimed > value.untyped_storage().nbytes() or total > 4 * size:
            raise InvalidCheckpoint(
                f"{path}: '{key[:60]}' claims the shape {list(value.shape)}, which is more than the file's {size} bytes hold; refused"
            )


def _plain(key: str, value: Tensor, path: Path) -> Tensor:
    value = value.detach()
    if not value.is_floating_point():
        return value.clone(memory_format=torch.contiguous_format)
    plain = value.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    if not (finite := torch.isfinite(plain)).all():
        kind = "NaN" if torch.isnan(plain).any() else "infinity"
        bad = plain.numel() - int(finite.sum())
        raise InvalidCheckpoint(
            f"{path}: '{key[:60]}' holds {kind} ({bad} of {plain.numel()} values); expected finite weights: train it again or use an earlier file"
        )
    return plain


def brief(error: BaseException) -> str:
    """A library's message, in the part of a line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:117] + "..."
