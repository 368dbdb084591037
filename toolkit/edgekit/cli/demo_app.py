"""What the demo app on a phone measured, collected over adb and read like --device-report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgekit.cli.console import say
from edgekit.errors import CannotRunHere, EdgekitError

if TYPE_CHECKING:
    from edgekit.bundle import Bundle
    from edgekit.device_report import Checked


@dataclass(frozen=True)
class Told:
    """`documents` are for the JSON output; `checks` what `require` judges in the end."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    checks: list[Checked] = field(default_factory=list)

    def require(self) -> None:
        """Raises OverBudget if a golden check failed on the phone, or the self-test that was asked for was one of other files."""
        from edgekit.cli import device_report

        device_report.require(self.checks, strict=False)


def collect(opened: Bundle, serial: str, role: str | None) -> Told:
    """Runs the app's self-test of `role` and reads its report; with None, reads what lies there of this bundle's model.

    Raises CannotRunHere if the phone is not ready, or a `role` cannot be tested on it; EdgekitError for a report of it that is not sound.
    """
    from edgekit.embed import require_role
    from edgekit_targets.devices import demo_app
    from edgekit_targets.devices.adb_shell import AdbShell

    phone, told = AdbShell(serial), Told()
    if role is not None:
        require_role(role)
        if not demo_app.is_installed(phone):
            raise CannotRunHere(f"{demo_app.PACKAGE} is not installed on phone '{serial}'; expected it: build android-demo, or leave out --self-test")
        say(f"app     self-test of '{role}' on phone '{serial}' ...")
        demo_app.self_test(phone, role)
        _read(opened, phone, role, told)
        return told
    if not demo_app.is_installed(phone):
        say(f"NOT MEASURED  in an app: {demo_app.PACKAGE} is not installed on phone '{serial}'")
        return told
    roles = demo_app.roles(phone)
    if not roles:
        say("NOT MEASURED  in the app: its self-test has not run; --self-test runs it")
    for found in roles:
        try:
            _read(opened, phone, found, told, only_model=opened.manifest.model.name)
        except EdgekitError as error:
            say(f"NOT MEASURED  in the app, as '{found}': {error}")
    # Files of another export are no reason to fail when nobody asked the app.
    told.checks[:] = [check for check in told.checks if check.golden != "other file"]
    return told


def _read(opened: Bundle, phone: Any, role: str, told: Told, *, only_model: str | None = None) -> None:
    from edgekit import device_report
    from edgekit.cli import device_report as shown
    from edgekit_targets.devices import demo_app

    with demo_app.report(phone, role) as file:
        report = device_report.read(file)
    if only_model not in (None, report.bundle.model):
        say(f"app     '{role}' is {report.bundle.model}: another model's bundle")
        return
    say(f"app     '{role}', self-test of {report.created}")
    document, checks = shown.show(report, opened)
    told.documents.append(document)
    told.checks.extend(checks)
