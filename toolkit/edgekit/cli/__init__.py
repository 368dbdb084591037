"""The command line: the composition root and the one error boundary. Importing it loads neither torch nor a toolchain."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

try:
    from typer.exceptions import TyperException
except ImportError:  # before typer had its own
    from click import ClickException as TyperException  # pyright: ignore[reportMissingImports]

from edgekit.cli import bench, bundle, catalogue, doctor, export, inspect, prune, reference, report, run, train, validate
from edgekit.errors import EdgekitError, LoweringError, OverBudget, first_line

app = typer.Typer(
    name="edgekit",
    help="Trained PyTorch image enhancers into verified files for phone camera apps: ExecuTorch, Core ML, TFLite, ONNX.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"edgekit {version('edgekit')}\n")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)] = False,
) -> None:
    if debug:
        os.environ["EDGEKIT_DEBUG"] = "1"


app.command("export")(export.export)
app.command("validate")(validate.validate)
app.command("bench")(bench.bench)
app.command("run")(run.run)
app.command("report")(report.report)
app.command("compare")(report.compare)
app.command("bundle")(bundle.bundle)
app.command("prune")(prune.prune)
app.command("reference")(reference.reference)
app.command("train")(train.train)
app.command("doctor")(doctor.doctor)
app.command("inspect")(inspect.inspect)
app.command("models")(catalogue.models)
app.command("targets")(catalogue.targets)
app.command("recipes")(catalogue.recipes)
app.add_typer(catalogue.calibration, name="calibration")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; without any, shows them. 0 done, 1 over budget, 2 bad input, 3 a toolchain failed, 130 interrupted; one line on stderr, a traceback
    only with --debug."""
    from edgekit.cli.console import say

    try:
        given = sys.argv[1:] if arguments is None else arguments
        return int(app(args=given or ["--help"], standalone_mode=False) or 0)
    except OverBudget as error:
        code, line = 1, f"over budget: {error}"
    except LoweringError as error:
        code, line = 3, f"error: {error}"
    except EdgekitError as error:
        code, line = 2, f"error: {error}"
    except TyperException as error:
        code, line = 2, f"error: {getattr(error, 'format_message', error.__str__)()}"
    except (KeyboardInterrupt, typer.Abort):
        code, line = 130, "interrupted; nothing was changed"
    except OSError as error:
        code, line = 2, f"error: {error.filename or 'input/output'}: {error.strerror or error}"
    except Exception as error:
        code, line = (
            3,
            f"error: unexpected {first_line(error, kind=True)} (--debug shows where)",
        )
    if os.environ.get("EDGEKIT_DEBUG"):
        import traceback

        traceback.print_exc()
    say(" ".join(line.split()))
    return code


def entry() -> None:
    sys.exit(main())
