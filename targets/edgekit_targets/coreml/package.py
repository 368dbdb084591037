"""Writing an .mlpackage so that the same network gives the same bytes, and opening one that may be damaged."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from google.protobuf.message import DecodeError

from edgekit.errors import InvalidFile
from edgekit_targets.coreml.library import ct, milproto

DATE = "com.github.apple.coremltools.conversion_date"
DEBUG = "executorch_debug_handle_mapping.json"
SPECIFICATION = Path("Data/com.apple.CoreML/model.mlmodel")

UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError, AssertionError, MemoryError, DecodeError)
"""What coremltools raises when the files of a package do not fit together."""


def save(model: ct.models.MLModel, out: Path) -> None:
    """Writes the package without the conversion date and the debug table that coremltools adds, and with identifiers made from the contents."""
    model.user_defined_metadata.pop(DATE, None)
    model.save(str(out))
    (out / DEBUG).unlink(missing_ok=True)
    specification: Any = ct.utils.load_spec(str(out))
    specification.description.metadata.userDefined.pop(DATE, None)
    (out / SPECIFICATION).write_bytes(specification.SerializeToString(deterministic=True))
    _name_by_contents(out)


def load(file: Path) -> tuple[Any, Any]:
    """(specification, MIL program) of a package on disk. Raises InvalidFile if it is missing, cut off or not an ML Program."""
    if not file.is_dir():
        raise InvalidFile(f"{file}: no such package; expected an .mlpackage folder")
    try:
        model = ct.models.MLModel(str(file), skip_model_load=True)
        specification: Any = model.get_spec()
        program: Any = milproto.load(specification, specification.specificationVersion, model.weights_dir or "")
        program.functions["main"]
    except UNREADABLE as error:
        raise unreadable(file, error) from error
    return specification, program


def unreadable(file: Path, error: BaseException) -> InvalidFile:
    lines = str(error).splitlines() or [type(error).__name__]
    return InvalidFile(f"{file}: not a readable ML Program ({lines[0][:200]}); export it again")


def size(out: Path) -> int:
    """Bytes of all files in the package."""
    return sum(file.stat().st_size for file in out.rglob("*") if file.is_file())


def _name_by_contents(out: Path) -> None:
    """coremltools draws the manifest's identifiers at random; here they follow from each item's path and bytes."""
    path = out / "Manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    renamed = {}
    for old, entry in sorted(manifest["itemInfoEntries"].items(), key=lambda item: item[1]["path"]):
        item = out / "Data" / entry["path"]
        digest = sha256(entry["path"].encode())
        for file in sorted(item.rglob("*") if item.is_dir() else [item]):
            if file.is_file():
                digest.update(file.read_bytes())
        renamed[old] = str(uuid5(NAMESPACE_OID, digest.hexdigest()))
    manifest["itemInfoEntries"] = {renamed[old]: entry for old, entry in manifest["itemInfoEntries"].items()}
    manifest["rootModelIdentifier"] = renamed[manifest["rootModelIdentifier"]]
    path.write_text(json.dumps(manifest, indent=4, sort_keys=True) + "\n", "utf-8")
