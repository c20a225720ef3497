"""A probe's probabilities become a number with an interval, a banner, or the reason that there is none."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from plainfilm.errors import DataError
from plainfilm.evaluate.shortcuts.probe_baseline import _best_probe
from plainfilm.evaluate.shortcuts.shortcut_warning import _CROSSED_LEVEL, LIMIT, raises_banner, shortcut_metric
from plainfilm.schemas.documents import Metric
from wording import lacking


def two_columns(positive_probs):
    p = np.asarray(positive_probs, float)
    return np.stack([1 - p, p], axis=1)


def metric(value, ci_low=None):
    return Metric(value=value, ci_low=ci_low, ci_high=value, n=9, n_patients=None, method="x")


def random_scores(n, shift=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    return two_columns(norm.cdf(rng.normal(size=n) + shift * labels)), labels


def test_the_area_is_that_of_the_positive_class():
    probs, labels = two_columns([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])
    for positive in (0, 1):  # 3 of 4 pairs are in order, whichever class is positive
        found = shortcut_metric(probs, labels, np.arange(4), positive=positive, crossed=False)
        assert found.value == pytest.approx(0.75)
    assert (found.n, found.n_patients, found.method) == (4, None, "obuchowski/logit; likely too narrow")


def test_groups_are_counted_as_patients_and_widen_the_interval():
    probs, labels = random_scores(200)
    patients = np.array([f"p{i // 5 * 2 + i % 2}" for i in range(200)])
    alone = shortcut_metric(probs, labels, np.arange(200), positive=1, crossed=False)
    probs5 = np.repeat(probs[:40], 5, axis=0)
    wide = shortcut_metric(
        probs5,
        np.repeat(labels[:40], 5),
        np.repeat(np.arange(40), 5),
        np.repeat(patients[:40], 5),
        positive=1,
        crossed=False,
    )
    assert (wide.n, wide.n_patients) == (200, 40)
    assert wide.ci_high - wide.ci_low > 1.5 * (alone.ci_high - alone.ci_low)


def test_cross_validated_scores_get_twice_the_variance():
    assert pytest.approx(2 * norm.cdf(norm.ppf(0.975) * 2**0.5) - 1, abs=1e-8) == _CROSSED_LEVEL
    probs, labels = random_scores(4000)
    plain, crossed = (shortcut_metric(probs, labels, np.arange(4000), positive=1, crossed=way) for way in (False, True))
    assert plain.value == crossed.value
    logit = [norm_logit(m.ci_high) - norm_logit(m.ci_low) for m in (plain, crossed)]
    assert logit[1] / logit[0] == pytest.approx(2**0.5, rel=0.002)
    assert crossed.method.startswith("obuchowski/logit; ")
    assert lacking(crossed.method, "cross-validated", "variance doubled", "likely too narrow") == []


def norm_logit(p):
    return np.log(p / (1 - p))


def test_three_classes_give_the_mean_of_one_against_the_rest():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    probs = rng.dirichlet([1, 1, 1], 90) * 0.5 + 0.5 * np.eye(3)[labels] * rng.random((90, 1))
    probs /= probs.sum(axis=1, keepdims=True)
    found = shortcut_metric(probs, labels, np.arange(90), positive=None, crossed=True)
    assert found.value == pytest.approx(roc_auc_score(labels, probs, multi_class="ovr"))
    assert found.ci_low < found.value < found.ci_high


def test_a_probe_that_is_never_wrong_still_has_a_width():
    labels = np.arange(100) % 2
    found = shortcut_metric(two_columns(labels * 0.8 + 0.1), labels, np.arange(100), positive=1, crossed=True)
    assert found.value == found.ci_high == 1
    assert 0.8 < found.ci_low < 0.95
    assert raises_banner(found)


def test_a_probe_that_says_the_same_of_all_is_worth_half():
    labels = np.arange(40) % 2
    found = shortcut_metric(two_columns(np.full(40, 0.5)), labels, np.arange(40), positive=1, crossed=True)
    assert found.value == 0.5
    assert not raises_banner(found)


@pytest.mark.parametrize("n", [0, 5])
def test_images_of_one_class_give_no_number_but_a_reason(n):
    found = shortcut_metric(two_columns(np.full(n, 0.3)), np.zeros(n, int), np.arange(n), positive=1, crossed=True)
    assert found.value is found.ci_low is found.ci_high is None
    assert found.method.startswith("not estimable: ")
    assert found.n == n
    assert not raises_banner(found)


def test_what_is_no_probability_is_refused():
    with pytest.raises(DataError):
        shortcut_metric(np.array([[0.5, 0.9]]), [0], [0], positive=1, crossed=True)
    with pytest.raises(DataError):
        shortcut_metric(two_columns([0.1, 0.2]), [0, 1], [0, 1], positive=None, crossed=True)


@pytest.mark.parametrize(("ci_low", "banner"), [(0.61, True), (LIMIT, False), (0.3, False), (None, False)])
def test_the_banner_needs_the_whole_interval_above_the_limit(ci_low, banner):
    assert raises_banner(metric(0.9, ci_low)) is banner


def test_the_best_probe_is_the_highest_that_could_be_estimated():
    found = {"a": metric(None), "b": metric(0.7), "c": metric(0.9), "d": metric(0.9)}
    assert _best_probe(found) == "c"
    assert _best_probe({"a": metric(None)}) is None
    assert _best_probe({}) is None
