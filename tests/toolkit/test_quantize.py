import pytest
import torch

from edgekit.quantize import (
    LEVELS,
    MeanSquaredError,
    MinMax,
    MovingAverage,
    Percentile,
    affine,
    comparing,
    estimator,
    matches,
    round_weight,
    sensitive_arithmetic,
)


def _feed(e, *tensors):
    for t in tensors:
        e.update(t)
    return e.range()


def _error(x, lo, hi):
    scale, zero = affine(lo, hi)
    q = ((x / scale).round() + zero).clamp(-128, 127)
    return float((((q - zero) * scale - x) ** 2).mean())


@pytest.fixture
def gaussian():
    return torch.randn(200_000, generator=torch.Generator().manual_seed(0))


def test_min_max_spans_everything_and_holds_zero():
    assert _feed(MinMax(), torch.tensor([0.5, 2.0]), torch.tensor([1.0, 3.0])) == (0.0, 3.0)
    assert _feed(MinMax(), torch.tensor([-4.0, -2.0])) == (-4.0, 0.0)


def test_moving_average_is_the_mean_of_few_tensors_and_follows_many():
    lo, hi = _feed(MovingAverage(), torch.tensor([-1.0, 2.0]), torch.tensor([-3.0, 4.0]))
    assert (lo, hi) == (-2.0, 3.0)
    e = MovingAverage()
    for _ in range(100):
        e.update(torch.tensor([0.0, 1.0]))
    for _ in range(60):
        e.update(torch.tensor([0.0, 5.0]))
    assert e.range()[1] == pytest.approx(5.0, abs=0.02)


def test_percentile_clips_that_share_at_each_end():
    x = torch.linspace(-1, 1, 100_001)
    lo, hi = _feed(Percentile(99.0), x)
    assert lo == pytest.approx(-0.98, abs=2e-3)
    assert hi == pytest.approx(0.98, abs=2e-3)


def test_percentile_100_is_min_max(gaussian):
    assert _feed(Percentile(100), gaussian) == _feed(MinMax(), gaussian)


def test_percentile_ignores_a_lone_outlier(gaussian):
    lo, hi = _feed(Percentile(99.99), torch.cat([gaussian, torch.tensor([1000.0])]))
    assert -5 < lo < -3
    assert 3 < hi < 5


@pytest.mark.parametrize("bad", [50, 101, -1])
def test_percentile_out_of_range_is_refused(bad):
    with pytest.raises(ValueError, match="expected more than 50 and at most 100"):
        estimator("percentile", bad)


@pytest.mark.parametrize("outlier", [8.0, 30.0])
def test_mse_beats_min_max_and_is_near_the_best_clip(gaussian, outlier):
    x = torch.cat([gaussian, torch.tensor([outlier])])
    lo, hi = _feed(MeanSquaredError(), x)
    found = _error(x, lo, hi)
    assert found < _error(x, *_feed(MinMax(), x))
    brute = min(
        _error(x, a * float(x.min()), b * float(x.max())) for a in torch.linspace(0.5, 1, 11).tolist() for b in torch.linspace(0.1, 1, 46).tolist()
    )
    assert found < 1.03 * brute


def test_mse_keeps_a_uniform_range_whole():
    lo, hi = _feed(MeanSquaredError(), torch.linspace(0, 1, 100_000))
    assert lo == 0.0
    assert hi == pytest.approx(1.0, abs=1 / LEVELS)


@pytest.mark.parametrize("kind", ["percentile", "mse"])
def test_histograms_do_not_depend_on_order_or_splitting(gaussian, kind):
    parts = [gaussian[:1000] * 0.01, gaussian[1000:5000], gaussian[5000:9000] * 37, torch.zeros(10)]
    first, *others = (_feed(estimator(kind), *order) for order in (parts, parts[::-1], [torch.cat(parts)]))
    for other in others:
        assert other == pytest.approx(first, rel=1e-3)


@pytest.mark.parametrize("kind", ["min-max", "moving-average", "percentile", "mse"])
class TestEvery:
    def test_holds_zero(self, kind):
        lo, hi = _feed(estimator(kind), torch.linspace(3, 4, 1000))
        assert lo == 0.0
        assert 3 < hi <= 4

    def test_negative_side(self, kind):
        lo, hi = _feed(estimator(kind), -torch.linspace(3, 4, 1000))
        assert hi == 0.0
        assert -4 <= lo < -3

    def test_exact_powers_of_two_fit(self, kind):
        lo, hi = _feed(estimator(kind), torch.tensor([-1.0, 1.0, 0.0] * 50))
        assert lo == pytest.approx(-1, abs=1e-2)
        assert hi == pytest.approx(1, abs=1e-2)

    def test_all_zero(self, kind):
        assert _feed(estimator(kind), torch.zeros(8)) == (0.0, 0.0)

    def test_unseen_is_an_error(self, kind):
        with pytest.raises(ValueError, match="no calibration tensor was seen"):
            estimator(kind).range()

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_not_finite_is_an_error(self, kind, bad):
        with pytest.raises(ValueError, match="expected finite values"):
            estimator(kind).update(torch.tensor([0.0, bad]))

    def test_empty_is_an_error(self, kind):
        with pytest.raises(ValueError, match="is empty"):
            estimator(kind).update(torch.zeros(0))


def test_affine_covers_the_range_with_a_whole_zero_point():
    scale, zero = affine(-0.3, 1.7)
    assert isinstance(zero, int)
    assert -128 < zero < 127
    assert (-128 - zero) * scale == pytest.approx(-0.3, abs=scale / 2)
    assert (127 - zero) * scale == pytest.approx(1.7, abs=scale / 2)
    assert affine(0.0, 1.0) == (1 / 255, -128)


def test_matches():
    assert matches("body.3.body.0", ["head.0", "body.*.body.0"])
    assert matches("tail.0.0", ["tail*"])
    assert not matches("body.3.body.2", ["body.*.body.0"])
    assert not matches("head.0", [])


def test_what_is_only_compared_is_found_back_to_the_nearest_layer():
    reads = {
        "encoded": ["picture"],
        "rows": ["encoded"],
        "product": ["rows"],
        "squares": ["rows"],
        "distance": ["squares", "product"],
        "place": ["distance"],
    }
    reads |= {"entry": ["place"], "decoded": ["entry"]}
    layers = {"encoded", "product", "decoded"}
    assert comparing(reads, layers, choices={"place"}) == {"product", "squares", "distance"}
    assert comparing(reads | {"shown": ["distance"]}, layers, choices={"place"}) == set()
    assert comparing(reads, layers, choices=()) == set()


def test_arithmetic_around_a_quotient_is_sensitive_where_one_side_has_no_layer():
    reads = {
        "scaled": ["picture"],
        "quotient": ["scaled"],
        "joined": ["quotient", "scaled"],
        "first": ["joined"],
        "added": ["first", "joined"],
        "root": ["added"],
        "pixels": ["root", "added"],
    }
    found = sensitive_arithmetic(reads, layers={"first"}, sensitive={"quotient", "root"})
    assert found == {"scaled", "joined", "added", "pixels"}


def test_residual_sums_that_a_normalization_reads_are_not():
    reads = {
        "first": ["picture"],
        "sum": ["first"],
        "norm": ["sum"],
        "gained": ["norm"],
        "second": ["gained"],
        "next": ["sum", "second"],
        "last": ["next"],
    }
    assert sensitive_arithmetic(reads, layers={"first", "second", "last"}, sensitive={"norm"}) == {"gained"}
    assert sensitive_arithmetic(reads, layers={"first", "second", "last"}, sensitive=()) == set()


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_are_rounded_per_output_channel(axis):
    """Whole numbers up to 127, one channel of them a thousandth: by channel, nothing is lost."""
    whole = torch.randint(-126, 127, (4, 4, 3, 3), generator=torch.Generator().manual_seed(0)).float()
    whole.transpose(0, axis)[:, 0, 0, 0] = 127
    whole.transpose(0, axis)[1] /= 1000
    torch.testing.assert_close(round_weight(whole, axis), whole, rtol=1e-5, atol=0)
    assert (round_weight(whole, 1 - axis) - whole).abs().max() > 0.05
