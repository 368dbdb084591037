"""edgekit validate: does the bundle still do what its manifest says, here?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import BundleArgument, Json, ReferenceFolder, Strict


def validate(
    bundle: BundleArgument,
    images: Annotated[Path | None, typer.Option("--images", help="Your own photographs instead of the test pictures.")] = None,
    golden_only: Annotated[bool, typer.Option("--golden-only", help="Only the golden pair: seconds instead of a minute.")] = False,
    weights: Annotated[Path | None, typer.Option("--weights", help="The checkpoint the bundle was made from, if it is not a built-in model.")] = None,
    reference: ReferenceFolder = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Run every file of a bundle again and compare: with its golden pair, then with the network on test pictures."""
    from edgekit import bundle as bundles
    from edgekit import models, validation
    from edgekit.cli.console import ProgressLines, quiet, say
    from edgekit.cli.sets import calibration_set, captured_reference, test_set
    from edgekit.cli.verdict import conclude
    from edgekit.errors import OverBudget
    from edgekit_targets.devices.host import Host

    opened = bundles.read(bundle)
    device = Host()
    with quiet():
        checks = validation.golden(opened, device)
    for check in checks:
        say(f"golden  {check.artifact}: {check.line}")
    bad = [check for check in checks if check.status == "over"]
    if bad:
        raise OverBudget("; ".join(f"{check.artifact}: {check.line}" for check in bad), opened)
    if golden_only:
        if json:
            from dataclasses import asdict

            from edgekit.cli.console import emit_json

            emit_json({"bundle": str(bundle), "golden": [asdict(check) for check in checks]})
        unmeasured = [check for check in checks if check.status == "not measured"]
        if strict and unmeasured:
            raise OverBudget("not measured: " + "; ".join(check.artifact for check in unmeasured), opened)
        return
    enhancer = models.load(str(weights) if weights else opened.manifest.model.name)
    pictures = calibration_set(str(images)) if images else test_set()
    captured = None if images and not reference else captured_reference(reference, enhancer, opened.manifest.image.tile)
    with ProgressLines() as progress:
        measured = validation.again(opened, enhancer, pictures, device, captured=captured, progress=progress)
    conclude(measured, strict=strict, json=json)
