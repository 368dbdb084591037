"""Trains tiny networks for the tests, a minute each, on the calibration photographs: `python tests/networks/train.py NAME...`; without a name, all of them.

Each learns to undo its own degradation. Writes weights/NAME.safetensors (float16) and prints how far it got on the test pictures.
"""

from __future__ import annotations

import argparse

import torch
from tiny_networks import TINY
from torch import Tensor, nn
from trained_weights import path_of, save

import edgekit_calibration
from edgekit import losses, metrics, models, train
from edgekit.colour import in_channels, luma
from edgekit.models import architectures
from edgekit.models.contract import Contract
from edgekit.models.pixels import in_pixels

RESTORERS = (
    "edsr-bicubic", "srresnet", "rdn", "rrdbnet", "espcn", "srvgg", "span", "ecbsr", "dncnn", "nafnet", "restormer", "swinir",
)  # fmt: skip
CROP = 144
MOST_SECONDS = 55.0


def crops() -> Tensor:
    """(N, 3, CROP, CROP) uint8: every calibration photograph in squares, side by side."""
    found = []
    for picture in edgekit_calibration.load("photos").pictures:
        pixels = (picture.tensor()[0] * 255).round().to(torch.uint8)
        rows, columns = (side // CROP for side in pixels.shape[-2:])
        squares = pixels[:, : rows * CROP, : columns * CROP].reshape(3, rows, CROP, columns, CROP)
        found.append(squares.permute(1, 3, 0, 2, 4).reshape(-1, 3, CROP, CROP))
    return torch.cat(found)


def fit(name: str, seconds: float) -> None:
    architecture = architectures.named(name)
    torch.manual_seed(0)
    network = architecture.build(**TINY[name][0])
    contract = architecture.contract(network)
    module = in_pixels(network, contract.inputs, contract.outputs)
    side = max(24, 2 * contract.multiple_of) // contract.multiple_of * contract.multiple_of
    patches = train.Patches(crops(), side, scale=contract.scale, prepare=lambda clean: contract.degrade(clean)[0])
    settings = train.TrainSettings(max_minutes=seconds / 60, batch=4, learning_rate=2e-3, patch_px=side)
    result = train.train(module, patches, _in_colours_of(contract), settings)
    size = save(name, module)
    before, after = quality(name)
    print(f"{name}: {result.steps} steps, loss {result.loss:.4f}, {size} bytes; test pictures {before:.2f} -> {after:.2f} dB", flush=True)


def _in_colours_of(contract: Contract) -> losses.Loss:
    def loss(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return losses.l1(network, inputs, luma(targets) if contract.outputs[0].channels == 1 else targets)

    return loss


def quality(name: str) -> tuple[float, float]:
    """(PSNR of the network's input, enlarged bicubically, PSNR of its output) against the clean test pictures' middles, in dB."""
    enhancer = models.load(str(path_of(name)))
    before, after = [], []
    for picture in edgekit_calibration.test_set().pictures:
        clean = picture.tensor()[..., :192, :192]
        (given,) = enhancer.degrade(clean)
        with torch.no_grad():
            made = enhancer.module(given).clamp(0, 1)
        wanted = luma(clean) if made.shape[1] == 1 else clean
        plain = torch.nn.functional.interpolate(given, size=clean.shape[-2:], mode="bicubic").clamp(0, 1)
        before.append(metrics.psnr_db(wanted, in_channels(plain, wanted.shape[1])))
        after.append(metrics.psnr_db(wanted, made))
    return sum(before) / len(before), sum(after) / len(after)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*RESTORERS, []])
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS)
    arguments = parser.parse_args()
    for name in arguments.names or RESTORERS:
        fit(name, arguments.seconds)
