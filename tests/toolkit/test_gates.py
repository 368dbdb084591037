"""Each gate catches the fault it is for, where a mean PSNR and a correlation see nothing. With the budgets that ship."""

from dataclasses import asdict, fields

import faults
import pytest
import torch

import edgekit_targets
from edgekit import metrics, parity
from edgekit.backend import Delegation
from edgekit.errors import InvalidFile
from edgekit.manifest import Parity, ParityReference
from edgekit.models.degrade import downscale
from edgekit.target import Budget

RESTORE = edgekit_targets.load("android").budgets["restore"]
SEGMENT = edgekit_targets.load("android").budgets["segment"]
BY = ParityReference("this test", "float32")

LIMITED = {name for name, limit in asdict(RESTORE).items() if limit is not None}

EXPECTED = {
    "blue 2/255 too bright": {"colour_shift", "tile_colour_shift", "ciede2000_mean"},
    "green 2/255 too bright in one tile": {"tile_colour_shift", "seam_steps", "banding"},
    "one black tile": LIMITED - {"psnr_db", "smooth_psnr_db", "delegated_share"},
    "banded gradient": {"banding"},
    "seam": {"seam_steps"},
    "red and blue swapped in one tile": {"ciede2000_p99", "seam_steps", "banding"},
    "one NaN": {"finite"} | LIMITED - {"delegated_share"},
    "one overflowed pixel": {"max_abs"},
    "fine detail lost": {"delta_psnr_db", "worst_delta_psnr_db"},
    "noise of 1.6 levels": {
        "psnr_db", "smooth_psnr_db", "delta_psnr_db", "worst_delta_psnr_db", "ssim", "worst_ssim", "ciede2000_mean", "ciede2000_p99",
    },
    "second run differs": {"runs_equal"},
    "operators outside the delegate": {"delegated_share"},
}  # fmt: skip
"""Where not all is finite nothing else is measured, and a limit without a measure is over."""


def over(planted):
    return {line.name for line in faults.gates(planted, RESTORE) if line.status == "over"}


def test_the_stand_in_without_a_fault_is_within_every_budget():
    lines = faults.gates(faults.prepared()[2], RESTORE)
    assert {line.name for line in lines} == LIMITED | set(parity.ALWAYS)
    assert {line.status for line in lines} == {"ok"}, lines


@pytest.mark.parametrize("name", faults.FAULTS)
def test_a_planted_fault_is_caught_and_the_plain_test_calls_it_good(name):
    planted = faults.FAULTS[name]()
    psnr, correlation = faults.plain(planted)
    assert psnr > faults.PLAIN_DB and correlation > faults.PLAIN_CORRELATION
    assert over(planted) == EXPECTED[name]


def test_every_gate_has_a_fault_that_it_catches():
    caught = set().union(*(gates for name, gates in EXPECTED.items() if name != "one NaN"), {"finite"})
    assert EXPECTED.keys() == faults.FAULTS.keys() and caught == LIMITED | set(parity.ALWAYS)


def test_the_built_in_targets_limit_the_same_measures():
    limited = {
        name: {task: {k for k, v in asdict(b).items() if v is not None} for task, b in edgekit_targets.load(name).budgets.items()}
        for name in edgekit_targets.names()
    }
    android = limited["android"]
    assert android.keys() == {"restore", "generate", "segment"}
    for name, found in limited.items():
        assert {task: keys - {"delegated_share"} for task, keys in found.items()} == {t: k - {"delegated_share"} for t, k in android.items()}, name
    assert {"delegated_share" in limited[name]["restore"] for name in ("android", "ios")} == {True}


def test_budgets_are_measures_of_the_manifest():
    measures = {f.name for f in fields(Parity)} | {"delegated_share"}
    limits = {f.name for f in fields(Budget)}
    assert limits <= measures and limits == {*parity.AT_LEAST, *parity.AT_LEAST_SHARE, *parity.AT_MOST}


@pytest.mark.parametrize(
    ("delegation", "status", "share"),
    [
        (Delegation("xnnpack", 19, 20, 1), "ok", 0.95),
        (Delegation("xnnpack", 1, 2, 1), "over", 0.5),
        (None, "not measured", None),
        (Delegation("", 0, 0, 0), "not measured", None),
    ],
)
def test_the_share_delegated_is_known_from_the_file_or_not_measured(delegation, status, share):
    (line,) = parity.check(None, Budget(delegated_share=0.9), delegation)
    assert (line.name, line.status, line.measured) == ("delegated_share", status, share)


def test_what_was_not_measured_has_a_reason():
    found = parity.prepare([("a", torch.rand(1, 3, 32, 32))], downscale(2), 2, (32, 32), 4)
    outputs = [faults.enlarge(tile[0]) for tile in found.tiles]
    measured = parity.compare(found, outputs, outputs, BY, "host", True)
    reasons = parity.why_not(measured, None)
    assert measured.seam_steps is None and reasons["seam_steps"] == "no test picture has a tile border that is long enough"
    assert reasons["delegation"] == "the runtime decides when it loads the file" and ("lpips" in reasons) == (measured.lpips is None)
    assert "delegation" not in parity.why_not(measured, Delegation("xnnpack", 1, 1, 1))


def test_signed_shifts_tell_the_direction():
    measured = faults.prepared()[0], faults.prepared()[1], faults.cast().outputs
    shift = parity.compare(*measured, BY, "host", True).channel_shift
    assert shift[2] == pytest.approx(2 / 255, rel=0.15) and max(abs(v) for v in shift[:2]) < 0.0005


# Segmenters


def masks(side=96):
    """Background and a disc, soft at its edge: (1, 2, side, side)."""
    y, x = torch.meshgrid(torch.arange(side) - side / 2, torch.arange(side) - side / 2, indexing="ij")
    disc = torch.sigmoid(side / 4 - torch.hypot(y, x))
    return torch.stack([1 - disc, disc])[None]


def segmented(change):
    found = parity.prepare([(str(i), torch.rand(1, 3, 96, 96)) for i in range(3)], lambda x: (x,), 1, (128, 128), 0)
    reference = [torch.nn.functional.pad(masks(), (0, 32, 0, 32)) for _ in found.tiles]
    outputs = [o.clone() for o in reference]
    change(outputs[1])
    return parity.compare(found, reference, outputs, BY, "host", True, task="segment")


def test_masks_are_compared_by_overlap_and_not_by_colour():
    equal = segmented(lambda o: None)
    assert (equal.dice, equal.iou, equal.worst_iou) == (1, 1, 1)
    assert equal.psnr_gt_db is None and equal.ciede2000_mean is None and equal.lpips is None and "lpips" not in parity.why_not(equal, None)
    assert {line.status for line in parity.check(equal, SEGMENT, Delegation("xnnpack", 1, 1, 1))} == {"ok"}


def test_a_hole_in_one_mask_is_over_although_nearly_all_pixels_are_right():
    def hole(o):
        o[:, 1, 38:58, 38:58], o[:, 0, 38:58, 38:58] = 0, 1

    measured = segmented(hole)
    right = 1 - 20 * 20 / (3 * 96 * 96)
    assert right > 0.98 and measured.worst_iou < measured.iou < measured.dice < 1
    assert "worst_iou" in {line.name for line in parity.check(measured, SEGMENT) if line.status == "over"}


def test_dice_and_iou_by_hand():
    a, b = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    a[:, 0, :2], b[:, 0, 1:3] = 0.9, 0.6
    a[:, 1], b[:, 1] = 1, 1
    assert metrics.dice(a, b) == pytest.approx((0.5 + 1) / 2) and metrics.iou(a, b) == pytest.approx((1 / 3 + 1) / 2), "the third class is in neither"
    assert metrics.dice(a, torch.zeros_like(a)) == 0 and metrics.iou(a, torch.zeros_like(a)) == 0
    assert metrics.dice(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)) is None and metrics.iou(a * 0, b * 0) is None


# What a target file may ask for


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "[budgets.restore]\nfid = 5.0",
            "mine.toml: budgets.restore: 'fid' cannot be measured: it compares two distributions, over thousands of pictures ",
        ),
        ("[budgets.segment]\nmAP = 0.5", "mine.toml: budgets.segment: 'mAP' cannot be measured: it needs thousands of pictures with labelled boxes"),
        ("[budgets.restor]\nssim = 0.9", "mine.toml: budgets of an unknown task 'restor'; expected restore, generate, segment"),
        ("[budgets.restore]\nssimm = 0.9", "mine.toml: budgets.restore: unknown key 'ssimm'; expected one of psnr_db, "),
        ("budgets = 3", "mine.toml: budgets is 3; expected a table"),
        ("[budgets]\nrestore = 3", "mine.toml: budgets.restore is 3; expected a table"),
    ],
)
def test_measures_that_cannot_be_had_are_refused_with_the_reason(tmp_path, lines, message):
    file = tmp_path / "mine.toml"
    text = '[[artifact]]\nbackend = "onnx"\nrecipe = "fp32"\n'
    file.write_text(lines + "\n" + text if lines.startswith("budgets =") else text + lines + "\n")
    with pytest.raises(InvalidFile) as error:
        edgekit_targets.load(str(file))
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
