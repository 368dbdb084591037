"""Trains those of spandrel's architectures, small, whose random weights prove nothing about int8: `python tests/networks/train_spandrel.py`.

Minutes each, on one core. Writes spandrel_weights/NAME.safetensors (float16), which `make matrix` takes, and prints how far it got on the test pictures.
"""

from __future__ import annotations

import argparse
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from spandrel_networks import TRAINED, WEIGHTS, built
from torch import nn
from train import crops

import edgekit_calibration
from edgekit import metrics
from edgekit.models import community
from edgekit.models.enhancers import enhancer_of

SECONDS = 240.0
SIDE = 64
RATE = 1e-3


def fit(name: str, seconds: float) -> None:
    community.registry()  # without which spandrel cannot be imported beside a torchvision made for CUDA
    network = built(name)
    found = community.recognized(network.state_dict())
    assert found is not None
    degrade = enhancer_of(name, found.module, found.contract, source="", licence="", sha256="").degrade
    patches, optimizer, start, steps = crops(), torch.optim.Adam(network.parameters(), lr=RATE), time.monotonic(), 0
    network.train()
    while (spent := (time.monotonic() - start) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - 0.95 * spent)
        y, x = torch.randint(patches.shape[-1] - SIDE, (2,)).tolist()
        clean = patches[torch.randint(len(patches), (4,)), :, y : y + SIDE, x : x + SIDE].float() / 255
        loss = F.l1_loss(network(*degrade(clean)), clean)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        steps += 1
    state = {key: value.detach().half().contiguous() if value.is_floating_point() else value for key, value in network.eval().state_dict().items()}
    WEIGHTS.mkdir(exist_ok=True)
    save_file(state, WEIGHTS / f"{name}.safetensors")
    before, after = [], []
    for picture in edgekit_calibration.test_set().pictures:
        clean = picture.tensor()[..., :192, :192]
        (given,) = degrade(clean)
        with torch.no_grad():
            before.append(metrics.psnr_db(clean, given))
            after.append(metrics.psnr_db(clean, network(given).clamp(0, 1)))
    print(f"{name}: {steps} steps; test pictures {sum(before) / len(before):.2f} -> {sum(after) / len(after):.2f} dB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*TRAINED, []])
    parser.add_argument("--seconds", type=float, default=SECONDS)
    arguments = parser.parse_args()
    for name in arguments.names or TRAINED:
        fit(name, arguments.seconds)
