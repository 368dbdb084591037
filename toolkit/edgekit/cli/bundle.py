"""edgekit bundle: copy a bundle into an app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import BundleArgument, Json


def bundle(
    bundle: BundleArgument,
    into: Annotated[
        Path, typer.Option("--into", "-i", help="android-demo, ios-demo, or a folder of your own app, where every file goes.", show_default=False)
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="preview (live), capture, or another name for the copy's folder.  [default: capture in the demo apps, else the bundle's own name]",
            show_default=False,
        ),
    ] = None,
    artifact: Annotated[
        list[str] | None,
        typer.Option("--artifact", "-a", help="Only this file; several times for several.  [default: all that fit]", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Take files that are over budget too, and replace a bundle that stands at the place.")
    ] = False,
    json: Json = False,
) -> None:
    """Copy a bundle into an app's assets: the files its platform can load, their golden outputs, the manifest. Every sha256 is checked before and after.

    Example: edgekit bundle build/edsr-android --into android-demo --as capture
    """
    from edgekit import bundle as bundles
    from edgekit import embed
    from edgekit.cli.console import emit_json, say

    app = embed.app_at(into)
    role = name or (embed.ROLE if app else Path(bundle.absolute()).name)
    place = embed.place_of(into, app, role)
    made = embed.embed(bundles.read(bundle), place, app, artifact or (), force=force)
    manifest = made.bundle.manifest
    if json:
        emit_json({"bundle": str(place), "artifacts": [a.name for a in manifest.artifacts], "left_out": made.left_out})
    for one in manifest.artifacts:
        say(f"copied   {one.file}  ({one.bytes / 1e6:.2f} MB, sha256 {one.sha256[:12]})")
    for unmeasured in (f"{one.name}: {line.name}" for one in manifest.artifacts for line in one.budget if line.status == "not measured"):
        say(f"NOT MEASURED  {unmeasured}")
    for left, reason in made.left_out.items():
        say(f"left out {left}: {reason}")
    say(f"bundle: {place}")
    if app:
        say(f"next: {app.build.format(app=into)}; then the app's self-test runs the golden pair as '{role}'")
    else:
        say("next: have the app read manifest.json there; model files must stay uncompressed (Android: noCompress)")
