"""The bundle folder: model files, golden pair and manifest.json. The only contract with the apps.

A bundle stands at its place whole or not at all, whatever happens while it is written: `write` fills a folder beside the place and then swaps the two in
one step. `read` believes nothing that the manifest does not confirm.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit import manifest_file
from edgekit.backend import DType, Layout
from edgekit.consistency import golden_tensors, require_size
from edgekit.errors import InvalidFile
from edgekit.manifest import GoldenTensor, Manifest

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 16 * 2**20
"""Bytes. A real one has some ten thousand."""


@dataclass(frozen=True)
class Bundle:
    path: Path
    manifest: Manifest


# Reading


def read(path: Path) -> Bundle:
    """Opens a bundle and verifies the bytes and sha256 of every file that the manifest names.

    Raises InvalidFile, one line, for whatever is missing, altered, of a newer schema, or outside the folder.
    """
    place = _resolved(path)
    try:
        if not place.exists():
            _recover(place)
    except OSError as error:
        raise InvalidFile(f"{path}: cannot be read ({error.strerror}); expected a bundle that `edgekit export` made") from error
    manifest = manifest_file.from_json(_text(place / MANIFEST, str(path / MANIFEST)), str(path / MANIFEST))
    for described in (*manifest.artifacts, *golden_tensors(manifest)):
        _verify(place / described.file, described.bytes, described.sha256, str(path / described.file))
    return Bundle(path, manifest)


def read_golden(bundle: Bundle, golden: GoldenTensor) -> Tensor:
    """The tensor as contiguous NCHW, whatever its layout in the file. Raises InvalidFile."""
    import torch  # here, because opening a bundle needs no torch

    require_size(golden, str(bundle.path / golden.file))
    data = bytearray(_bytes(bundle.path / golden.file, golden.bytes))
    tensor = torch.frombuffer(data, dtype=getattr(torch, golden.dtype)).reshape(golden.shape)
    return tensor.permute(0, 3, 1, 2).contiguous() if golden.layout == "NHWC" and tensor.ndim == 4 else tensor


def read_note(bundle: Bundle, name: str, most: int) -> bytes | None:
    """A file that goes along but that the manifest does not name (a chart, evidence): `name` is a relative path. None if it is absent.

    Raises InvalidFile if it has more than `most` bytes, is no plain file, or lies outside the bundle.
    """
    where, file = bundle.path / name, _resolved(bundle.path) / name
    try:
        if Path(name).is_absolute() or ".." in Path(name).parts or file.parent.resolve() != file.parent:
            raise InvalidFile(f"{where}: leads out of the bundle; expected a plain file in it")
        data = _bytes(file, most)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidFile(f"{where}: cannot be read ({error.strerror}); expected a plain file") from error
    if len(data) > most:
        raise InvalidFile(f"{where}: has more than {most} bytes; expected what `edgekit export` wrote: export the bundle again")
    return data


def _text(file: Path, where: str) -> str:
    try:
        data = _bytes(file, LARGEST_MANIFEST)
        if len(data) > LARGEST_MANIFEST:
            raise InvalidFile(f"{where}: has more than {LARGEST_MANIFEST} bytes; expected a manifest")
        return data.decode("utf-8")
    except OSError as error:
        raise InvalidFile(f"{where}: cannot be read ({error.strerror}); expected a bundle that `edgekit export` made") from error
    except UnicodeDecodeError as error:
        raise InvalidFile(f"{where}: is not UTF-8 text (byte {error.start}); expected a manifest") from error


def _bytes(file: Path, size: int) -> bytes:
    """At most `size` + 1 bytes of a plain file."""
    with _open(file) as opened:
        return opened.read(size + 1)


def _verify(file: Path, size: int, digest: str, where: str) -> None:
    """Compares what is on the disk with what the manifest says."""
    try:
        # A parent that is a link would lead outside just as the file itself.
        if file.parent.resolve() != file.parent:
            raise InvalidFile(f"{where}: leads out of the bundle through a link; expected a plain folder")
        found = size_of(file)
        if found != size:
            raise InvalidFile(f"{where}: has {found} bytes, the manifest says {size}; expected an unaltered bundle: export it again")
        if (actual := sha256_of(file)) != digest:
            raise InvalidFile(f"{where}: has sha256 {actual[:12]}, the manifest says {digest[:12]}; expected an unaltered bundle: export it again")
    except OSError as error:
        raise InvalidFile(f"{where}: cannot be read ({error.strerror}); expected a whole bundle: export it again") from error


# Files and their digests


def sha256_of(path: Path) -> str:
    """Of a file: its bytes. Of a folder (.mlpackage): the lines 'path NUL sha256 LF', one per file, sorted by path as UTF-8 bytes, paths relative with /.

    Raises InvalidFile for links and other special files, OSError.
    """
    if not path.is_dir() or path.is_symlink():
        with _open(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for name, file in _tree(path):
        digest.update(name + b"\0" + sha256_of(file).encode() + b"\n")
    return digest.hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder. Raises InvalidFile for links and other special files, OSError."""
    if path.is_dir() and not path.is_symlink():
        return sum(size_of(file) for _, file in _tree(path))
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise InvalidFile(f"{path}: is a link or a special file; expected a plain file")
    return found.st_size


def _tree(folder: Path) -> list[tuple[bytes, Path]]:
    """(relative path, file) of every file below, in the order of the digest."""
    found = [p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()]
    return sorted((p.relative_to(folder).as_posix().encode("utf-8", "surrogateescape"), p) for p in found)


def _open(path: Path) -> BufferedReader:
    """A plain file, opened without following a link and without waiting for a pipe's other end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidFile(f"{path}: is a link or a special file; expected a plain file")
    return os.fdopen(descriptor, "rb")


def encode_golden(tensor: Tensor, layout: Layout) -> bytes:
    """A contiguous NCHW tensor (or one of another rank) as raw little-endian numbers in `layout` order."""
    if layout == "NHWC" and tensor.ndim == 4:
        tensor = tensor.permute(0, 2, 3, 1)
    array = tensor.detach().contiguous().numpy()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def golden_tensor(folder: Path, stem: str, name: str, tensor: Tensor, layout: Layout) -> GoldenTensor:
    """Writes `tensor` (NCHW) as `folder`/`stem`.bin and describes it as the bundle's golden/`stem`.bin."""
    data = encode_golden(tensor, layout)
    (folder / f"{stem}.bin").write_bytes(data)
    shape = tuple(tensor.permute(0, 2, 3, 1).shape if layout == "NHWC" and tensor.ndim == 4 else tensor.shape)
    dtype: DType = str(tensor.dtype).removeprefix("torch.")  # type: ignore[assignment]  # the manifest's schema checks it
    return GoldenTensor(name, f"golden/{stem}.bin", shape, layout, dtype, len(data), hashlib.sha256(data).hexdigest())


# Writing


def check_free(out: Path, *, force: bool, option: str = "--out") -> None:
    """Whether a bundle can be written at `out`: before the long work, and again when it is written. Also clears what killed exports left beside it.

    Only a bundle or an empty folder is ever replaced, and a bundle only with `force`. Raises InvalidFile; its hint names the command's `option`.
    """
    place = _resolved(out)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _recover(place)
        if not os.access(place.parent, os.W_OK | os.X_OK):
            raise InvalidFile(f"{out}: its folder is not writable; expected one that is: choose another with {option}")
        if not place.exists() or (place.is_dir() and not any(place.iterdir())):
            return
        if not _is_bundle(place):
            raise InvalidFile(f"{out}: exists and is no bundle; expected a free place: choose another with {option}, or remove it yourself")
    except OSError as error:
        raise InvalidFile(f"{out}: cannot be written ({error.strerror}); expected a writable place: choose another with {option}") from error
    if not force:
        raise InvalidFile(f"{out}: exists; expected a free place: choose another with {option}, or replace it with --force")


def write(out: Path, manifest: Manifest, files: Mapping[str, Path], *, force: bool = False, option: str = "--out") -> Bundle:
    """Makes the bundle `out` of the manifest and `files` (path in the bundle -> file or folder to copy).

    Everything is copied, flushed to the disk and verified against the manifest in a folder beside `out`, which then takes the place in one step; a bundle that
    was there survives until then. Raises InvalidFile if the place is taken, not writable or full; ValueError if the manifest and the files do not agree.
    """
    check_free(out, force=force, option=option)
    place = _resolved(out)
    try:
        with _workplace(place) as folder:
            for name, source in files.items():
                _copy(source, _inside(folder, name))
            (folder / MANIFEST).write_text(manifest_file.to_json(manifest), "utf-8")
            _flush(folder)
            try:
                read(folder)
            except InvalidFile as error:
                raise ValueError(f"the bundle's files do not agree with its manifest: {error}") from error
            check_free(out, force=force, option=option)
            _take_place(folder, place)
    except OSError as error:
        raise InvalidFile(
            f"{out}: cannot be written ({error.strerror}); nothing was changed: free some space, or choose another place with {option}"
        ) from error
    return Bundle(out, manifest)


def _resolved(path: Path) -> Path:
    """A place that is a link means the folder it leads to."""
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:
        raise InvalidFile(f"{path}: is no path ({error})") from error


def _is_bundle(place: Path) -> bool:
    """By its manifest's first keys, sound or not: an older edgekit's bundle and a damaged one may be replaced too, someone's folder may not."""
    try:
        found = json.loads(_bytes(place / MANIFEST, LARGEST_MANIFEST))
    except (OSError, ValueError, RecursionError, InvalidFile):
        return False
    return isinstance(found, dict) and {"manifest", "edgekit", "artifacts"} <= found.keys()


def _inside(folder: Path, name: str) -> Path:
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"a bundle's file is named '{name}'; expected a relative path")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copyfile(source, target)


def _flush(folder: Path) -> None:
    """All files and folders to the disk, so that a power cut after the swap finds them there."""
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            _flush_one(path)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# The swap. Beside the place `name` stand, while a process works on it, `.name.edgekit-PID-XXXX.new` (what it fills; after the swap: what it removes) and,
# where the file system cannot swap two folders, for an instant `.name.edgekit-PID-XXXX.old`.


@contextmanager
def _workplace(place: Path) -> Iterator[Path]:
    """A folder beside `place`, removed at the end, whatever it holds then."""
    folder = place.parent / f".{place.name}.edgekit-{os.getpid()}-{secrets.token_hex(4)}.new"
    folder.mkdir()
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            # Process numbers mean nothing between containers that share a disk; the lock ends with the process.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(descriptor)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_place(folder: Path, place: Path) -> None:
    """`folder` becomes `place`; what was there (nothing, an empty folder or a bundle) becomes `folder`, or is gone."""
    if not place.exists() or not any(place.iterdir()):
        folder.rename(place)
    elif not _exchange(folder, place):
        old = folder.with_suffix(".old")
        try:
            place.rename(old)
            folder.rename(place)
        finally:
            if not place.exists():
                old.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    _flush_one(place.parent)


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two folders in one step (Linux's renameat2). False where the system or the file system has no such call."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _recover(place: Path) -> None:
    """Clears what dead processes left beside `place`. One that died between its two renames left the old bundle under its other name: it goes back."""
    if not place.parent.is_dir():
        return
    prefix = f".{place.name}.edgekit-"
    leftovers = [p for p in place.parent.iterdir() if p.name.startswith(prefix) and p.suffix in (".new", ".old") and _is_abandoned(p, prefix)]
    for old in (p for p in leftovers if p.suffix == ".old"):
        if not place.exists():
            old.rename(place)
    for leftover in leftovers:
        shutil.rmtree(leftover, ignore_errors=True)


def _is_abandoned(folder: Path, prefix: str) -> bool:
    pid = folder.name.removeprefix(prefix).partition("-")[0]
    if not pid.isdecimal() or folder.is_symlink():
        return False
    try:
        os.kill(int(pid), 0)
        return False
    except ProcessLookupError:
        pass
    except (PermissionError, OverflowError):
        return False
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
