"""A bundle's copy in an app's assets: the files that the platform can load, their golden outputs, and a manifest that is otherwise the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit import bundle
from edgekit.consistency import golden_tensors
from edgekit.errors import InvalidFile, OverBudget, UnknownName
from edgekit.manifest import Artifact, Manifest
from edgekit.verdict import over_budget

ROLE = "capture"
"""Where a demo app's bundle goes if nothing else is said; the live preview's is `preview`."""


@dataclass(frozen=True)
class App:
    """A demo app of edgekit's source checkout. `bundles` is its folder of bundles, one per role; `backends` are those whose files it can load; `build` says
    what to do next."""

    bundles: str
    backends: tuple[str, ...]
    build: str


APPS = {
    "android-demo": App(
        "app/src/main/assets/bundles",
        ("executorch", "tflite"),
        "open {app} in Android Studio and run `app` on the phone",
    ),
    "ios-demo": App("App/Bundles", ("coreml",), "open {app}/EdgekitDemo.xcodeproj in Xcode, choose your team, and run EdgekitDemo on the phone"),
}


@dataclass(frozen=True)
class Embedded:
    """`bundle` is the copy; `left_out` maps an artifact's name to the reason."""

    bundle: bundle.Bundle
    left_out: dict[str, str]


def app_at(into: Path) -> App | None:
    """The demo app that `into` is, by its name; None for any other folder. Raises InvalidFile if there is no such folder."""
    name = Path(into.absolute()).name
    if name in APPS and not into.is_dir():
        raise InvalidFile(
            f"{into}: no such folder; expected the demo app of a source checkout of edgekit, or any folder of your own app: --into FOLDER"
        )
    return APPS.get(name)


def place_of(into: Path, app: App | None, name: str) -> Path:
    """Where the copy `name` goes. Raises InvalidFile for a name that is no plain one."""
    require_role(name)
    return into / app.bundles / name if app else into / name


def require_role(name: str) -> None:
    """Raises InvalidFile for what cannot be a bundle's name in an app: a folder's, and a word in a shell's command."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", name):
        raise InvalidFile(f"--as is '{name}'; expected preview, capture, or another plain name of letters, digits and ._-")


def embed(source: bundle.Bundle, place: Path, app: App | None, artifacts: Sequence[str] = (), *, force: bool = False) -> Embedded:
    """Copies `source` (as `bundle.read` verified it) to `place`, whole or not at all, and verifies the copy before it takes the place.

    `app` None: every backend's files go along. `artifacts`: only these, with their variants. `force` takes files over budget too, and replaces a bundle at `place`.
    Raises UnknownName, InvalidFile, and OverBudget for a file that was measured and is worse than its target allows.
    """
    if place.resolve() == source.path.resolve():
        raise InvalidFile(f"{place}: is the bundle itself; expected another place for its copy: choose another with --into or --as")
    manifest = source.manifest
    if app and (reason := _foreign(manifest)):
        raise InvalidFile(f"{source.path}: {reason}; expected one RGB or BGR picture in and one out, in tiles: the demo app takes no other network")
    left_out = _left_out(manifest, app, _with_siblings(manifest, artifacts))
    kept = tuple(a for a in manifest.artifacts if a.name not in left_out)
    if not kept:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise InvalidFile(
            f"{source.path}: nothing to copy ({reasons}); expected a bundle with a file for {_backends(app)}: edgekit export --target ..."
        )
    if not force and (lines := [line for artifact in kept for line in over_budget(artifact)]):
        good = [a.name for a in kept if not over_budget(a)]
        instead = (
            f"take only those within it: {' '.join(f'--artifact {name}' for name in good)}, or" if good else "expected a file within its budget;"
        )
        raise OverBudget(f"{'; '.join(lines)}; {instead} take it nevertheless with --force")
    names = {a.name for a in kept}
    golden = replace(manifest.golden, artifacts=tuple(output for output in manifest.golden.artifacts if output.artifact in names))
    described = replace(manifest, artifacts=kept, golden=golden)
    files = {f.file: source.path / f.file for f in (*kept, *golden_tensors(described))}
    try:
        copy = bundle.write(place, described, files, force=force, option="--as")
    except ValueError as error:
        raise InvalidFile(f"{source.path}: changed while it was copied ({error}); expected it left alone: try again") from error
    return Embedded(copy, left_out)


def _left_out(manifest: Manifest, app: App | None, artifacts: Sequence[str]) -> dict[str, str]:
    """Artifact -> why it does not go along. Raises UnknownName, InvalidFile for one that was asked for and cannot be loaded."""
    known = [a.name for a in manifest.artifacts]
    for name in artifacts:
        if name not in known:
            raise UnknownName("artifact", name, known)
    reasons = {a.name: reason for a in manifest.artifacts if (reason := _unfit(a, app))}
    for name in artifacts:
        if name in reasons:
            raise InvalidFile(f"{name}: {reasons[name]}; expected one of {', '.join(n for n in known if n not in reasons) or 'none in this bundle'}")
    return {name: reasons.get(name, "not asked for") for name in known if name in reasons or (artifacts and name not in artifacts)}


def _with_siblings(manifest: Manifest, artifacts: Sequence[str]) -> list[str]:
    """A variant's file is of no use without the others among which the rule chooses."""
    beside = [one.name for a in manifest.artifacts if a.name in artifacts for one in manifest.siblings(a).values()]
    return list(dict.fromkeys((*artifacts, *beside)))


def _foreign(manifest: Manifest) -> str | None:
    """What of this network the demo apps have no screen for."""
    image = manifest.image
    if manifest.sampler:
        return "its files are one step of a diffusion model"
    if manifest.routing:
        return "its files are variants, among which a rule chooses tile by tile"
    if manifest.before or manifest.after:
        return "it has classical steps before or after the network"
    if (len(image.inputs), len(image.outputs)) != (1, 1):
        return f"it has {len(image.inputs)} inputs and {len(image.outputs)} outputs"
    if colours := {spec.colour for spec in (*image.inputs, *image.outputs)} - {"rgb", "bgr"}:
        return f"it works on {' and '.join(sorted(colours))}"
    return "it sees the whole picture, and a camera's has another size" if image.tiling == "whole" else None


def _unfit(artifact: Artifact, app: App | None) -> str | None:
    if app is None or artifact.backend in app.backends:
        return None
    return f"a {artifact.backend} file, and this app loads {_backends(app)}"


def _backends(app: App | None) -> str:
    return " or ".join(app.backends) if app else "any backend"
