"""Writing an .mlpackage so that the same network gives the same bytes."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from edgekit_targets.coreml.library import ct

DATE = "com.github.apple.coremltools.conversion_date"
DEBUG = "executorch_debug_handle_mapping.json"
SPECIFICATION = Path("Data/com.apple.CoreML/model.mlmodel")


def save(model: ct.models.MLModel, out: Path) -> None:
    """Writes the package without the conversion date and the debug table that coremltools adds, and with identifiers made from the contents."""
    model.user_defined_metadata.pop(DATE, None)
    model.save(str(out))
    (out / DEBUG).unlink(missing_ok=True)
    specification: Any = ct.utils.load_spec(str(out))
    specification.description.metadata.userDefined.pop(DATE, None)
    (out / SPECIFICATION).write_bytes(specification.SerializeToString(deterministic=True))
    _name_by_contents(out)


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
