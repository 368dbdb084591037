"""The HTML page of a bundle, and of two bundles side by side: one file without outside parts, for a desktop and a phone, opened from anywhere.

A bundle is untrusted: every text is escaped, pictures are decoded first, charts are shown as pictures (a script in them cannot run), and the page's own
policy forbids it any request.
"""

from __future__ import annotations

from edgekit.report.comparison import compare
from edgekit.report.page import build

__all__ = ["build", "compare"]
