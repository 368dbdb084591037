import pytest
import torch

from edgekit import metrics, parity
from edgekit.errors import InvalidFile
from edgekit.manifest import ParityReference
from edgekit.models.degrade import downscale
from edgekit.target import Budget

BY = ParityReference("this test", "float32")


def photographs(count=2, side=96):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, side // 8, side // 8, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return [(f"set/{i}.webp", (fine[i : i + 1] * 255).round() / 255) for i in range(count)]


def prepared(**options):
    return parity.prepare(photographs(**options), downscale(2), 2, (32, 32), 4)


def enlarged(tiles):
    return [torch.nn.functional.interpolate(t[0], scale_factor=2, mode="nearest") for t in tiles]


def test_tiles_are_those_an_app_cuts_and_stitch_to_the_whole_picture():
    found = prepared()
    assert len(found.tiles) == 2 * 4 and found.names[5] == "set/1.webp#1"
    assert all(t[0].shape == (1, 3, 32, 32) and t[0].is_contiguous() for t in found.tiles)
    whole = found.stitch(enlarged(found.tiles))
    for picture, result in zip(found.pictures, whole, strict=True):
        assert torch.equal(result, torch.nn.functional.interpolate(picture.inputs[0], scale_factor=2, mode="nearest"))


def test_equal_outputs_are_perfect_and_only_cores_count():
    found = prepared()
    outputs = enlarged(found.tiles)
    spoiled = [o.clone() for o in outputs]
    for o in spoiled:
        o[..., :8, :] = 5.0  # 4 px of halo at x2
    same = parity.compare(found, outputs, spoiled, BY, "host", True)
    assert same.psnr_db == same.worst_psnr_db == metrics.CAP_DB and same.max_abs == 0 and same.colour_shift == 0 and same.banding == 0
    assert (same.pictures, same.tiles) == (2, 8)


def test_the_worst_tile_is_named_and_means_do_not_hide_it():
    found = prepared()
    outputs = enlarged(found.tiles)
    bad = [o.clone() for o in outputs]
    bad[6] += 0.1
    result = parity.compare(found, outputs, bad, BY, "host", True)
    assert result.worst_tile == "set/1.webp#2" and result.worst_psnr_db == pytest.approx(20, abs=1.5)
    assert result.psnr_db > 80
    lines = {line.name: line.status for line in parity.check(result, Budget(psnr_db=40, worst_psnr_db=40))}
    assert lines == {"finite": "ok", "runs_equal": "ok", "psnr_db": "ok", "worst_psnr_db": "over"}


def test_not_finite_and_not_repeatable_are_over_any_budget():
    found = prepared()
    outputs = enlarged(found.tiles)
    broken = [o.clone() for o in outputs]
    broken[3][0, 1, 20, 20] = float("nan")
    result = parity.compare(found, outputs, broken, BY, "host", False)
    assert not result.finite and result.psnr_db is None and result.worst_tile == found.names[3]
    assert {line.status for line in parity.check(result, Budget(psnr_db=40))} == {"over"}
    assert {line.name for line in parity.check(result, None)} == {"finite", "runs_equal"}


def test_what_was_not_measured_is_never_ok():
    assert [line.status for line in parity.check(None, Budget(psnr_db=40, delta_psnr_db=0.1))] == ["not measured"] * 2


def test_ground_truth_drop_and_smooth_pictures_are_told_apart():
    smooth = [("flat.webp", torch.full((1, 3, 64, 64), 0.5))]
    generator = torch.Generator().manual_seed(1)
    rough = [("rough.webp", (torch.rand(1, 3, 64, 64, generator=generator) * 255).round() / 255)]
    found = parity.prepare(smooth + rough, downscale(2), 2, (32, 32), 4)
    outputs = enlarged(found.tiles)
    shifted = [o + 1 / 255 for o in outputs]
    result = parity.compare(found, outputs, shifted, BY, "host", True)
    assert result.smooth_psnr_db == pytest.approx(20 * torch.log10(torch.tensor(255.0)).item(), abs=0.01)
    assert result.delta_psnr_db == result.worst_delta_psnr_db and abs(result.delta_psnr_db) < 0.1
    assert result.colour_shift == pytest.approx(1 / 255, rel=1e-3)


def test_pictures_that_cannot_be_used_are_named():
    with pytest.raises(InvalidFile, match="tiny.webp: is 1x1 pixels; expected at least 2"):
        parity.prepare([("tiny.webp", torch.zeros(1, 3, 1, 1))], downscale(2), 2, (32, 32), 4)
    with pytest.raises(InvalidFile, match="no test picture"):
        parity.prepare([], downscale(2), 2, (32, 32), 4)
