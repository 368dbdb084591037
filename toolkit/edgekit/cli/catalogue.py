"""edgekit models | targets | recipes | calibration: what there is, and how to make a calibration set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.options import Force, Json

calibration = typer.Typer(
    help="Calibration sets: list them, show one, build one from your own photographs.", invoke_without_command=True, rich_markup_mode=None
)

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one in full.", show_default=False)]


def models(name: Name = None, json: Json = False) -> None:
    """List the built-in models, or show one."""
    from edgekit import models as table

    names = [table.entry(name).name] if name else table.names()
    rows = [{"name": n, "scale": table.entry(n).scale, "description": table.entry(n).description, "licence": table.entry(n).licence} for n in names]
    _list(rows, json)


def targets(name: Name = None, json: Json = False) -> None:
    """List the deployment targets, or show one."""
    import edgekit_targets

    rows = []
    for one in [name] if name else edgekit_targets.names():
        target = edgekit_targets.load(one)
        files = ", ".join(f"{plan.backend.name} {plan.recipe}" for plan in target.artifacts)
        row: dict[str, Any] = {"name": target.name, "files": files, "tile": "x".join(map(str, target.tile)), "description": target.description}
        if name:
            from dataclasses import asdict

            row["budgets"] = {task: {k: v for k, v in asdict(budget).items() if v is not None} for task, budget in target.budgets.items()}
        rows.append(row)
    _list(rows, json)


def recipes(name: Name = None, json: Json = False) -> None:
    """List the recipes, or show one."""
    from edgekit import recipe as table

    rows = []
    for one in [name] if name else table.names():
        recipe = table.load(one)
        row: dict[str, Any] = {"name": recipe.name, "precision": recipe.precision, "description": recipe.description}
        if name:
            from dataclasses import asdict

            row |= {"quantize": asdict(recipe.quantize) if recipe.quantize else None, "backend": recipe.backend}
        rows.append(row)
    _list(rows, json)


@calibration.callback()
def _calibration(context: typer.Context, json: Json = False) -> None:
    if context.invoked_subcommand is None:
        calibration_list(json)


@calibration.command("list")
def calibration_list(json: Json = False) -> None:
    """List the calibration sets."""
    import edgekit_calibration

    rows = []
    for name in edgekit_calibration.names():
        found = edgekit_calibration.load(name)
        rows.append({"name": found.name, "pictures": len(found.pictures), "sha256": found.sha256[:12]})
    _list(rows, json)


@calibration.command("show")
def calibration_show(name: Annotated[str, typer.Argument(help="A set's name or folder.", show_default=False)], json: Json = False) -> None:
    """Show a set's pictures with their origin and licence."""
    import edgekit_calibration

    found = edgekit_calibration.load(name)
    _list([{"picture": p.name, "tags": ", ".join(p.tags), "licence": p.licence, "origin": p.origin} for p in found.pictures], json)


@calibration.command("build")
def calibration_build(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of your own photographs.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The set's folder; give it to --calibration.", show_default=False)],
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a calibration set from a folder of photographs: reduced so that no JPEG blocks remain, cropped, listed with sha256."""
    from dataclasses import asdict

    from edgekit.cli.console import ProgressLines, emit_json, say
    from edgekit_calibration.build import build

    with ProgressLines() as progress:
        report = build(source, out, force=force, progress=lambda done, total: progress("pictures", done, total))
    for line in report.unreadable:
        say(f"unreadable: {line}")
    for line in report.too_small:
        say(f"too small: {line}")
    if report.not_needed:
        say(f"left out: {report.not_needed} more than the set's limit")
    say(f"{out}: {len(report.kept)} pictures; use it with --calibration {out}")
    if json:
        emit_json(asdict(report))


def _list(rows: list[dict], json: bool) -> None:
    """A table on stdout (it is the command's result), or JSON."""
    if json:
        from edgekit.cli.console import emit_json

        emit_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    from edgekit.cli.console import show_fields

    if len(rows) == 1:
        show_fields(rows[0])
        return
    console, table = Console(highlight=False), Table(box=None, pad_edge=False)
    for key in rows[0]:
        table.add_column(key, overflow="fold")
    for row in rows:
        table.add_row(*(str(v) for v in row.values()))
    console.print(table)
