"""edgekit inspect: what a network is, and what of that was measured because nobody had stated it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.options import ContractOption, Json, Weights

if TYPE_CHECKING:
    from edgekit.enhancer import Enhancer, ImageSpec

SIDE = 64
"""Of the input on which multiplications are counted, made to fit the network."""


def inspect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A built-in name, a checkpoint, a .pt2 or package.module:factory, which runs that code.", show_default=False
        ),
    ],
    weights: Weights = None,
    contract: ContractOption = None,
    json: Json = False,
) -> None:
    """Show a network's image contract, what of it was probed, its size, its reach, and what each backend can take.

    Example: edgekit inspect mynetwork:enhancer
    """
    from edgekit import models
    from edgekit.cli.console import emit_json, quiet, show_fields

    with quiet():
        enhancer = models.load(model, weights, contract)
        rows = described(enhancer)
    if json:
        emit_json(rows)
        return
    show_fields({key: _text(value) for key, value in rows.items() if value not in (None, [])})


def described(enhancer: Enhancer) -> dict[str, Any]:
    """Key -> what to show or to write as JSON."""
    import edgekit_targets
    from edgekit import pipeline, preparation, tiles
    from edgekit.tile_size import for_network

    example = preparation.example(enhancer, for_network(enhancer, None, (SIDE, SIDE)))
    exact = enhancer.tiling == "exact"
    radius = tiles.receptive_radius(enhancer.module, example, enhancer.multiple_of, enhancer.smallest) if exact else None
    facts = pipeline.describe(enhancer, example, radius)
    return {
        "name": enhancer.name,
        "source": enhancer.source,
        "licence": enhancer.licence,
        "task": enhancer.task,
        "inputs": [_line(spec) for spec in enhancer.inputs],
        "outputs": [_line(spec) for spec in enhancer.outputs],
        "scale": enhancer.scale,
        "multiple_of": enhancer.multiple_of,
        "smallest": enhancer.smallest,
        "only": list(enhancer.only) if enhancer.only else None,
        "tiling": enhancer.tiling,
        "receptive_radius": radius,
        "parameters": facts.parameters,
        "macs_per_pixel": round(facts.macs_per_pixel),
        "probed": list(enhancer.probed),
        "backends": {name: list(edgekit_targets.backend(name).precisions) for name in edgekit_targets.BACKENDS},
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _line(spec: ImageSpec) -> str:
    return f"{spec.name}: {spec.channels} {spec.colour}, {spec.range[0]:g} to {spec.range[1]:g}"


def say_probed(enhancer: Enhancer) -> None:
    """One line on what was measured or assumed, so that a wrong guess is seen before an hour is spent on it."""
    from edgekit.cli.console import say

    if enhancer.probed:
        say(f"{enhancer.name}: nobody stated, so probed: {'; '.join(enhancer.probed)}")
