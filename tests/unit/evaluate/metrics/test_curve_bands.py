"""Curves against scikit-learn, and bands that hold what they promise."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from plainfilm.evaluate.metrics.calibration import reliability
from plainfilm.evaluate.metrics.curve_bands import GRID, precision_recall_band, roc_band
from plainfilm.evaluate.metrics.measure import confidences
from plainfilm.evaluate.metrics.sample import Sample, make_sample
from plainfilm.evaluate.stats import intervals


def bins_of(sample):
    return reliability(*confidences(sample), sample.clusters)


def sample_of(scores: np.ndarray, truth: np.ndarray, clusters: np.ndarray | None = None) -> Sample:
    clusters = np.arange(len(truth)) if clusters is None else clusters
    return make_sample(np.stack([1 - scores, scores], 1), truth.astype(int), clusters, None, positive=1, threshold=0.5)


def drawn(n: int, seed: int, apart: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    return np.round(1 / (1 + np.exp(-rng.normal(apart * truth, 1))), 2), truth  # rounded: many ties


def test_the_points_are_those_of_scikit_learn():
    scores, truth = drawn(300, 0)
    roc, pr = (band(sample_of(scores, truth), 1, n_boot=10, seed=0) for band in (roc_band, precision_recall_band))
    x, y, _ = roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose([roc.x, roc.y], [x, y])
    precision, recall, _ = precision_recall_curve(truth, scores)
    np.testing.assert_allclose([pr.x, pr.y], [recall[:-1][::-1], precision[:-1][::-1]])


def test_the_first_class_is_set_against_the_rest_as_well():
    scores, truth = drawn(200, 1)
    band = roc_band(sample_of(scores, truth), 0, n_boot=10, seed=0)
    x, y, _ = roc_curve(~truth, 1 - scores, drop_intermediate=False)
    np.testing.assert_allclose([band.x, band.y], [x, y], atol=1e-12)


def test_a_band_holds_its_curve_and_is_never_without_width():
    for seed, apart in ((2, 1.0), (3, 50.0)):  # the second is perfect: every draw of it is, too
        scores, truth = drawn(80, seed, apart)
        for make in (roc_band, precision_recall_band):
            band = make(sample_of(scores, truth), 1, n_boot=200, seed=0)
            assert ((band.high - band.low) > 0.005).all()
            assert (band.low >= 0).all() and (band.high <= 1).all()
    assert roc_band(sample_of(scores, truth), 1, n_boot=50, seed=0).low[0] == pytest.approx(0.89, abs=0.04)


def test_ten_copies_of_a_patient_do_not_narrow_the_band():
    scores, truth = drawn(60, 4)
    one = roc_band(sample_of(scores, truth), 1, n_boot=400, seed=0)
    copies = sample_of(np.repeat(scores, 10), np.repeat(truth, 10), np.repeat(np.arange(60), 10))
    ten = roc_band(copies, 1, n_boot=400, seed=0)
    naive = roc_band(sample_of(np.repeat(scores, 10), np.repeat(truth, 10)), 1, n_boot=400, seed=0)
    width = [float((band.high - band.low).mean()) for band in (one, ten, naive)]
    assert width[1] > 0.8 * width[0] and width[2] < 0.6 * width[0]  # where no draw errs, copies count as half known


def test_the_band_covers_the_true_sensitivity_about_as_often_as_it_says():
    """Scores of two normal classes 1.5 apart: the sensitivity at 20 % false alarms is Phi(1.5 - 0.8416) = 0.745."""
    at, held = int(np.argmin(np.abs(GRID - 0.2))), 0
    for seed in range(120):
        rng = np.random.default_rng([7, seed])
        truth = np.arange(160) < 80
        scores = 1 / (1 + np.exp(-rng.normal(1.5 * truth, 1)))
        band = roc_band(sample_of(scores, truth), 1, n_boot=200, seed=seed)
        held += band.low[at] <= 0.745 <= band.high[at]
    assert 0.90 <= held / 120 <= 1.0  # three standard deviations below 0.95: 0.89


def test_one_class_alone_has_no_curve():
    everyone = np.ones(9, bool)
    assert roc_band(sample_of(np.linspace(0, 1, 9), everyone), 1, n_boot=10, seed=0) is None
    assert precision_recall_band(sample_of(np.linspace(0, 1, 9), ~everyone), 1, n_boot=10, seed=0) is None
    assert (precision_recall_band(sample_of(np.linspace(0, 1, 9), everyone), 1, n_boot=10, seed=0).y == 1).all()


def test_bins_count_everyone_once_and_give_the_share_that_share():
    scores, truth = drawn(400, 5)
    bins = bins_of(sample_of(scores, truth))
    assert sum(part.n for part in bins) == 400 and len(bins) == 15
    assert [part.score for part in bins] == sorted(part.score for part in bins)
    assert sum(part.n * part.share.value for part in bins) == pytest.approx(truth.sum())
    assert sum(part.n * part.score for part in bins) == pytest.approx(scores.sum())
    assert all(part.share.low < part.share.high for part in bins)


def test_scores_that_come_true_as_often_as_they_say_lie_on_the_diagonal_within_their_intervals():
    rng = np.random.default_rng(6)
    scores = rng.beta(0.5, 0.5, 6000)
    bins = bins_of(sample_of(scores, rng.random(6000) < scores))
    assert sum(part.share.low <= part.score <= part.share.high for part in bins) >= 12


def weights_of(sample: Sample, n_boot: int, seed: int) -> np.ndarray:
    """How often each image counts in each draw of the bootstrap."""
    return intervals.bootstrap({"w": lambda weights: weights}, sample.clusters, n_boot, seed)["w"]


def share_at(hits: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    return intervals.proportion(hits, clusters)[1:3]


@pytest.mark.parametrize(("n", "apart"), [(70, 1.5), (14, 0.0), (10, -1.0)])
def test_the_roc_band_is_that_of_scikit_learns_curves_of_each_draw(n, apart):
    """Sensitivity at each share of false alarms, from roc_curve with the draw's weights; never narrower than a share's."""
    scores, truth = drawn(n, 8, apart)
    sample = sample_of(scores, truth, np.arange(n) // 2)
    band = roc_band(sample, 1, n_boot=60, seed=3)
    p, y, found = sample.probs[:, 1], sample.targs == 1, []
    for weights in weights_of(sample, 60, 3):
        keep = weights > 0
        if y[keep].all() or not y[keep].any():
            continue
        x, sensitivity, _ = roc_curve(y[keep], p[keep], sample_weight=weights[keep], drop_intermediate=False)
        found.append([sensitivity[x <= at + 1e-9].max() for at in GRID])
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    for i, at in enumerate(GRID):
        cut = max(c for c in [np.inf, *p] if (p[~y] >= c).mean() <= at + 1e-9 and not any(
            (p[~y] >= d).mean() <= at + 1e-9 for d in p if d < c))  # fmt: skip
        least = share_at((p >= cut)[y], sample.clusters[y])
        assert (band.low[i], band.high[i]) == pytest.approx((min(low[i], least[0]), max(high[i], least[1])))


@pytest.mark.parametrize(("n", "apart"), [(70, 1.5), (14, 0.0), (10, -1.0)])
def test_the_precision_band_is_that_of_scikit_learns_curves_of_each_draw(n, apart):
    """Precision where each draw first reaches each recall; never narrower than a share's among those predicted positive there."""
    scores, truth = drawn(n, 9, apart)
    sample = sample_of(scores, truth, np.arange(n) // 2)
    band = precision_recall_band(sample, 1, n_boot=60, seed=4)
    p, y, found = sample.probs[:, 1], sample.targs == 1, []
    for weights in weights_of(sample, 60, 4):
        keep = weights > 0
        if y[keep].all() or not y[keep].any():
            continue
        precision, recall, _ = precision_recall_curve(y[keep], p[keep], sample_weight=weights[keep])
        precision, recall = precision[:-1][::-1], recall[:-1][::-1]  # recall rises
        found.append([precision[np.argmax((recall >= at - 1e-9) & (recall > 0))] for at in GRID])
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    for i, at in enumerate(GRID):
        cut = max(c for c in p if (p[y] >= c).any() and (p[y] >= c).mean() >= at - 1e-9)
        predicted = p >= cut
        least = share_at(y[predicted], sample.clusters[predicted])
        assert (band.low[i], band.high[i]) == pytest.approx((min(low[i], least[0]), max(high[i], least[1])))


def test_draws_without_one_of_the_classes_are_left_out_of_a_band():
    """One positive patient of four: a third of the draws have none."""
    scores, truth = np.array([0.9, 0.2, 0.6, 0.4]), np.array([True, False, False, False])
    for make in (roc_band, precision_recall_band):
        band = make(sample_of(scores, truth), 1, n_boot=300, seed=0)
        assert np.isfinite(band.low).all() and np.isfinite(band.high).all()


def test_where_no_draw_can_be_used_the_proportion_alone_makes_the_band():
    sample = sample_of(np.array([0.9, 0.2]), np.array([True, False]))
    seed = next(s for s in range(99) if len(set(weights_of(sample, 1, s)[0])) == 2)  # one image twice, the other never
    band = roc_band(sample, 1, n_boot=1, seed=seed)
    assert band.low[-1] == pytest.approx(0.025) and (band.high == 1).all()


def test_bands_follow_their_seed():
    scores, truth = drawn(60, 10)
    for make in (roc_band, precision_recall_band):
        one, again, other = (make(sample_of(scores, truth), 1, n_boot=50, seed=seed) for seed in (1, 1, 2))
        assert (one.low == again.low).all() and (one.low != other.low).any()
