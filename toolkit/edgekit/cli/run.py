"""edgekit run: enhance pictures of any size with a bundle's file, as an app would."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import BundleArgument, Force, Json


def run(
    bundle: BundleArgument,
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="PNG, JPEG, WebP, TIFF ... of any size.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("enhanced"),
    artifact: Annotated[
        str | None, typer.Option("--artifact", "-a", help="Which file of the bundle.  [default: the one the bundle recommends]", show_default=False)
    ] = None,
    suffix: Annotated[str, typer.Option("--format", help="png (streamed, any size), jpg or webp.")] = "png",
    force: Force = False,
    json: Json = False,
) -> None:
    """Enhance pictures tile by tile, in bounded memory: odd sizes, 48 megapixels, grey, transparent, 16-bit, rotated and wide-gamut ones too."""
    from edgekit import bundle as bundles
    from edgekit import enhance, picture
    from edgekit.cli.console import ProgressLines, emit_json, quiet, say
    from edgekit.errors import InvalidFile, UnknownName
    from edgekit.verdict import judge
    from edgekit_targets.devices.host import Host

    if suffix not in ("png", "jpg", "webp"):
        raise InvalidFile(f"--format is '{suffix}'; expected png, jpg or webp")
    opened = bundles.read(bundle)
    by_name = {a.name: a for a in opened.manifest.artifacts}
    runnable = [a.name for a in opened.manifest.artifacts if a.parity is not None]
    name = artifact or judge(opened.manifest).ship or next(iter(runnable), next(iter(by_name)))
    if name not in by_name:
        raise UnknownName("artifact", name, by_name)
    chosen = by_name[name]
    image = opened.manifest.image
    spec = enhance.TileSpec(
        tile=image.tile,
        halo=image.halo,
        scale=image.scale,
        multiple_of=image.multiple_of,
        io="uint8" if chosen.inputs[0].dtype == "uint8" else "float32",
    )
    targets = {source: out / f"{source.stem}.{suffix}" for source in pictures}
    if len(set(targets.values())) < len(pictures):
        raise InvalidFile("two pictures would get the same name; expected different file names, or one call each")
    for target in targets.values():
        if target.exists() and not force:
            raise InvalidFile(f"{target}: exists; expected a free name, or --force")
    written = []
    with ProgressLines() as progress, quiet():
        session = Host().session(opened.path / chosen.file)
        for source, target in targets.items():
            opened_picture = picture.open_picture(source)
            out.mkdir(parents=True, exist_ok=True)
            enhance.enhance(session, spec, opened_picture, target, progress=lambda done, total, at=source.name: progress(at, done, total))
            written.append({"picture": str(source), "result": str(target), "artifact": name})
            say(f"{target}  ({opened_picture.width * image.scale}x{opened_picture.height * image.scale}, {name})")
    if json:
        emit_json({"results": written})
