"""What the networks that do not simply restore one picture are taught, in the same minute: `python tests/networks/lessons.py NAME...`; without a name, all.

A lesson says what a network should make of a clean photograph, how that is learned, and by what number it is judged.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from tiny_networks import TINY
from torch import Tensor, nn
from trained_weights import path_of, save

import edgekit_calibration
from edgekit import metrics, models
from edgekit.adjustment import adjusted, settings
from edgekit.colour import luma
from edgekit.models import adjust, architectures
from edgekit.models.degrade import resize
from edgekit.models.pixels import in_pixels

MOST_SECONDS = 55.0


def stylized(clean: Tensor) -> Tensor:
    """A style of our own: warm, in few tones, with dark outlines."""
    soft = F.avg_pool2d(clean, 5, 1, 2, count_include_pad=False)
    warm = torch.einsum("oc,nchw->nohw", torch.tensor([[0.8, 0.3, 0.0], [0.1, 0.7, 0.1], [0.1, 0.2, 0.5]]), soft)
    grey = luma(soft)
    edge = (grey[..., 1:, 1:] - grey[..., :-1, :-1]).abs()
    return (warm - 4 * F.pad(edge, (0, 1, 0, 1))).clamp(0, 1)


def bright(clean: Tensor) -> Tensor:
    """The mask of what is lighter than the middle, in pieces of some pixels."""
    return (F.avg_pool2d(luma(clean), 9, 1, 4, count_include_pad=False) > 0.5).float()


@dataclass(frozen=True)
class Lesson:
    """`wanted` of a clean photograph; `made`, if the network's output becomes a picture by (inputs, output) only; `score`: higher is better."""

    wanted: Callable[[Tensor], Tensor] = lambda clean: clean
    made: Callable[[tuple[Tensor, ...], Tensor], Tensor] = lambda inputs, output: output
    score: Callable[[Tensor, Tensor], float] = lambda wanted, made: metrics.psnr_db(wanted, made.clamp(0, 1))


LESSONS = {
    "cyclegan": Lesson(stylized),
    "style-transfer": Lesson(stylized),
    "unet-mobilenet": Lesson(bright, score=lambda wanted, made: metrics.iou(wanted, made) or 0.0),
    "fusion": Lesson(),
    "inpainting": Lesson(),
    "vae": Lesson(),
    "gan-denoiser": Lesson(luma),
    "diffusion": Lesson(),
    "adjust": Lesson(made=lambda inputs, output: adjusted(inputs[0], settings(adjust.APPLY, output))),
}


def fit(name: str, seconds: float) -> None:
    lesson, architecture = LESSONS[name], architectures.named(name)
    torch.manual_seed(0)
    network = architecture.build(**TINY[name][0])
    contract = architecture.contract(network)
    module = in_pixels(network, contract.inputs, contract.outputs).train()
    photographs = [picture.tensor() for picture in edgekit_calibration.load("photos").pictures]
    side, start, steps = 64, time.monotonic(), 0
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    while (spent := (time.monotonic() - start) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - 0.95 * spent)
        clean = torch.cat([_crop(photographs, side) for _ in range(6)])
        inputs = contract.degrade(clean)
        made = lesson.made(inputs, module(*inputs))
        loss = F.l1_loss(made, lesson.wanted(clean))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        steps += 1
    size = save(name, module)
    before, after = quality(name)
    print(f"{name}: {steps} steps, {size} bytes; test pictures {before:.3f} -> {after:.3f}", flush=True)


def _crop(photographs: list[Tensor], side: int) -> Tensor:
    """A square from a random photograph, made smaller by a random factor so that it shows more than a corner."""
    picture = photographs[int(torch.randint(len(photographs), ()))]
    size = min(min(picture.shape[-2:]), side * int(torch.randint(1, 4, ())))
    y, x = (int(torch.randint(length - size + 1, ())) for length in picture.shape[-2:])
    return resize(picture[..., y : y + size, x : x + size], side, side).clamp(0, 1)


def quality(name: str) -> tuple[float, float]:
    """(What the network's input scores as it is, what its output scores) on the clean test pictures' middles, means. A mask scores its IoU, the rest dB."""
    lesson, enhancer = LESSONS[name], models.load(str(path_of(name)))
    before, after = [], []
    for picture in edgekit_calibration.test_set().pictures:
        clean = resize(picture.tensor()[..., :192, :192], 96, 96).clamp(0, 1)
        inputs, wanted = enhancer.degrade(clean), lesson.wanted(clean)
        with torch.no_grad():
            made = lesson.made(inputs, enhancer.module(*inputs))
        plain = next((t for t in inputs if t.shape == wanted.shape), luma(inputs[0]) if wanted.shape[1] == 1 else inputs[0])
        before.append(lesson.score(wanted, plain))
        after.append(lesson.score(wanted, made))
    return sum(before) / len(before), sum(after) / len(after)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*LESSONS, []])
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS)
    arguments = parser.parse_args()
    for name in arguments.names or LESSONS:
        fit(name, arguments.seconds)
