"""coremltools, imported once, without what it does not need here.

coremltools probes for TensorFlow and imports it if it finds it: 4 seconds and a page of messages for a converter that is not used. On other systems than
macOS it reports missing native proxies, which only prediction uses.
"""

# ruff: noqa: TID253, E402
from __future__ import annotations

import logging
import sys

logging.getLogger("coremltools").setLevel(logging.ERROR)
_hidden = "tensorflow" not in sys.modules
if _hidden:
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # makes `import tensorflow` fail at once, until the end of this file

import coremltools as ct
import coremltools.optimize.coreml as cto
from coremltools.converters.mil.frontend.milproto import load as milproto
from coremltools.converters.mil.mil import types
from coremltools.converters.mil.mil.scope import ScopeSource

if _hidden:
    del sys.modules["tensorflow"]

__all__ = ["ScopeSource", "ct", "cto", "milproto", "types"]
