"""A captured reference: written here, read elsewhere, and believed only where the numbers agree."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edgekit import capture, reference
from edgekit.enhancer import Enhancer
from edgekit.errors import InvalidFile
from edgekit.models.degrade import downscale
from edgekit.models.edsr import EDSR

TILE, HALO = (16, 16), 4
CHANNELS, SAMPLES = 3, capture.SAMPLES


def tiny(seed: int = 0, sha256: str = "a" * 64) -> Enhancer:
    torch.manual_seed(seed)
    module = EDSR(2, blocks=1, channels=8).eval().requires_grad_(False)
    return Enhancer("tiny", module, downscale(2), 2, sha256=sha256)


def tiles(seed: int = 0, count: int = 3) -> list[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(seed)
    return [((torch.rand(1, 3, *TILE, generator=generator) * 255).round() / 255,) for _ in range(count)]


def outputs(enhancer: Enhancer, given: list[tuple[Tensor, ...]]) -> list[Tensor]:
    return reference.capture(enhancer.module, given, repeats=0).outputs


@pytest.fixture
def folder(tmp_path):
    capture.capture(tiny(), tiles(), TILE, HALO, tmp_path / "reference", device="cpu", sizes=(16,))
    return tmp_path / "reference"


def test_what_is_written_is_what_is_read(tmp_path):
    steps = []
    written = capture.capture(
        tiny(), tiles(), TILE, HALO, tmp_path / "deep" / "reference", device="cpu", sizes=(16,), progress=lambda *step: steps.append(step)
    )
    folder = tmp_path / "deep" / "reference"
    assert {path.name for path in folder.iterdir()} == {"record.json", "samples.safetensors"}
    found = capture.read(folder)
    assert found.record == written.record and torch.equal(found.float32, written.float32)
    assert found.float16 is None and found.record.half is None, "no half precision on a CPU"
    assert found.float32.shape == (3, SAMPLES, CHANNELS)
    record = found.record
    assert (record.model, record.weights_sha256, record.tiles, record.tile, record.halo, record.kind) == ("tiny", "a" * 64, 3, TILE, HALO, "cpu")
    assert record.device == reference.cpu_name() and record.software == {"torch": torch.__version__}
    assert record.flags["matmul_allow_tf32"] is record.flags["cudnn_allow_tf32"] is False
    assert ("tiles", 3, 3) in steps and any(what == "latency" for what, _, _ in steps)


def test_samples_are_the_outputs_own_values(folder):
    """Every sampled row is a pixel of that tile's clamped output, and positions differ between tiles."""
    found, given = capture.read(folder).float32, outputs(tiny(), tiles())
    for samples, output in zip(found, given, strict=True):
        pixels = {tuple(pixel) for pixel in output[0].flatten(1).T.tolist()}
        assert {tuple(sample) for sample in samples.tolist()} <= pixels
        assert len({tuple(sample) for sample in samples.tolist()}) > SAMPLES / 2
    same = [(torch.rand(1, 3, *TILE, generator=torch.Generator().manual_seed(0)),)] * 2
    one, other = capture.capture(tiny(), same, TILE, HALO, folder, device="cpu", sizes=()).float32
    assert not torch.equal(one, other)


def test_outputs_are_clamped_and_the_first_counts(tmp_path):
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x * 4 - 1, x * 0

    enhancer = replace(tiny(), module=Two())
    found = capture.capture(enhancer, tiles(), TILE, HALO, tmp_path / "r", device="cpu", sizes=()).float32
    assert found.min() == 0 and found.max() == 1


def test_every_size_is_timed(folder):
    (timing,) = capture.read(folder).record.timings
    assert (timing.side, timing.dtype, timing.memory_format, timing.compiled, timing.why_not) == (16, "float32", "contiguous", False, None)
    assert 0 < timing.median_ms <= timing.p90_ms and timing.runs >= 5


def test_a_size_that_cannot_be_timed_says_why(tmp_path):
    class Stubborn(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[-1] == 17:
                raise RuntimeError("no 17\nsecond line")
            return x

    found = capture.capture(replace(tiny(), module=Stubborn()), tiles(), TILE, HALO, tmp_path / "r", device="cpu", sizes=(17, 16))
    failed, timed = found.record.timings
    assert failed.median_ms is None and failed.why_not == "RuntimeError: no 17" and timed.median_ms is not None
    assert capture.read(tmp_path / "r").record == found.record


def test_the_same_network_agrees(folder):
    found = capture.agree(capture.read(folder), tiny(), tiles(), outputs(tiny(), tiles()))
    assert found.values == 3 * SAMPLES * CHANNELS
    assert found.max_abs < 1e-5 and found.worst_psnr_db <= found.psnr_db and found.worst_psnr_db > 90


def test_other_rounding_agrees_and_is_counted(folder):
    given = [output + 1e-6 for output in outputs(tiny(), tiles())]
    assert 5e-7 < capture.agree(capture.read(folder), tiny(), tiles(), given).max_abs < 2e-6


def test_a_reference_of_other_weights_is_refused(folder):
    other = tiny(sha256="b" * 64)
    with pytest.raises(InvalidFile, match=r"from weights a{12}, got b{12} \(tiny\); expected the same: .*edgekit reference --model tiny"):
        capture.agree(capture.read(folder), other, tiles(), outputs(other, tiles()))


@pytest.mark.parametrize("given", [tiles(1), tiles()[:2], tiles()[::-1]], ids=["other pictures", "fewer", "another order"])
def test_a_reference_of_other_tiles_is_refused(folder, given):
    with pytest.raises(InvalidFile, match=rf"captured on 3 tiles of 16x16 with a halo of 4, got {len(given)} other tiles; .*without --reference$"):
        capture.agree(capture.read(folder), tiny(), given, outputs(tiny(), given))


def test_one_step_of_8_bits_makes_other_tiles():
    changed = tiles()
    changed[2][0][0, 0, 5, 5] += 1 / 255
    assert capture.tiles_sha256(changed) != capture.tiles_sha256(tiles()) == capture.tiles_sha256(tiles())
    assert capture.tiles_sha256([(tiles()[0][0].reshape(1, 3, 8, 32),)]) != capture.tiles_sha256(tiles()[:1]), "the same values in another shape"
    assert capture.tiles_sha256([(tiles()[0][0].transpose(2, 3),)]) != capture.tiles_sha256(tiles()[:1])


def test_outputs_of_another_network_are_refused(folder):
    other = tiny(seed=1)
    with pytest.raises(InvalidFile, match="float32 here and on .* differ by up to .*; expected at most 0.001: the reference is not of this network$"):
        capture.agree(capture.read(folder), other, tiles(), outputs(other, tiles()))


def altered(folder, change) -> capture.Captured:
    file = folder / "samples.safetensors"
    save_file({key: change(value.clone()) for key, value in load_file(file).items()}, file)
    return capture.read(folder)


def one_value(samples: Tensor) -> Tensor:
    samples[1, 7, 2] += 0.01
    return samples


@pytest.mark.parametrize("change", [lambda samples: samples + 0.01, one_value], ids=["all", "one"])
def test_altered_samples_are_refused(folder, change):
    with pytest.raises(InvalidFile, match="differ by up to 0.01"):
        capture.agree(altered(folder, change), tiny(), tiles(), outputs(tiny(), tiles()))


def test_samples_of_another_width_are_refused(folder):
    with pytest.raises(InvalidFile, match=r"samples of shape \(3, 512, 1\), here they are \(3, 512, 3\)"):
        capture.agree(altered(folder, lambda samples: samples[..., :1].contiguous()), tiny(), tiles(), outputs(tiny(), tiles()))


@pytest.mark.parametrize(
    "change",
    [lambda s: s[:2], lambda s: s[:, :9], lambda s: s[0], lambda s: s * float("nan")],
    ids=["a tile is missing", "fewer positions", "one tile", "nan"],
)
def test_samples_that_do_not_belong_to_the_record_are_refused(folder, change):
    with pytest.raises(InvalidFile, match="reference: holds samples of shape .*; expected 3 tiles of 512 finite positions$"):
        altered(folder, lambda samples: change(samples).contiguous())


NO_REFERENCE = r"reference: is no reference \({}.*\); expected a folder that `edgekit reference` wrote$"


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_truncated_samples_are_refused(folder, keep):
    file = folder / "samples.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InvalidFile, match=NO_REFERENCE.format("SafetensorError")):
        capture.read(folder)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda text: text[:-20], "JSONDecodeError"),
        (lambda text: "", "JSONDecodeError"),
        (lambda text: "[" * 100_000, "RecursionError"),
        (lambda text: "[]", "TypeError"),
        (lambda text: "null", "TypeError"),
        (lambda text: text.replace('"halo"', '"hallo"'), "TypeError"),
        (lambda text: text.replace('"halo": 4,', ""), "TypeError"),
        (lambda text: text.replace('"timings"', '"timing"'), "KeyError"),
        (lambda text: text.replace('"half": null', '"half": [1]'), "TypeError"),
        (lambda text: text.replace("16\n  ],", "16, 1\n  ],"), "ValueError"),
    ],
)
def test_a_broken_record_is_refused(folder, change, kind):
    file = folder / "record.json"
    before = file.read_text()
    file.write_text(change(before))
    assert file.read_text() != before
    with pytest.raises(InvalidFile, match=NO_REFERENCE.format(kind)):
        capture.read(folder)


@pytest.mark.parametrize("name", ["record.json", "samples.safetensors"])
def test_a_missing_part_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(InvalidFile, match=NO_REFERENCE.format("FileNotFoundError")):
        capture.read(folder)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InvalidFile, match=rf"^{tmp_path}/reference: is no reference \(FileNotFoundError"):
        capture.read(tmp_path / "reference")


def test_another_version_is_refused(folder):
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**record, "reference": 2, "what": "came later"}))
    with pytest.raises(InvalidFile, match="is a reference of version 2; expected 1: capture it again with this edgekit$"):
        capture.read(folder)


def certified(captured: capture.Captured) -> reference.Reference:
    local = reference.capture(tiny().module, tiles())
    return capture.certify(local, captured, capture.agree(captured, tiny(), tiles(), local.outputs))


def test_a_certified_reference_has_the_captured_devices_name_and_latency(folder):
    captured = capture.read(folder)
    gpu = replace(captured.record, device="NVIDIA H100", kind="cuda", timings=(capture.Timing(16, "float32", "contiguous", False, 1.5, 2.5, 50),))
    found = certified(replace(captured, record=gpu))
    assert (found.device, found.captured, found.dtype) == ("NVIDIA H100", gpu.captured, "float32")
    assert (found.latency.median_ms, found.latency.p90_ms, found.latency.runs, found.latency.device) == (1.5, 2.5, 50, "NVIDIA H100")
    assert found.flags["recomputed_on"].startswith(reference.cpu_name()), "what ran here is told"
    assert found.flags["agreement"]["max_abs"] < 1e-5 and found.flags["cudnn_allow_tf32"] is False
    assert all(torch.equal(a, b) for a, b in zip(found.outputs, outputs(tiny(), tiles()), strict=True))
    json.dumps(found.flags)


def test_a_captured_cpu_run_is_never_called_cuda(folder):
    found = certified(capture.read(folder))
    assert found.device == f"{reference.cpu_name()} (CPU stand-in, captured)"
    assert found.latency.median_ms == capture.read(folder).record.timings[0].median_ms


def test_no_latency_of_this_tile_is_no_latency(folder):
    captured = capture.read(folder)
    for timing in (
        capture.Timing(64, "float32", "contiguous", False, 1.5, 2.5, 50),
        capture.Timing(16, "float16", "contiguous", False, 1.5, 2.5, 50),
        capture.Timing(16, "float32", "contiguous", True, 1.5, 2.5, 50),
        capture.Timing(16, "float32", "contiguous", False, None, None, 0, "OutOfMemoryError"),
    ):
        assert certified(replace(captured, record=replace(captured.record, timings=(timing,)))).latency is None, timing
    assert certified(replace(captured, record=replace(captured.record, tile=(16, 24)))).latency is None, "squares were timed"


def test_none_ships_for_a_checkpoint_of_ones_own():
    assert capture.shipped(tiny(), TILE) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_both_precisions_are_captured_and_the_cpu_agrees(tmp_path):
    found = capture.capture(tiny(), tiles(), TILE, HALO, tmp_path / "r", device="cuda", sizes=(16,))
    assert found.float16.dtype == torch.float16 and found.record.half.max_abs < 0.01 and found.record.peak_memory_mb > 0
    assert len(found.record.timings) == 8
    assert capture.agree(found, tiny(), tiles(), outputs(tiny(), tiles())).max_abs < 1e-5
