"""edgekit report and compare: the HTML page of a bundle, again, and of two bundles side by side."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import BundleArgument, Json

PageForce = Annotated[bool, typer.Option("--force", "-f", help="Replace a file at the output's place that is no page of edgekit.")]


def report(
    bundle: BundleArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The page.  [default: BUNDLE/report.html]", show_default=False)] = None,
    force: PageForce = False,
    json: Json = False,
) -> None:
    """Write a bundle's HTML page again: verdict, table, worst tiles, errors, environment, in one file that needs no network.

    Example: edgekit report build/edsr-android
    """
    from edgekit import bundle as bundles
    from edgekit import report as pages
    from edgekit.cli.console import emit_json, say

    opened, place = bundles.read(bundle), out or bundle / "report.html"
    check_place(place, force=force)
    replace_text(place, pages.build(opened))
    if json:
        emit_json({"bundle": str(bundle), "report": str(place)})
    say(f"report: {place}")


def compare(
    a: BundleArgument,
    b: BundleArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page.")] = Path("compare.html"),
    force: PageForce = False,
    json: Json = False,
) -> None:
    """Put two bundles side by side in one HTML page: files of the same backend and recipe, their differences, the same worst tile of both.

    Example: edgekit compare build/edsr-android build/edsr-mobile-android
    """
    from edgekit import bundle as bundles
    from edgekit import report as pages
    from edgekit.cli.console import emit_json, say

    one, other = bundles.read(a), bundles.read(b)
    check_place(out, force=force)
    replace_text(out, pages.compare(one, other))
    if json:
        emit_json({"bundles": [str(a), str(b)], "report": str(out)})
    say(f"report: {out}")


def check_place(place: Path, *, force: bool) -> None:
    """A page that edgekit wrote may be replaced, anything else only with `force`. Raises InvalidFile, OSError."""
    from edgekit.errors import InvalidFile
    from edgekit.report.page import GENERATOR

    if place.is_dir():
        raise InvalidFile(f"{place}: is a folder; expected a name for the page, such as {place / 'report.html'}")
    if not place.parent.is_dir():
        raise InvalidFile(f"{place}: its folder does not exist; expected one that does: make it, or choose another place with --out")
    if place.exists() and not place.is_file():
        raise InvalidFile(f"{place}: is no plain file; expected a name for the page: choose another with --out")
    if force or not place.exists():
        return
    with place.open("rb") as file:
        if f'name="generator" content="{GENERATOR}"'.encode() not in file.read(2000):
            raise InvalidFile(
                f"{place}: exists and is no page of edgekit; expected a free name: choose another with --out, or replace it with --force"
            )


def replace_text(place: Path, text: str) -> None:
    """Whole or not at all: written beside `place`, then renamed. A link at `place` is replaced, not followed."""
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}.new")
    try:
        with beside.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)
