"""The one place that turns a missing package into an install line."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from edgekit.errors import MissingToolchain


def part(backend: str, module: str) -> ModuleType:
    """`edgekit_targets.<backend>.<module>`, which imports the toolchain. Raises MissingToolchain with the pip line."""
    try:
        return import_module(f"edgekit_targets.{backend}.{module}")
    except ImportError as error:
        missing = (error.name or "").split(".")[0]
        if not missing or missing.startswith("edgekit"):
            raise
        raise MissingToolchain(f"backend '{backend}'", missing, backend) from error
