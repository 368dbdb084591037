"""edgekit run: enhance pictures of any size with a bundle's file, as an app would."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.options import BundleArgument, Force, Json

if TYPE_CHECKING:
    from edgekit.manifest import Manifest
    from edgekit.picture import SourcePicture
    from edgekit.routing import Router


def run(
    bundle: BundleArgument,
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="PNG, JPEG, WebP, TIFF ... of any size.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("enhanced"),
    artifact: Annotated[
        str | None,
        typer.Option(
            "--artifact", "-a", help="Which file of the bundle, with its variants.  [default: the one the bundle recommends]", show_default=False
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option("--variant", help="Of a bundle with variants, this one for every tile.  [default: as its rule says]", show_default=False),
    ] = None,
    second: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="NAME=PICTURE", help="The other inputs of a model that has several, such as visible=photo.jpg or mask=hole.png."
        ),
    ] = None,
    resize: Annotated[
        bool, typer.Option("--resize", help="Resize pictures for a restoring model that has to see the whole picture; loses detail.")
    ] = False,
    suffix: Annotated[str, typer.Option("--format", help="png (streamed, any size), jpg or webp.")] = "png",
    force: Force = False,
    json: Json = False,
) -> None:
    """Enhance pictures tile by tile, in bounded memory: odd sizes, 48 megapixels, grey, transparent, 16-bit, rotated and wide-gamut ones too."""
    from edgekit import bundle as bundles
    from edgekit import classical, enhance, picture
    from edgekit.cli.console import ProgressLines, emit_json, quiet, say
    from edgekit.errors import InvalidFile, UnknownName
    from edgekit.routing import Router
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
    rule = opened.manifest.routing
    siblings = opened.manifest.siblings(chosen)
    if variant is not None:
        if variant not in siblings:
            raise UnknownName("variant", variant, siblings)
        chosen, rule = siblings[variant], None
        name = chosen.name
    image = opened.manifest.image
    loop = opened.manifest.sampler
    apply = opened.manifest.apply
    before, after = opened.manifest.before, opened.manifest.after
    if loop is None and apply is None and any(spec.colour in ("scalar", "state") for spec in (*image.inputs, *image.outputs)):
        raise InvalidFile(f"{bundle}: {name} takes or gives numbers that are no picture; expected a model from pictures to a picture")
    others = [] if loop else _named(second or [], [one.name for one in image.inputs[1:]])
    if others and len(pictures) > 1:
        raise InvalidFile(f"got {len(pictures)} pictures with --input; expected one picture a call, as the other inputs belong to it")
    spec = enhance.TileSpec(
        tile=image.tile,
        halo=image.halo,
        scale=image.scale,
        multiple_of=image.multiple_of,
        io="uint8" if chosen.inputs[0].dtype == "uint8" else "float32",
        colours=tuple(one.colour for one in image.inputs if one.colour != "scalar"),
        result=image.outputs[0].colour,
    )
    targets = {source: out / f"{source.stem}.{suffix}" for source in pictures}
    if len(set(targets.values())) < len(pictures):
        raise InvalidFile("two pictures would get the same name; expected different file names, or one call each")
    for target in targets.values():
        if target.exists() and not force:
            raise InvalidFile(f"{target}: exists; expected a free name, or --force")
    written = []
    with ProgressLines() as progress, quiet():
        sessions = {one: Host().session(opened.path / file.file) for one, file in (siblings if rule else {"": chosen}).items()}
        for source, target in targets.items():
            opened_picture = picture.open_picture(source)
            if before or after:
                classical.require_small(opened_picture.name, opened_picture.height * opened_picture.width * (image.scale**2 if after else 1))
            opened_picture = classical.processed(opened_picture, before)
            given = [opened_picture, *(picture.open_picture(other) for other in others)]
            if image.tiling == "whole" and not apply:
                _say_or_refuse(opened_picture, opened.manifest, resize=resize)
            out.mkdir(parents=True, exist_ok=True)
            tell = partial(progress, source.name)
            router = Router(rule, sessions, image.inputs[0].colour) if rule else None
            session = router.session_for(opened_picture) if router else sessions[""]
            with classical.then(after, target) as made:
                if loop:
                    enhance.enhance_sampled(session, spec, loop, opened_picture, made, progress=tell)
                elif apply:
                    index = [one.name for one in image.outputs].index(apply.output)
                    enhance.enhance_adjusted(session, spec, apply, index, opened_picture, made)
                elif image.tiling == "whole":
                    enhance.enhance_whole(session, spec, given, made)
                else:
                    enhance.enhance(session, spec, given, made, progress=tell)
            written.append({"picture": str(source), "result": str(target), "artifact": name} | ({"routed": router.counts} if router else {}))
            say(f"{target}  ({opened_picture.width * image.scale}x{opened_picture.height * image.scale}, {name}{_routed(router)})")
    if json:
        emit_json({"results": written})


def _routed(router: Router | None) -> str:
    """How many tiles (or whether the picture) went to which variant."""
    if router is None:
        return ""
    return "".join(f", {name} {count}" for name, count in router.counts.items()) + f" {router.unit}{'s' * (router.unit == 'tile')}"


def _named(given: list[str], names: list[str]) -> list[Path]:
    """The pictures of the inputs `names`, in that order. Raises InvalidFile."""
    from edgekit.errors import InvalidFile

    found: dict[str, str] = {text.partition("=")[0]: text.partition("=")[2] for text in given}
    if sorted(found) != sorted(names) or len(found) < len(given) or not all(found.values()):
        wanted = " ".join(f"--input {name}=PICTURE" for name in names) or "no --input: the model takes one picture"
        raise InvalidFile(f"--input is {' '.join(given) or 'missing'}; expected {wanted}")
    return [Path(found[name]) for name in names]


def _say_or_refuse(source: SourcePicture, manifest: Manifest, *, resize: bool) -> None:
    """For a model that has to see the whole picture and takes one size."""
    from edgekit.cli.console import say
    from edgekit.errors import InvalidFile

    height, width = manifest.image.tile
    if (source.height, source.width) == (height, width):
        return
    if manifest.model.task == "restore" and not resize:
        raise InvalidFile(
            f"{source.name}: is {source.width}x{source.height}, and {manifest.model.name} has to see the whole picture in {width}x{height}; "
            f"expected that size: export again with --tile {source.height}x{source.width}, or --resize, which loses detail"
        )
    say(f"{source.name}: resized to {width}x{height} for {manifest.model.name}, which sees the whole picture, and back")
