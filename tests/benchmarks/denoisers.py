"""The built-in denoiser beside well-tuned non-local means and bilateral filters (OpenCV's), on the test pictures.

.venv/bin/pip install -c constraints.txt -e ".[bench]"
.venv/bin/python tests/benchmarks/denoisers.py            prints the table and writes toolkit/docs/denoisers.md

Each filter is tuned for each noise level on calibration pictures: of a grid of settings, the one with the highest mean PSNR there. The network is blind: it
has one setting for all levels and is not told the level; the filters are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

import edgekit_calibration
from edgekit import metrics, models
from edgekit.models.degrade import noisy
from edgekit.reference import cpu_name

SIGMAS = (15, 25, 50)
TUNING = 8
PAGE = Path(__file__).parents[2] / "toolkit/docs/denoisers.md"

Filter = Callable[[np.ndarray], np.ndarray]


def pixels(picture: Tensor) -> np.ndarray:
    """(1, 3, H, W) in [0, 1] -> (H, W, 3) uint8 BGR, as OpenCV has it."""
    return np.ascontiguousarray((picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)[:, :, ::-1])


def tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1])).permute(2, 0, 1)[None].float() / 255


def non_local_means(sigma: int) -> dict[str, Filter]:
    """Strength of luminance and of colour, as multiples of sigma; 7 px patches, 21 px search window, the sizes its authors recommend."""

    def make(luma: float, colour: float) -> Filter:
        return lambda image: cv2.fastNlMeansDenoisingColored(image, None, luma * sigma, colour * sigma, 7, 21)

    return {
        f"h = {luma * sigma:g}, hColor = {colour * sigma:g}": make(luma, colour) for luma, colour in product((0.3, 0.45, 0.6, 0.8), (0.6, 1.0, 1.5))
    }


def bilateral(sigma: int) -> dict[str, Filter]:
    def make(colour: float, space: float) -> Filter:
        return lambda image: cv2.bilateralFilter(image, -1, colour * sigma, space)

    return {
        f"sigmaColor = {colour * sigma:g}, sigmaSpace = {space:g}": make(colour, space)
        for colour, space in product((2.0, 3.0, 4.0, 6.0), (1.0, 1.5, 2.0, 3.0))
    }


def score(apply: Callable[[Tensor], Tensor], pairs: Iterable[tuple[Tensor, Tensor]]) -> list[float]:
    return [metrics.psnr_uint8_db(clean, apply(noisy_input)) for clean, noisy_input in pairs]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    network = models.load("denoise").module

    def ours(x: Tensor) -> Tensor:
        with torch.no_grad():
            return network(x)

    calibration = [p.tensor() for p in edgekit_calibration.load("photos").pictures][::4][:TUNING]
    test = [p.tensor() for p in edgekit_calibration.test_set().pictures]
    lines = ["| sigma | noisy, dB | bilateral, dB | non-local means, dB | denoise, dB | gain over noisy | over the better filter |", "|---" * 7 + "|"]
    notes = []
    for sigma in SIGMAS:
        corrupt = noisy(sigma, sigma)
        tuning = [(clean, corrupt(clean)[0]) for clean in calibration]
        pairs = [(clean[..., : clean.shape[-2] // 4 * 4, : clean.shape[-1] // 4 * 4],) for clean in test]
        pairs = [(clean, corrupt(clean.contiguous())[0]) for (clean,) in pairs]
        found = {"noisy": mean(score(lambda x: x, pairs)), "denoise": mean(score(ours, pairs))}
        for name, family in (("bilateral", bilateral(sigma)), ("non-local means", non_local_means(sigma))):
            tuned = {label: mean(score(lambda x, f=f: tensor(f(pixels(x))), tuning)) for label, f in family.items()}
            best = max(tuned, key=tuned.__getitem__)
            found[name] = mean(score(lambda x, f=family[best]: tensor(f(pixels(x))), pairs))
            notes.append(f"- sigma {sigma}, {name}: {best} (the best of {len(family)} on {len(tuning)} calibration pictures)")
        better = max(found["bilateral"], found["non-local means"])
        row = [f"{found[k]:.2f}" for k in ("noisy", "bilateral", "non-local means", "denoise")]
        lines.append(f"| {sigma} | {' | '.join(row)} | {found['denoise'] - found['noisy']:+.2f} | {found['denoise'] - better:+.2f} |")
        print(lines[-1], flush=True)
    head = (
        f"# The denoiser beside classical filters\n\nWritten by `tests/benchmarks/denoisers.py` on {cpu_name()}, "
        f"{datetime.now(UTC).date().isoformat()}; PSNR as saved in 8 bits, mean over "
        f"{len(test)} test pictures; OpenCV {cv2.__version__}. The filters are told the noise level and tuned for it; the network is not.\n\n"
    )
    PAGE.write_text(head + "\n".join(lines) + "\n\n" + "\n".join(notes) + "\n", "utf-8")


if __name__ == "__main__":
    main()
