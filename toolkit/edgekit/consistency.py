"""What the manifest's schema cannot say: that its parts fit together. An app that reads such a manifest needs no further checks.

README.md of tests/fixtures lists the same rules for the apps.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import prod

from edgekit.backend import DType, TensorSpec
from edgekit.enhancer import CLASSICAL, Adjustment, ClassicalStep, ImageSpec, Sampler
from edgekit.errors import InvalidFile
from edgekit.manifest import GoldenTensor, Image, Manifest
from edgekit.tile_size import check as check_tile

ITEM_BYTES: dict[DType, int] = {"float32": 4, "float16": 2, "uint8": 1, "int8": 1}


def require(manifest: Manifest, where: str) -> None:
    """`where` opens each message. Raises InvalidFile."""
    image = manifest.image
    try:
        check_tile(image.tile, image.halo, image.multiple_of)
    except InvalidFile as error:
        raise InvalidFile(f"{where}: image: {error}") from error
    for spec in (*image.inputs, *image.outputs):
        _require_normalization(spec, where)
    for artifact in manifest.artifacts:
        _require_shapes(artifact.inputs, image.inputs, image, 1, f"{where}: {artifact.name}: inputs")
        _require_shapes(artifact.outputs, image.outputs, image, image.scale, f"{where}: {artifact.name}: outputs")
    if manifest.sampler:
        _require_falling(manifest.sampler, where)
    if manifest.apply:
        _require_applicable(manifest.apply, manifest, f"{where}: apply")
    for key, steps in (("before", manifest.before), ("after", manifest.after)):
        for step in steps:
            _require_step(step, f"{where}: {key}: {step.name}")
    if manifest.after and image.outputs[0].colour == "mask":
        raise InvalidFile(f"{where}: after: steps on a mask; expected none: they are for pictures")
    _require_routed(manifest, where)
    _require_once("artifact name", (a.name for a in manifest.artifacts), where)
    tensors = golden_tensors(manifest)
    _require_once("file", (f.file for f in (*manifest.artifacts, *tensors)), where)
    for golden in tensors:
        require_size(golden, f"{where}: {golden.file}")
    known = {a.name for a in manifest.artifacts}
    for output in manifest.golden.artifacts:
        if output.artifact not in known:
            raise InvalidFile(f"{where}: golden output of '{output.artifact}'; expected one of {', '.join(sorted(known))}")


def _require_falling(sampler: Sampler, where: str) -> None:
    shares = (1.0, *sampler.noise)
    if not all(before >= after > 0 for before, after in pairwise(shares)) or len(set(sampler.noise)) < len(sampler.noise):
        raise InvalidFile(
            f"{where}: sampler: noise is {list(sampler.noise)[:8]}; expected shares of at most 1 and above 0, each smaller than the one before"
        )
    if sampler.seed >= 2**32:
        raise InvalidFile(f"{where}: sampler: seed is {sampler.seed}; expected less than 2^32")


def _require_applicable(apply: Adjustment, manifest: Manifest, where: str) -> None:
    if not all(low < high for low, high in apply.ranges) or not all(low > 0 for low, _ in apply.ranges[:2]) or apply.ranges[2][0] < 0:
        raise InvalidFile(
            f"{where}: ranges is {[list(r) for r in apply.ranges]}; expected rising ones, of gain and gamma above 0, of saturation from 0 on"
        )
    image = manifest.image
    scalars = [spec.name for spec in image.outputs if spec.colour == "scalar" and spec.channels == len(apply.ranges)]
    if apply.output not in scalars:
        raise InvalidFile(f"{where}: output is '{apply.output}'; expected a scalar output of 3 channels: {', '.join(scalars) or 'image has none'}")
    colours = [spec.colour for spec in image.inputs]
    if manifest.sampler or image.scale != 1 or len(colours) != 1 or colours[0] not in ("rgb", "bgr", "grey", "luma"):
        raise InvalidFile(f"{where}: image has scale {image.scale} and the inputs {', '.join(colours)}; expected scale 1, one picture and no sampler")


def _require_step(step: ClassicalStep, where: str) -> None:
    known = CLASSICAL[step.name]
    if step.parameters.keys() != known.keys():
        raise InvalidFile(f"{where}: its parameters are {', '.join(step.parameters) or 'none'}; expected {', '.join(known) or 'none'}")
    if wrong := [key for key, value in step.parameters.items() if value <= 0]:
        raise InvalidFile(f"{where}: {wrong[0]} is {step.parameters[wrong[0]]:g}; expected more than 0")
    regions, sigma = step.parameters.get("regions", 1), step.parameters.get("sigma_space", 1)
    if regions != int(regions) or regions > 64 or sigma > 5:
        raise InvalidFile(f"{where}: {step.parameters}; expected whole regions of at most 64 a side, sigma_space of at most 5 px")


def _require_routed(manifest: Manifest, where: str) -> None:
    routing, image = manifest.routing, manifest.image
    if routing is None:
        if wrong := [a for a in manifest.artifacts if a.variant is not None]:
            raise InvalidFile(f"{where}: {wrong[0].name}: variant is '{wrong[0].variant}'; expected none, as there is no routing")
        return
    names, place = [variant.name for variant in routing.variants], f"{where}: routing"
    _require_once("variant", names, place)
    if len(routing.thresholds) != len(names) - 1:
        raise InvalidFile(f"{place}: {len(routing.thresholds)} thresholds for {len(names)} variants; expected {len(names) - 1}")
    if not all(one < other for one, other in pairwise(routing.thresholds)):
        raise InvalidFile(f"{place}: thresholds is {list(routing.thresholds)}; expected rising ones")
    if routing.heaviest.model != manifest.model:
        raise InvalidFile(f"{place}: variants: the last is {routing.heaviest.model.name}; expected the manifest's model, {manifest.model.name}")
    if image.tiling != "exact" or manifest.sampler or manifest.apply:
        raise InvalidFile(f"{place}: the network is no plain one in tiles; expected image.tiling 'exact', no sampler and no apply")
    for artifact in manifest.artifacts:
        if artifact.variant not in names:
            raise InvalidFile(f"{where}: {artifact.name}: variant is {artifact.variant!r}; expected one of {', '.join(names)}")
    families = [(a.backend, a.recipe) for a in manifest.artifacts]
    for backend, recipe in dict.fromkeys(families):
        made = [a.variant for a in manifest.artifacts if (a.backend, a.recipe) == (backend, recipe)]
        if sorted(map(str, made)) != sorted(names):
            found = ", ".join(map(str, made))
            raise InvalidFile(f"{where}: artifacts: {backend} {recipe} has the variants {found}; expected one file of each: {', '.join(names)}")


def golden_tensors(manifest: Manifest) -> list[GoldenTensor]:
    golden = manifest.golden
    return [*golden.inputs, *golden.reference, *(tensor for output in golden.artifacts for tensor in output.outputs)]


def require_size(golden: GoldenTensor, where: str) -> None:
    """Raises InvalidFile if the file cannot hold the shape."""
    expected = ITEM_BYTES[golden.dtype] * prod(golden.shape)
    if expected != golden.bytes:
        raise InvalidFile(f"{where}: {golden.dtype} of shape {list(golden.shape)} has {expected} bytes, got {golden.bytes}; expected the same")


def _require_normalization(spec: ImageSpec, where: str) -> None:
    for key, values in (("mean", spec.mean), ("std", spec.std)):
        if len(values) not in (1, spec.channels):
            raise InvalidFile(f"{where}: image: {spec.name}: {key} has {len(values)} values; expected 1, or {spec.channels}: one a channel")
    if 0 in spec.std:
        raise InvalidFile(f"{where}: image: {spec.name}: std is 0; expected another number to divide by")


def _require_shapes(tensors: tuple[TensorSpec, ...], specs: tuple[ImageSpec, ...], image: Image, scale: int, where: str) -> None:
    if len(tensors) != len(specs):
        raise InvalidFile(f"{where}: {len(tensors)} tensors; expected {len(specs)}, as image says")
    height, width = (side * scale for side in image.tile)
    for tensor, spec in zip(tensors, specs, strict=True):
        if spec.colour == "scalar":
            continue
        expected = (1, spec.channels, height, width) if tensor.layout == "NCHW" else (1, height, width, spec.channels)
        if tensor.shape != expected:
            raise InvalidFile(
                f"{where}: shape is {list(tensor.shape)} in {tensor.layout}; expected {list(expected)}, which fits tile, scale and channels"
            )


def _require_once(kind: str, names: Iterable[str], where: str) -> None:
    found = list(names)
    if twice := sorted({name for name in found if found.count(name) > 1}):
        raise InvalidFile(f"{where}: the {kind} '{twice[0]}' stands twice; expected it once")
