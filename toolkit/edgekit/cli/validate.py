"""edgekit validate: does the bundle still do what its manifest says, here?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.options import BundleArgument, ContractOption, Device, Json, ReferenceFolder, Strict, VariantNetworks, variant_networks

if TYPE_CHECKING:
    from edgekit.bundle import Bundle
    from edgekit.validation import GoldenCheck

EMULATED_TILES = 1


def validate(
    bundle: BundleArgument,
    on: Device = "host",
    images: Annotated[Path | None, typer.Option("--images", help="Your own photographs instead of the test pictures.")] = None,
    tiles: Annotated[
        int | None,
        typer.Option(
            "--tiles",
            min=1,
            help="Only so many tiles of the pictures: not enough to judge a budget.  [default: 1 on qemu-arm64, where a tile takes seconds; else all]",
            show_default=False,
        ),
    ] = None,
    golden_only: Annotated[bool, typer.Option("--golden-only", help="Only the golden pair: seconds instead of a minute.")] = False,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="The checkpoint, .pt2 or package.module:factory the bundle was made from, if it is no built-in model."),
    ] = None,
    variant: VariantNetworks = None,
    contract: ContractOption = None,
    reference: ReferenceFolder = None,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="Also show where each file loses accuracy, layer by layer, on the worst tiles (this host only); writes measured/layers-*.json.",
        ),
    ] = False,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration", "-c", help="For --layers: the set the bundle was calibrated with, if it was your own folder.", show_default=False
        ),
    ] = None,
    device_report: Annotated[
        Path | None,
        typer.Option("--device-report", help="Run nothing; read what the app's self-test screen wrote on its phone.", show_default=False),
    ] = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Run every file of a bundle again and compare: with its golden pair, then with the network on test pictures.

    On another device than this host the results are also written to measured/DEVICE.json in the bundle; its manifest stays.
    """
    if device_report:
        from edgekit.cli import device_report as reports

        reports.only_option(on=on != "host", images=images, tiles=tiles, golden_only=golden_only, weights=weights, reference=reference, layers=layers)
        reports.conclude(bundle, device_report, strict=strict, json=json)
        return
    from dataclasses import asdict

    from edgekit import bundle as bundles
    from edgekit import models, validation
    from edgekit.cli.console import ProgressLines, emit_json, quiet, say
    from edgekit.cli.elsewhere import few_tiles, times_of_its_own, write_checks
    from edgekit.cli.sets import calibration_set, captured_reference, test_set
    from edgekit.cli.verdict import conclude
    from edgekit.errors import InvalidFile, OverBudget
    from edgekit_targets import devices

    if layers and golden_only:
        raise InvalidFile("--layers compares with the network on test pictures, --golden-only leaves both out; expected one of them")
    opened = bundles.read(bundle)
    networks = _networks(opened, variant_networks(variant))
    if layers and networks:
        raise InvalidFile("--layers follows one network, and this bundle has variants; expected none: export the network alone")
    tiles = tiles or (EMULATED_TILES if on == "qemu-arm64" else None)
    again, document = None, {}
    with devices.opened(on) as device:
        with quiet():
            checks = validation.golden(opened, device)
        for check in checks:
            say(f"golden  {check.artifact}: {check.line}")
        bad = [check for check in checks if check.status == "over"]
        if not bad and not golden_only:
            enhancer = models.load(str(weights) if weights else opened.manifest.model.name, contract=contract)
            pictures = calibration_set(str(images)) if images else test_set()
            if tiles:
                pictures = few_tiles(pictures, tiles, opened.manifest.image)
            mine = bool(images or tiles) and not reference
            captured = None if mine else captured_reference(reference, enhancer, opened.manifest.image.tile)
            lighter = {name: models.load(network) for name, network in networks.items()}
            with ProgressLines() as progress:
                again = validation.again(opened, enhancer, pictures, device, lighter=lighter, captured=captured, progress=progress)
        if isinstance(device, devices.Elsewhere):
            again = again and times_of_its_own(again)
            document = write_checks(opened, device, checks, again)
    beside = {}
    if layers:
        from edgekit.cli.layers import measure, show

        network = models.load(str(weights) if weights else opened.manifest.model.name, contract=contract)
        reports = measure(again or opened, network, calibration_set(str(images)) if images else test_set(), calibration)
        for report in reports:
            show(report)
        beside = {"layers": [asdict(report) for report in reports]}
    partial = golden_only or bool(tiles) or bool(bad)
    if json and (partial or document):
        few = {a.name: a.parity and asdict(a.parity) for a in again.manifest.artifacts} if again else None
        emit_json({"bundle": str(bundle), "golden": [asdict(check) for check in checks], "parity": few, **document, **beside})
    if bad:
        raise OverBudget("; ".join(f"{check.artifact}: {check.line}" for check in bad), opened)
    if again is None:
        _conclude_golden(opened, checks, strict=strict)
    elif tiles:
        _conclude_few(again, strict=strict)
    else:
        conclude(again, strict=strict, json=json and not document, beside=beside)


def _networks(opened: Bundle, given: dict[str, str]) -> dict[str, str]:
    """Of each variant but the heaviest: the network as it was given, or by its model's name. Raises UnknownName."""
    from edgekit.errors import UnknownName

    rule = opened.manifest.routing
    lighter = {one.name: one.model.name for one in rule.variants[:-1]} if rule else {}
    for name in given:
        if name not in lighter:
            raise UnknownName("variant", name, lighter)
    return lighter | given


def _conclude_golden(opened: Bundle, checks: list[GoldenCheck], *, strict: bool) -> None:
    from edgekit.errors import OverBudget

    unmeasured = [check for check in checks if check.status == "not measured"]
    if strict and unmeasured:
        raise OverBudget("not measured: " + "; ".join(check.artifact for check in unmeasured), opened)


def _conclude_few(again: Bundle, *, strict: bool) -> None:
    """What the tiles gave. Budgets are means and worst cases over the whole set, so a few tiles neither meet nor miss them."""
    from edgekit.cli.console import say
    from edgekit.errors import OverBudget

    broken = []
    for artifact in again.manifest.artifacts:
        parity = artifact.parity
        if parity is None:
            say(f"NOT MEASURED  {artifact.name}: {artifact.why_not.get('parity', 'no reason given')}")
            continue
        if not (parity.finite and parity.runs_equal):
            broken.append(f"{artifact.name}: " + ("two runs of a tile differ" if parity.finite else "the outputs are not finite"))
        against = f"{parity.tiles} tile{'s' * (parity.tiles != 1)}, against {parity.reference.device} {parity.reference.dtype}"
        say(f"tiles   {artifact.name}: {_db(parity.psnr_db)}, worst {_db(parity.worst_psnr_db)} on {against}")
    say("NOT MEASURED  the budgets: so few tiles say how the device computes, not how good the files are on a whole set")
    if broken:
        raise OverBudget("; ".join(broken), again)
    if strict:
        raise OverBudget("not measured: the budgets, with so few tiles", again)


def _db(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2f} dB"
