"""The smooth calibration curve: its spline by hand, its fit against scikit-learn, and what its band covers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from plainfilm.evaluate.metrics.calibration_curve import _Fit, _nearest, _Spline, smooth_calibration
from plainfilm.evaluate.metrics.sample import Sample, make_sample


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sample_of(p, y, ids=None) -> Sample:
    p, y = np.asarray(p, float), np.asarray(y, int)
    ids = np.arange(len(y)) if ids is None else ids
    return make_sample(np.stack([1 - p, p], 1), y, ids, ids, positive=1, threshold=0.5)


def drawn(n: int, seed: int, bend=lambda x: x - 0.8):
    """Scores and truth; `bend`: the logit of the true chance from that of the score."""
    rng = np.random.default_rng(seed)
    x = rng.normal(scale=1.5, size=n)
    return sigmoid(x), rng.random(n) < sigmoid(bend(x))


def test_the_curved_term_of_three_knots_by_hand():
    """Knots -1, 1, 2: ((z + 1)^3 - 3 (z - 1)^3 + 2 (z - 2)^3) / 9, negative parts cut: linear before -1 and beyond 2."""
    spline = _Spline(0.0, 1.0, np.array([-1.0, 1.0, 2.0]))
    columns = spline.columns(sigmoid(np.array([-2.0, 0.0, 1.0, 3.0, 4.0, 5.0])))
    assert columns[:, 0].tolist() == [1] * 6
    assert columns[:, 1] == pytest.approx([-2, 0, 1, 3, 4, 5], abs=1e-9)
    assert columns[:, 2] == pytest.approx([0, 1 / 9, 8 / 9, 42 / 9, 60 / 9, 78 / 9])


def test_knots_that_fall_together_leave_a_line():
    spline = _Spline.of(np.repeat([0.2, 0.8], 50))
    assert spline.knots == 0 and spline.columns(np.array([0.2, 0.8])).shape == (2, 2)


def test_scikit_learn_fits_the_same_curve():
    """Without a penalty; ours, of weight 0.01, hardly counts beside 1,500 images."""
    p, y = drawn(1500, 3, lambda x: 0.3 + 0.5 * x + 0.2 * x**2)
    spline = _Spline.of(p)
    design = spline.columns(p)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=2000, fit_intercept=False).fit(design, y)
    fit = _Fit(design, y, spline.identity)
    at = spline.columns(np.array([0.05, 0.2, 0.5, 0.8, 0.95]))
    assert sigmoid(at @ fit.best) == pytest.approx(sigmoid(at @ theirs.coef_[0]), abs=2e-3)
    assert fit.stepped()(np.ones((1, 1500)))[0] == pytest.approx(fit.best, abs=1e-5)


def test_a_draw_goes_where_a_whole_fit_of_it_goes():
    p, y = drawn(2000, 4)
    spline, weights = _Spline.of(p), np.random.default_rng(0).poisson(1, 2000).astype(float)
    design = spline.columns(p)
    stepped = _Fit(design, y, spline.identity).stepped()(weights[None])[0]
    rows = np.repeat(np.arange(2000), weights.astype(int))
    whole = _Fit(design[rows], y[rows], spline.identity).best
    at = spline.columns(np.array([0.1, 0.5, 0.9]))
    assert sigmoid(at @ stepped) == pytest.approx(sigmoid(at @ whole), abs=0.01)


@pytest.mark.parametrize("bend", [lambda x: x - 0.8, lambda x: 0.5 * x + 0.25 * x**2, lambda x: x])
def test_a_known_curve_is_found(bend):
    p, y = drawn(20_000, 5, bend)
    found = smooth_calibration(sample_of(p, y), n_boot=20)
    score = np.array(found.score)
    expected = sigmoid(bend(np.log(score / (1 - score))))
    inside = (score > np.quantile(p, 0.05)) & (score < np.quantile(p, 0.95))  # beyond the outer knots it is a line
    assert np.abs(np.array(found.share) - expected)[inside].max() < 0.03


def test_the_curve_ends_where_the_scores_do_and_has_every_hundredth_between():
    p, y = drawn(400, 6)
    found = smooth_calibration(sample_of(p, y), n_boot=50)
    low, high = np.quantile(p, [0.01, 0.99])
    assert (found.score[0], found.score[-1]) == pytest.approx((low, high), abs=1e-6)
    assert 0.5 in found.score and found.score == sorted(set(found.score))
    limits = np.array([found.ci_low, found.share, found.ci_high])
    assert (np.diff(limits, axis=0) >= 0).all() and limits.min() >= 0 and limits.max() <= 1
    assert found.method == "logistic, spline of 4 knots; bootstrap/patients (pointwise percentiles)"


def test_a_curve_needs_ten_patients_on_each_side():
    y = np.arange(60) < 10
    p = np.random.default_rng(7).random(60)
    assert smooth_calibration(sample_of(p, y), n_boot=20) is not None
    assert smooth_calibration(sample_of(p, ~y), n_boot=20) is not None
    ids = np.arange(60)
    ids[1] = 0  # two positive images of one patient
    assert smooth_calibration(sample_of(p, y, ids), n_boot=20) is None
    assert smooth_calibration(sample_of(p, np.ones(60)), n_boot=20) is None


def test_scores_that_separate_the_classes_have_a_finite_curve_with_a_width():
    p = np.concatenate([np.linspace(0.01, 0.3, 40), np.linspace(0.7, 0.99, 40)])
    found = smooth_calibration(sample_of(p, p > 0.5), n_boot=100)
    assert found.share[0] < 0.02 and found.share[-1] > 0.98
    assert found.ci_high[0] > 0.1 and found.ci_low[-1] < 0.9  # 20 images nearby, none wrong: Wilson's limit is 0.16


def test_the_images_nearest_to_a_score_are_counted_by_patient():
    """Eight images, a quarter is two: at 0.0 the two lowest, of one patient; at 0.75 those of ranks 5 and 6."""
    confidence, clusters = np.arange(8) / 8, np.array([0, 0, 1, 2, 3, 4, 5, 6])
    assert _nearest(confidence, clusters, np.array([0.0, 0.75, 1.0])) == [1, 2, 2]


def test_the_band_covers_the_true_curve():
    """80 sets of 150 patients of two images each, at three scores; two sd of 80 draws at 0.95 are 0.05."""
    inside, at = np.zeros(3), (0.2, 0.5, 0.8)
    for seed in range(80):
        rng = np.random.default_rng(seed)
        ids = np.repeat(np.arange(150), 2)
        x = rng.normal(scale=1.5, size=150)[ids] + 0.3 * rng.normal(size=300)
        y = rng.random(150)[ids] < sigmoid(0.6 * x - 0.5)
        found = smooth_calibration(sample_of(sigmoid(x), y, ids), n_boot=100, seed=seed)
        for i, score in enumerate(at):
            k = found.score.index(score)
            truth = sigmoid(0.6 * np.log(score / (1 - score)) - 0.5)
            inside[i] += found.ci_low[k] <= truth <= found.ci_high[k]
    assert (inside / 80 >= 0.88).all(), inside / 80


def test_of_more_classes_it_is_that_of_the_highest_score():
    rng = np.random.default_rng(8)
    targs = rng.integers(0, 3, 300)
    logits = rng.normal(size=(300, 3)) + 1.5 * np.eye(3)[targs]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = smooth_calibration(
        make_sample(probs, targs, np.arange(300), None, positive=None, threshold=None), n_boot=50
    )
    assert found.score[0] >= 1 / 3 and "bootstrap/images" in found.method
