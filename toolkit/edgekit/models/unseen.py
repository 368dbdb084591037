"""Networks that edgekit has never seen: what their author states, and the rest probed, makes a contract and a network of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from edgekit.enhancer import ImageSpec, Tiling
from edgekit.errors import InvalidFile
from edgekit.models import probe
from edgekit.models.contract import Contract
from edgekit.models.contract_file import CHANNELS, DEGRADES, ContractFile, degrade_named, of_range, spec
from edgekit.models.degrade import Degrade, holed, luma_of
from edgekit.models.pixels import in_pixels


def contract_of(
    network: nn.Module, stated: ContractFile, *, only: tuple[int, int] | None = None, degrade: Degrade | None = None
) -> tuple[nn.Module, Contract]:
    """(`network` as a network of pixels in eval mode, its contract). `only`: the one size (height, width) it takes. `degrade`: instead of a named one.

    Raises InvalidFile, to be read after the network's name, where the network does not run, does something else than was stated, or states too little.
    """
    network = network.eval().requires_grad_(False)
    inputs, found = _inputs(network, stated, only)
    outputs = _outputs(stated, inputs, found)
    _require_same("scale", stated.scale, found.scale)
    probed = [] if stated.scale else [f"scale {found.scale}"]
    inputs, outputs, ranged = _ranged(network, stated, inputs, outputs, found, only)
    pixels = in_pixels(network, inputs, outputs).eval()
    tiling, multiple_of, seen = _tiling(pixels, stated, inputs, found, only)
    named = stated.degrade or ("downscale" if found.scale > 1 else "none")
    chosen = degrade or degrade_named(named, found.scale)
    if chosen is None:
        raise InvalidFile(f"degrade is '{named[:60]}'; expected one of {', '.join(DEGRADES)}, or for a factory package.module:function")
    if not stated.degrade and degrade is None:
        ranged.append(f"degrade '{named}': assumed")
    contract = Contract(
        scale=found.scale,
        degrade=degrade or for_inputs(chosen, inputs),
        task=stated.task,
        inputs=inputs,
        outputs=outputs,
        multiple_of=multiple_of,
        tiling=tiling,
        smallest=found.smallest,
        only=only,
        probed=(*probed, *seen, *ranged),
    )
    return pixels, contract


def _inputs(network: nn.Module, stated: ContractFile, only: tuple[int, int] | None) -> tuple[tuple[ImageSpec, ...], probe.Sizes]:
    """The inputs as stated; a single one of unknown channels is tried as colours, then as grey."""
    defaults = [ImageSpec("image" if i == 0 else f"input-{i + 1}") for i in range(len(stated.input))]
    inputs = tuple(spec(tensor, default) for tensor, default in zip(stated.input, defaults, strict=True))
    tensor = stated.input[0]
    grey = replace(inputs[0], channels=1, colour="grey", mean=inputs[0].mean[:1], std=inputs[0].std[:1])
    choices = [inputs] if tensor.channels or tensor.colour or len(inputs) > 1 else [inputs, (grey,)]
    faults = []
    for choice in choices:
        try:
            return choice, probe.fixed(network, choice, only) if only else probe.sizes(network, choice, stated.multiple_of)
        except InvalidFile as error:
            faults.append(error)
    raise faults[0]


def _outputs(stated: ContractFile, inputs: Sequence[ImageSpec], found: probe.Sizes) -> tuple[ImageSpec, ...]:
    if len(found.channels) != len(stated.output):
        raise InvalidFile(f"gives {len(found.channels)} outputs; expected {len(stated.output)}: write an [[output]] table for each into its contract")
    outputs = []
    for number, (tensor, channels) in enumerate(zip(stated.output, found.channels, strict=True)):
        name = "enhanced" if number == 0 else f"output-{number + 1}"
        like = next((s for s in inputs if s.channels == channels and s.colour not in ("mask", "scalar")), None)
        if stated.task == "segment" or (like is None and channels not in (1, 3)):
            default = ImageSpec(name, channels, "mask")
        else:
            default = replace(like, name=name) if like else ImageSpec(name, channels, "rgb" if channels == 3 else "grey")
        if tensor.colour is None and like is None and channels not in (1, 3) and stated.task != "segment":
            raise InvalidFile(f"gives {channels} channels; expected 1 or 3, or the colour of its [[output]] in its contract (mask, scalar)")
        _require_same(
            f"channels of output {number + 1}", tensor.channels or (CHANNELS[tensor.colour] if tensor.colour in ("rgb", "bgr") else None), channels
        )
        outputs.append(spec(replace(tensor, channels=channels), default))
    return tuple(outputs)


def _ranged(
    network: nn.Module,
    stated: ContractFile,
    inputs: tuple[ImageSpec, ...],
    outputs: tuple[ImageSpec, ...],
    found: probe.Sizes,
    only: tuple[int, int] | None,
) -> tuple[tuple[ImageSpec, ...], tuple[ImageSpec, ...], list[str]]:
    """With the range that fits, where nobody said one; and what was found out."""
    told = [t for t in (*stated.input, *stated.output) if t.range or t.mean or t.std]
    if told:
        return inputs, outputs, []
    single = len(inputs) == len(outputs) == 1 and inputs[0].channels == outputs[0].channels and inputs[0].colour in ("rgb", "bgr", "grey", "luma")
    values = None
    if single and stated.task == "restore":

        def wrapped(values: tuple[float, float]) -> nn.Module:
            return in_pixels(network, *_both(inputs, outputs, values)).eval()

        values = probe.value_range(wrapped, inputs[0].channels, found, only)
    colours = "" if any(t.colour for t in stated.input) or inputs[0].channels != 3 else ", RGB"
    if values is None:
        return inputs, outputs, [f"values in [0, 1]{colours}: assumed"]
    note = f"values in [{values[0]:g}, {values[1]:g}]: a picture comes back best in them" + (f"{colours}: assumed" if colours else "")
    return (*_both(inputs, outputs, values), [note])


def _both(
    inputs: Sequence[ImageSpec], outputs: Sequence[ImageSpec], values: tuple[float, float]
) -> tuple[tuple[ImageSpec, ...], tuple[ImageSpec, ...]]:
    first, second = (tuple(of_range(s.name, s.channels, s.colour, values) for s in specs) for specs in (inputs, outputs))
    return first, second


def _tiling(
    pixels: nn.Module, stated: ContractFile, inputs: Sequence[ImageSpec], found: probe.Sizes, only: tuple[int, int] | None
) -> tuple[Tiling, int, list[str]]:
    if only:
        if stated.tiling == "exact":
            raise InvalidFile(
                f'tiling is exact, but it takes {only[0]}x{only[1]} only, so that no halo can be measured; expected tiling = "whole", or an export with '
                "dynamic height and width"
            )
        return "whole", 1, [f"only {only[0]}x{only[1]} px, so tiling whole"]
    if stated.tiling == "whole":
        return "whole", found.multiple_of, [] if stated.multiple_of else [f"multiple of {found.multiple_of}"]
    reach = probe.reach(pixels, inputs, found)
    if stated.tiling == "exact" and reach.tiling == "whole":
        raise InvalidFile('tiling is exact, but an input pixel reaches every output pixel, or its place matters; expected tiling = "whole"')
    if stated.multiple_of and reach.tiling == "exact" and reach.multiple_of != stated.multiple_of:
        raise InvalidFile(
            f"multiple_of is {stated.multiple_of}, but the result depends on the phase of {reach.multiple_of} px; expected {reach.multiple_of}"
        )
    seen = [] if stated.multiple_of else [f"multiple of {reach.multiple_of}"]
    if not stated.tiling:
        seen.append(f"tiling exact, a pixel reaches {reach.radius} px" if reach.tiling == "exact" else "tiling whole: every pixel reaches everywhere")
    return reach.tiling, reach.multiple_of, seen


def _require_same(what: str, said: int | None, found: int) -> None:
    if said is not None and said != found:
        raise InvalidFile(f"its contract says {what} {said}, the network gives {found}; expected the same")


def for_inputs(degrade: Degrade, inputs: Sequence[ImageSpec]) -> Degrade:
    """The first input as `degrade` makes it, in its colours; further pictures show the same, masks are holes, scalars the middle of their range."""
    if len(inputs) == 1 and inputs[0].channels == 3:
        return degrade

    def degraded(clean: Tensor) -> tuple[Tensor, ...]:
        (picture,) = degrade(clean)
        (luma,) = luma_of(lambda same: (same,))(picture)
        _, holes = holed()(picture)
        return tuple(_one(s, picture, luma, holes) for s in inputs)

    return degraded


def _one(spec: ImageSpec, picture: Tensor, luma: Tensor, holes: Tensor) -> Tensor:
    if spec.colour == "scalar":
        return torch.full((picture.shape[0], spec.channels), sum(spec.range) / 2)
    if spec.colour == "mask":
        return holes.repeat(1, spec.channels, 1, 1)
    return picture if spec.channels == 3 else luma.repeat(1, spec.channels, 1, 1)
