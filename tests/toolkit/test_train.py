"""Patches that belong together, and a training that learns, ends, resumes and repeats."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edgekit import models
from edgekit.errors import InvalidFile
from edgekit.losses import l1
from edgekit.models.degrade import downscale, resize
from edgekit.models.edsr import EDSR
from edgekit.train import EDGE_PX, Patches, TrainSettings, learning_rate_at, train
from edgekit.training_run import METHODS

SETTINGS = TrainSettings(steps=4, batch=4, patch_px=8, learning_rate=2e-3)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crops(count: int = 3, side: int = 48) -> Tensor:
    """Soft colours with sharp edges, (N, 3, side, side) uint8."""
    soft = resize(torch.rand(count, 3, 8, 8, generator=seeded()), side, side)
    return ((soft + 0.3 * (soft > 0.5)).clamp(0, 1) * 255).round().byte()


def reduced(scale: int):
    return lambda clean: downscale(scale)(clean)[0]


def patches(scale: int = 2, patch_px: int = 8, **options) -> Patches:
    return Patches(crops(), patch_px, scale=scale, prepare=reduced(scale), **options)


def tiny(seed: int = 0) -> EDSR:
    torch.manual_seed(seed)
    return EDSR(2, blocks=1, channels=8)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_input_patch_is_what_its_target_becomes(scale):
    """Away from the patch's border, where the reduction of the whole crop saw more than the patch."""
    inputs, targets = patches(scale, 6).sample(32, seeded())
    assert inputs.shape == (32, 3, 6, 6) and targets.shape == (32, 3, 6 * scale, 6 * scale)
    assert inputs.dtype == targets.dtype == torch.float32 and targets.min() >= 0 and targets.max() <= 1
    (own,) = downscale(scale)(targets)
    inner = slice(2, -2)
    difference = (own - inputs)[..., inner, inner].abs() * 255
    assert difference.max() <= 1.01 and difference.mean() < 0.02
    assert (own.flip(3) - inputs)[..., inner, inner].abs().max() > 0.1, "another way round they differ"


def test_patches_are_turned_together_and_come_from_everywhere_but_the_border():
    """Each pixel of these crops tells its place: row, column, picture."""
    side, p, scale = 16, 5, 2
    place = torch.arange(side, dtype=torch.uint8).repeat_interleave(scale)
    clean = torch.stack([torch.stack(torch.broadcast_tensors(place[:, None], place[None], torch.tensor(i, dtype=torch.uint8))) for i in range(3)])
    source = Patches(clean, p, scale=scale, prepare=lambda x: F.avg_pool2d(x, scale))
    random, turns, rows, pictures = seeded(), set(), set(), set()
    for _ in range(80):
        inputs, targets = source.sample(4, random)
        torch.testing.assert_close(F.avg_pool2d(targets, scale), inputs, atol=1e-6, rtol=0)
        for row, column, which in (inputs * 255).round().int():
            down, right = (int(step) for step in (row[1, 0] - row[0, 0], row[0, 1] - row[0, 0]))
            turns.add((down, right, int(column[1, 0] - column[0, 0]), int(column[0, 1] - column[0, 0])))
            rows |= set(row.flatten().tolist())
            assert row.max() - row.min() == column.max() - column.min() == p - 1 and which.min() == which.max()
            pictures.add(int(which[0, 0]))
    assert len(turns) == 8 and pictures == {0, 1, 2}
    assert rows == set(range(EDGE_PX, side - EDGE_PX))


def test_unprepared_crops_are_used_to_their_border():
    clean = torch.arange(12, dtype=torch.uint8).expand(1, 3, 12, 12).contiguous()
    inputs, targets = Patches(clean, 4).sample(200, seeded())
    assert torch.equal(inputs, targets) and {0, 11} <= set((inputs * 255).round().int().flatten().tolist())


def test_patches_follow_the_generators_seed():
    source = patches()
    first, again, other = (source.sample(4, seeded(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    random = seeded(1)
    source.sample(4, random)
    assert not torch.equal(source.sample(4, random)[1], first[1]), "the next batch is another one"


def test_corrupt_changes_the_inputs_alone_and_anew():
    source = Patches(crops(), 16, corrupt=lambda x, random: x * torch.rand(len(x), 1, 1, 1, generator=random))
    random = seeded()
    for _ in range(2):
        inputs, targets = source.sample(4, random)
        factors = inputs.flatten(1).sum(1) / targets.flatten(1).sum(1)
        assert len(set(factors.tolist())) == 4
        torch.testing.assert_close(inputs, targets * factors[:, None, None, None], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("scale", "fits", "prepared"), [(1, 48, False), (2, 20, True), (4, 8, True)])
def test_a_patch_larger_than_the_crops_is_refused(scale, fits, prepared):
    prepare = reduced(scale) if prepared else None
    assert Patches(crops(), fits, scale=scale, prepare=prepare).sample(2, seeded())[0].shape[-1] == fits
    with pytest.raises(InvalidFile, match=rf"^training crops are {48 // scale} px .*expected at least the patch of {fits + 1} px: .*--patch"):
        Patches(crops(), fits + 1, scale=scale, prepare=prepare)


def test_training_lowers_the_loss():
    network, source = tiny(), patches()
    inputs, targets = source.sample(32, seeded(9))
    with torch.no_grad():
        before = float(l1(network, inputs, targets))
        result = train_plain(network, source, replace(SETTINGS, steps=80))
        after = float(l1(network, inputs, targets))
    assert after < 0.6 * before
    assert result.steps == 80 and result.loss < before and not network.training


def train_plain(network: nn.Module, source: Patches, settings: TrainSettings = SETTINGS, loss=l1, **options):
    with torch.enable_grad():
        return train(network, source, loss, settings, **options)


def test_the_same_seed_gives_the_same_weights():
    one, same, other = tiny(), tiny(), tiny()
    for network, seed in ((one, 0), (same, 0), (other, 1)):
        train_plain(network, patches(), replace(SETTINGS, seed=seed))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_learning_rate_rises_then_falls_to_zero():
    settings = TrainSettings(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate_at(i / 100, settings) for i in range(101)]
    assert rates[0] == 0.02 and rates[10] == 1.0 and rates[55] == pytest.approx(0.5) and rates[100] == pytest.approx(0, abs=1e-12)
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_time_ends_a_training_and_is_reported():
    calls = []
    result = train_plain(tiny(), patches(), replace(SETTINGS, steps=10**6, max_minutes=0.02), progress=lambda *call: calls.append(call), every_s=0.1)
    assert 1.2 <= result.seconds < 4 and 1 < result.steps < 10**6
    steps, fractions, losses, seconds = zip(*calls, strict=True)
    assert len(calls) >= 3
    assert all(list(series) == sorted(series) for series in (steps, fractions, seconds)) and fractions[-1] > 0.5
    assert all(0 < loss < 1 for loss in losses)


def seen(into: list[float]):
    """l1 that notes each batch."""

    def loss(network, inputs, targets):
        into.append(float(targets.double().sum()))
        return l1(network, inputs, targets)

    return loss


def test_a_resumed_run_goes_on_where_it_stopped(tmp_path):
    file = tmp_path / "tiny.resume"
    whole, first, second = [], [], []
    train_plain(tiny(), patches(), replace(SETTINGS, steps=8), seen(whole))
    started = tiny()
    one = train_plain(started, patches(), SETTINGS, seen(first), resume=file)
    assert one.steps == 4 and file.exists()
    resumed = tiny(seed=5)
    assert train_plain(resumed, patches(), SETTINGS, resume=file).steps == 4
    assert all(torch.equal(a, b) for a, b in zip(started.parameters(), resumed.parameters(), strict=True))
    two = train_plain(resumed, patches(), replace(SETTINGS, steps=8), seen(second), resume=file)
    assert two.steps == 8 and first + second == whole, "the batches are those of an unbroken run"
    assert not torch.equal(started.head[0].weight, resumed.head[0].weight)


def test_adam_remembers_through_a_resume(tmp_path):
    """A step without any gradient moves the weights only by what came before it."""
    file, network = tmp_path / "tiny.resume", tiny()

    def step_by_nothing() -> float:
        before = network.head[0].weight.detach().clone()
        train_plain(network, patches(), replace(SETTINGS, steps=5), lambda net, inputs, _: 0 * net(inputs).mean(), resume=file)
        return float((network.head[0].weight - before).abs().mean())

    train_plain(network, patches(), SETTINGS, resume=file)
    assert step_by_nothing() > 1e-5
    file.unlink()
    assert step_by_nothing() == 0


def test_the_time_before_a_resume_counts(resume_file):
    with safe_open(resume_file, "pt") as file:
        told = file.metadata()
    save_file(load_file(resume_file), resume_file, {**told, "seconds": "90.0"})
    assert 90 <= train_plain(tiny(), patches(), replace(SETTINGS, steps=6), resume=resume_file).seconds < 95
    result = train_plain(tiny(), patches(), replace(SETTINGS, steps=10**6, max_minutes=1.5), resume=resume_file)
    assert result.steps == 6, "its minutes are over"


@pytest.fixture
def resume_file(tmp_path):
    file = tmp_path / "tiny.resume"
    train_plain(tiny(), patches(), SETTINGS, resume=file)
    return file


def test_another_seed_is_refused(resume_file):
    with pytest.raises(InvalidFile, match=r"tiny\.resume: was started with seed 0, got 3; expected the same seed, or delete it to start anew$"):
        train_plain(tiny(), patches(), replace(SETTINGS, seed=3), resume=resume_file)


NOT_ITS_OWN = r"tiny\.resume: not a resume file of this network .*delete it to start anew$"


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_resume_file_is_refused(resume_file, keep):
    whole = resume_file.read_bytes()
    resume_file.write_bytes(whole[:keep])
    with pytest.raises(InvalidFile, match=NOT_ITS_OWN):
        train_plain(tiny(), patches(), resume=resume_file)
    resume_file.write_bytes(whole)
    assert train_plain(tiny(), patches(), resume=resume_file).steps == 4


def test_another_networks_resume_file_is_refused(resume_file):
    with pytest.raises(InvalidFile, match=NOT_ITS_OWN):
        train_plain(EDSR(2, blocks=2, channels=8), patches(), resume=resume_file)


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        (lambda t: t, lambda m: None),
        (lambda t: t, lambda m: {**m, "step": "four"}),
        (lambda t: t, lambda m: {**m, "settings": "{}"}),
        (lambda t: t, lambda m: {**m, "settings": "[1]"}),
        (lambda t: {k: v for k, v in t.items() if k != "generator"}, lambda m: m),
        (lambda t: {**t, "generator": torch.zeros(3, dtype=torch.uint8)}, lambda m: m),
        (lambda t: {k: v for k, v in t.items() if k != "exp_avg_sq.head.0.bias"}, lambda m: m),
        (lambda t: {**t, "exp_avg.head.0.bias": torch.zeros(3)}, lambda m: m),
        (lambda t: {k: v for k, v in t.items() if not k.startswith("weight.")}, lambda m: m),
    ],
    ids=["no metadata", "step", "settings", "settings a list", "no generator", "generator", "half a moment", "moment's shape", "no weights"],
)
def test_an_altered_resume_file_is_refused(resume_file, tensors, metadata):
    with safe_open(resume_file, "pt") as file:
        told = file.metadata()
    save_file(tensors(load_file(resume_file)), resume_file, metadata(told))
    with pytest.raises(InvalidFile, match=NOT_ITS_OWN):
        train_plain(tiny(), patches(), resume=resume_file)


@pytest.mark.parametrize("entry", models.MODELS, ids=lambda entry: entry.name)
def test_every_models_resume_file_is_small(entry, tmp_path):
    """A device may send no file back that is larger."""
    method, file, side = METHODS[entry.name], tmp_path / "x.resume", 64 if entry.name == "lowlight" else 16
    source = Patches(crops(1, 256), side, scale=entry.scale, prepare=reduced(entry.scale) if method.pre_degrade else None, corrupt=method.corrupt)
    settings = replace(method.settings, steps=1, batch=1, patch_px=side)
    result = train_plain(entry.build(), source, settings, method.loss, resume=file)
    assert result.steps == 1 and torch.isfinite(torch.tensor(result.loss))
    assert any(key.startswith("exp_avg_sq.") for key in load_file(file)), "with what Adam knows"
    assert file.stat().st_size <= 12 * 2**20
    with safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()["settings"]) == asdict(settings)
