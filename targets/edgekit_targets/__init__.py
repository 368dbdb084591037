"""Everything that knows a runtime: deployment targets (TOML) and backends (one package each, imported on use)."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgekit import toml
from edgekit.backend import Backend
from edgekit.errors import InvalidFile, UnknownName
from edgekit.target import ArtifactPlan, Budget, Target, check_budgets

BACKENDS = {"coreml": "CoreML", "executorch": "ExecuTorch", "onnx": "Onnx", "tflite": "TFLite"}
"""Backend name -> its options class in `edgekit_targets.<name>`."""


def names() -> list[str]:
    return sorted(p.name.removesuffix(".toml") for p in files("edgekit_targets").iterdir() if p.name.endswith(".toml"))


def backend(name: str, options: dict[str, Any] | None = None, where: str = "options") -> Backend:
    """The backend with its typed options; imports no toolchain. Raises UnknownName, InvalidFile."""
    if name not in BACKENDS:
        raise UnknownName("backend", name, BACKENDS)
    cls = getattr(import_module(f"edgekit_targets.{name}"), BACKENDS[name])
    return toml.build(cls, options or {}, where)


def load(name_or_path: str) -> Target:
    """A built-in target by name, or a TOML file. Raises UnknownName, InvalidFile."""
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        return _read(path.name, path.stem, toml.read(path))
    if name_or_path not in names():
        raise UnknownName("target", name_or_path, names())
    resource = files("edgekit_targets") / f"{name_or_path}.toml"
    return _read(f"{name_or_path}.toml", name_or_path, toml.parse(resource.read_text("utf-8"), f"{name_or_path}.toml"))


def _read(where: str, name: str, table: dict[str, Any]) -> Target:
    entries = table.pop("artifact", [])
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        raise InvalidFile(f"{where}: no [[artifact]]; expected at least one, with backend and recipe")
    for key in ("name", "artifacts"):
        if key in table:
            raise InvalidFile(f"{where}: unknown key '{key}'; expected description, tile, io, artifact, budgets")
    check_budgets(table.get("budgets"), where)
    target = toml.build(Target, {**table, "name": name, "artifacts": []}, where)
    if min(target.tile) < 16:
        raise InvalidFile(f"{where}: tile is {list(target.tile)}; expected two sides of at least 16 pixels")
    plans = []
    for number, entry in enumerate(entries, 1):
        options = dict(entry)
        place = f"{where}: [[artifact]] {number}"
        kind, recipe = options.pop("backend", None), options.pop("recipe", None)
        if not isinstance(kind, str) or not isinstance(recipe, str):
            raise InvalidFile(f"{place}: backend is {kind!r} and recipe is {recipe!r}; expected a name each")
        if kind not in BACKENDS:
            raise InvalidFile(f"{place}: backend is '{kind}'; expected one of {', '.join(BACKENDS)}")
        plans.append(ArtifactPlan(backend(kind, options, place), recipe))
    return replace(target, artifacts=tuple(plans))


__all__ = ["BACKENDS", "Budget", "backend", "load", "names"]
