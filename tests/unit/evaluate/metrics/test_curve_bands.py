"""Curves against scikit-learn, and bands that hold what they promise."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from plainfilm.evaluate.metrics.calibration import reliability
from plainfilm.evaluate.metrics.curve_bands import GRID, precision_recall_band, roc_band
from plainfilm.evaluate.metrics.measure import confidences
from plainfilm.evaluate.metrics.sample import Sample, make_sample


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
