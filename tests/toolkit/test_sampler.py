"""The loop around one step of a diffusion model."""

import json
import math

import bundles
import numpy as np
import pytest
import torch

from edgekit import manifest_file, sampler
from edgekit.enhance import TileSpec, enhance_sampled
from edgekit.enhancer import Sampler
from edgekit.errors import InvalidFile
from edgekit.models.degrade import diffused, noisy
from edgekit.picture import SourcePicture, open_picture

STEPS = Sampler("ddim", (0.99, 0.7, 0.4, 0.1), seed=5)


def split_mix(state: int) -> int:
    """As Steele, Lea and Flood write it down, on Python's integers."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_the_first_state_is_the_sequence_that_its_description_says() -> None:
    found = sampler.first_state(5, 7, 9).flatten()
    for i in (0, 1, 62, 63, 188):
        counters = [((5 << 32) + (2 * i + odd) * 0x9E3779B97F4A7C15) % 2**64 for odd in (0, 1)]
        u, v = (((split_mix(c) >> 11) + 1) / 2**53 for c in counters)
        assert found[i].item() == pytest.approx(math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v), abs=1e-6)


def test_the_first_state_is_normal_and_follows_its_seed() -> None:
    one, two = sampler.first_state(0, 96, 96), sampler.first_state(1, 96, 96)
    assert abs(float(one.mean())) < 0.02 and abs(float(one.std()) - 1) < 0.02
    assert torch.equal(one, sampler.first_state(0, 96, 96)) and abs(float((one * two).mean())) < 0.02


def test_a_perfect_step_gives_the_picture_and_sees_states_of_its_share() -> None:
    clean = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    seen = []

    def step(state: torch.Tensor, share: float) -> torch.Tensor:
        noise = (state - (1 - share) ** 0.5 * (2 * clean - 1)) / share**0.5
        seen.append((share, float(noise.std())))
        return clean

    assert torch.equal(sampler.sample(STEPS, step, 24, 24), clean)
    assert [share for share, _ in seen] == list(STEPS.noise)
    assert all(0.9 < deviation < 1.1 for _, deviation in seen[1:]), "after the first step the state holds the noise that it started with"


def test_training_and_sampling_have_the_same_states() -> None:
    clean = torch.rand(2, 3, 32, 32).mul(255).round() / 255
    given, state, share = diffused(noisy(), STEPS.noise)(clean)
    assert given.shape == clean.shape and share.shape == (2, 1) and {round(float(s), 6) for s in share} <= set(STEPS.noise)
    s = share[:, :, None, None]
    noise = (state - (1 - s).sqrt() * (2 * clean - 1)) / s.sqrt()
    assert abs(float(noise.std()) - 1) < 0.05 and abs(float(noise.mean())) < 0.05


def test_steps_run_over_the_whole_picture_in_tiles(tmp_path) -> None:
    """A step that looks at its neighbours gives the same in tiles as on the whole picture."""
    pixels = np.random.default_rng(0).integers(0, 256, (45, 37, 3), dtype=np.uint8)
    source = SourcePicture("in.png", pixels)
    shares = []

    def session(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        given, state, share = inputs
        shares.append(float(share))
        return ((torch.nn.functional.avg_pool2d(given + 0.1 * state, 3, 1, 1) * (1 - share) + given * share).clamp(0, 1),)

    counts = []
    for tile, halo in (((16, 24), 2), ((96, 96), 16)):
        spec = TileSpec(tile, halo, colours=("rgb", "state"))
        enhance_sampled(session, spec, STEPS, source, tmp_path / f"{halo}.png", progress=lambda done, total: counts.append((done, total)))
    one, two = (open_picture(tmp_path / f"{halo}.png").pixels.astype(int) for halo in (2, 16))
    assert np.abs(one - two).max() <= 1
    assert counts[-1] == (4, 4) and set(np.round(shares, 6)) == set(STEPS.noise)


def test_a_picture_too_large_to_be_kept_whole_is_refused(tmp_path) -> None:
    huge = SourcePicture("huge.png", np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (5000, 5000, 3)))
    with pytest.raises(InvalidFile, match="huge.png: has 25 megapixels; expected at most 24"):
        enhance_sampled(lambda x: x, TileSpec((16, 16), 2, colours=("rgb", "state")), STEPS, huge, tmp_path / "out.png")


@pytest.mark.parametrize("noise", [[0.5, 0.5], [0.2, 0.9], [1.5], [0.5, 0.0]])
def test_manifests_with_another_schedule_are_refused(noise, tmp_path) -> None:
    text = manifest_file.to_json(bundles.sample(tmp_path)[0])
    table = json.loads(text) | {"sampler": {"kind": "ddim", "noise": [0.9, 0.2], "seed": 1}}
    assert manifest_file.from_json(json.dumps(table), "m").sampler == Sampler("ddim", (0.9, 0.2), 1)
    table["sampler"]["noise"] = noise
    with pytest.raises(InvalidFile, match="sampler: noise is"):
        manifest_file.from_json(json.dumps(table), "m")
