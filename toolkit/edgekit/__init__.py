"""edgekit: trained PyTorch image enhancers into verified files for phone camera apps.

    from edgekit import load_model, read_bundle

Everything else is a module: `edgekit.pipeline.export`, `edgekit.enhance.enhance`, `edgekit.parity.compare`. Importing this package is cheap: torch comes with
the first name that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.bundle import read as read_bundle
    from edgekit.models import load as load_model
    from edgekit.pipeline import export
    from edgekit.recipe import load as load_recipe

from edgekit.errors import EdgekitError

__all__ = ["EdgekitError", "export", "load_model", "load_recipe", "read_bundle"]

_LAZY = {"export": ("pipeline", "export"), "load_model": ("models", "load"), "load_recipe": ("recipe", "load"), "read_bundle": ("bundle", "read")}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'edgekit' has no attribute '{name}'")
    module, attribute = _LAZY[name]
    return getattr(import_module(f"edgekit.{module}"), attribute)
