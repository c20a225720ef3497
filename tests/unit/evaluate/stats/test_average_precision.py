"""The average precision without draws: its value, each image's part in its error, and its interval beside a drawn one."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score

from plainfilm.evaluate.metrics import measure as metrics
from plainfilm.evaluate.metrics.measure import measure_per_class, measure_sample
from plainfilm.evaluate.metrics.point_metrics import auprc_statistic
from plainfilm.evaluate.metrics.sample import _content_codes, make_sample
from plainfilm.evaluate.stats.average_precision import average_precision, linearised_mean, optimism
from plainfilm.evaluate.stats.intervals import bootstrap


def classes(n: int, k: int = 5, seed: int = 0):
    """Scores float (n, k), truth int (n,), and two images of each patient."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    raw = np.exp(rng.normal(size=(n, k)) + 1.5 * np.eye(k)[truth])
    return raw / raw.sum(axis=1, keepdims=True), truth, np.arange(n) // 2


def test_the_error_of_an_image_by_hand():
    """Positive, negative, positive: precisions 1 and 2/3, mean 5/6. More weight on the last, a step of 1e-6."""
    scores, labels = np.array([0.9, 0.5, 0.1]), np.array([True, False, True])
    value, errors = average_precision(scores, labels)
    assert value == pytest.approx(5 / 6)
    # derivatives of [w0 * 1 + w2 * (w0 + w2) / (w0 + w1 + w2)] / (w0 + w2) at weights of 1
    assert errors == pytest.approx([(1 + 1 / 9 - 5 / 6) / 2, (-2 / 9) / 2, (2 / 3 + 1 / 9 - 5 / 6) / 2])


@given(st.integers(0, 2**32 - 1))
def test_errors_are_the_derivatives_also_with_ties(seed):
    rng = np.random.default_rng(seed)
    scores, labels = np.round(rng.random(30), 1), rng.random(30) < 0.4
    labels[:2] = True, False
    (value, errors), statistic = average_precision(scores, labels), auprc_statistic(scores, labels)
    assert value == pytest.approx(average_precision_score(labels, scores))
    steps = 1e-6 * np.eye(30)
    slopes = (statistic(1 + steps) - statistic(1 - steps)) / 2e-6
    assert errors == pytest.approx(slopes, abs=1e-6)


def test_the_interval_is_nearly_that_of_draws():
    probs, truth, patients = classes(1200)
    sample = make_sample(probs, truth, patients, patients, positive=None, threshold=None)
    each = [(sample.probs[:, c], sample.targs == c) for c in range(5)]
    limits = {"seen": 200.0, "rarer": 200.0, "patients": 600, "level": 0.95}
    found = linearised_mean([average_precision(*view) for view in each], sample.clusters, **limits)
    drawn = measure_sample(sample, n_boot=1000)["auprc"]
    assert found.value == pytest.approx(drawn.value)
    assert found.high - found.low == pytest.approx(drawn.ci_high - drawn.ci_low, rel=0.1)
    assert found.method == "linearised (logit)"


def test_an_average_precision_that_no_patient_moves_has_wilsons_limits():
    perfect = average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, True, False]))
    found = linearised_mean([perfect], np.arange(3), seen=1, rarer=2, patients=3, level=0.95)
    assert (found.value, found.high, found.method) == (1, 1, "wilson (no usable variance)") and found.low < 0.4


@pytest.mark.parametrize(("n", "positives"), [(5, 2), (6, 1), (7, 3)])
def test_the_optimism_without_skill_is_the_mean_over_all_orders_minus_the_share(n: int, positives: int):
    orders = [np.isin(np.arange(n), chosen) for chosen in combinations(range(n), positives)]
    chance = float(np.mean([average_precision(-np.arange(n, dtype=float), labels)[0] for labels in orders]))
    share = positives / n
    found = [
        optimism(value, np.array([float(positives)]), np.array([share])) for value in (chance, 1.0, (1 + chance) / 2)
    ]
    assert found == pytest.approx([chance - share, 0.0, (chance - share) / 2])


def test_of_many_images_there_is_no_optimism_and_below_chance_it_is_that_of_chance():
    few, many = (optimism(0.0, np.array([n, 2 * n]), np.array([0.1, 0.2])) for n in (5.0, 5e5))
    assert 0.02 < few < 0.2 and 0 <= many < 1e-4
    assert optimism(0.5, np.array([1.0]), np.array([1.0])) == 0.0


def test_the_optimism_is_that_of_the_draws_where_it_is_larger():
    few = np.array([5.0]), np.array([0.05])
    chance = optimism(0.5, *few)
    assert 0 < chance < 0.1
    draws = np.array([0.5, 0.7, np.nan])
    assert optimism(0.5, *few, draws) == pytest.approx(0.1)
    assert optimism(0.5, *few, draws - 0.3) == optimism(0.5, *few, np.array([np.nan])) == chance


def test_few_lower_limits_of_few_positives_with_skill_are_above_the_truth():
    """3 positives of 300 images, d' = 1: the average precision of many such images is 0.042, of these on average 0.11."""
    rng, positive = np.random.default_rng(5), np.arange(300) < 3
    cuts = np.linspace(-8, 12, 200_001)
    found, false = norm.sf(cuts - 1), norm.sf(cuts)
    truth = -np.trapezoid(found / (found + 99 * false), found)
    assert truth == pytest.approx(0.042, abs=0.001)
    low, value = [], []
    for seed in range(100):
        p = norm.cdf(rng.normal(size=300) + positive)
        probs, ids = np.stack([1 - p, p], axis=1), np.arange(300)
        sample = make_sample(probs, positive.astype(int), ids, ids, positive=1, threshold=0.5)
        draws = bootstrap({"auprc": auprc_statistic(p, positive)}, sample.clusters, 100, seed)["auprc"]
        one = metrics._auprc_metric((1,), sample, draws, 0.95)
        low.append(one.ci_low)
        value.append(one.value)
    assert np.mean(value) > truth + 0.03
    assert np.mean(np.array(low) > truth) <= 0.06


def test_many_classes_are_not_drawn_but_two_are(monkeypatch):
    monkeypatch.setattr(metrics, "MOST_DRAWN", 5 * 200 * 20 - 1)
    probs, truth, patients = classes(200)
    many = make_sample(probs, truth, patients, patients, positive=None, threshold=None)
    of_all, by_class = measure_sample(many, n_boot=20), measure_per_class(many, n_boot=20)
    assert of_all["auprc"].method == by_class[3]["auprc"].method == "linearised (logit), lower limit bias-corrected"
    assert of_all["mcc"].method.startswith("bootstrap")
    two = make_sample(probs[:, :2] / probs[:, :2].sum(axis=1, keepdims=True), truth % 2, patients, None, positive=1, threshold=0.5)  # fmt: skip
    monkeypatch.setattr(metrics, "MOST_DRAWN", 0)
    assert measure_sample(two, n_boot=20)["auprc"].method.startswith("bootstrap")


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_rows_are_ordered_as_by_comparing_whole_rows(seed, k):
    """Few different values: rows that differ in a late column only, and copies."""
    rng = np.random.default_rng(seed)
    targs, probs = rng.integers(0, 2, 40), rng.integers(0, 3, (40, k)) / 2
    expected = np.unique(np.column_stack([targs, probs]), axis=0, return_inverse=True)[1].reshape(-1)
    assert _content_codes(targs, probs).tolist() == expected.tolist()
    codes = _content_codes(np.repeat(targs, 2), np.repeat(np.column_stack([rng.random((40, k)), probs]), 2, axis=0))
    assert codes.tolist() == np.repeat(codes[::2], 2).tolist() and len(set(codes.tolist())) == 40
