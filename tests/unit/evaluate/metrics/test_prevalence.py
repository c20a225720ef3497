"""PPV and NPV at other prevalences: Bayes by hand, the equation that the limits solve, and coverage."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.errors import UsageError
from plainfilm.evaluate.metrics.measure import rate_metric
from plainfilm.evaluate.metrics.prevalence import parse_prevalences, ratio, restated
from plainfilm.evaluate.metrics.sample import Sample, make_sample
from plainfilm.evaluate.stats.intervals import Interval, proportion


def sample_of(predicted, truth, patients=None) -> Sample:
    predicted, truth = np.asarray(predicted, bool), np.asarray(truth, int)
    patients = np.arange(len(truth)) if patients is None else patients
    return make_sample(np.stack([~predicted, predicted], 1).astype(float), truth, patients, patients, positive=1, threshold=0.5)  # fmt: skip


def counts(tp: int, fn: int, fp: int, tn: int) -> Sample:
    return sample_of([1] * tp + [0] * fn + [1] * fp + [0] * tn, [1] * (tp + fn) + [0] * (fp + tn))


def test_bayes_by_hand():
    """Of 10,000 at prevalence 0.01: 90 of 100 sick and 1,980 of 9,900 healthy are predicted positive."""
    found = restated(counts(90, 10, 40, 160), [0.01])[0]
    assert found.ppv.value == pytest.approx(90 / (90 + 1980))
    assert found.npv.value == pytest.approx(7920 / (7920 + 10))
    assert (found.ppv.n, found.npv.n, found.ppv.n_patients) == (300, 300, 300)
    assert found.ppv.method == "mover-r/korn-graubard/deff"


def test_at_the_samples_own_prevalence_they_are_the_samples_own():
    sample = counts(45, 5, 12, 138)
    found = restated(sample, [50 / 200])[0]
    assert found.ppv.value == pytest.approx(rate_metric("ppv", [1], sample, 0.95).value)
    assert found.npv.value == pytest.approx(rate_metric("npv", [1], sample, 0.95).value)


def test_a_perfect_classifier_keeps_a_width_and_the_rarer_disease_the_wider_one():
    rare, common = restated(counts(50, 0, 0, 50), [0.01, 0.5])
    assert rare.ppv.value == common.ppv.value == 1 == common.ppv.ci_high
    assert rare.ppv.ci_low < 0.2 < 0.9 < common.ppv.ci_low < 1
    assert rare.npv.ci_low > 0.999 and common.npv.ci_low < 0.95


@pytest.mark.parametrize(
    ("table", "ppv", "npv"),
    [
        ((0, 30, 0, 30), "not estimable: no image predicted positive", 0.8),
        ((30, 0, 30, 0), 0.2, "not estimable: no image predicted negative"),
        ((30, 0, 0, 0), "not estimable: one class only", "not estimable: one class only"),
        ((0, 30, 10, 20), 0.0, 0.8 * (2 / 3) / (0.2 + 0.8 * (2 / 3))),
    ],
)
def test_what_is_not_estimable_is_none(table, ppv, npv):
    found = restated(counts(*table), [0.2])[0]
    for metric, expected in ((found.ppv, ppv), (found.npv, npv)):
        if isinstance(expected, str):
            assert (metric.value, metric.ci_low, metric.method) == (None, None, expected)
        else:
            assert metric.value == pytest.approx(expected)
            assert metric.ci_low <= metric.value <= metric.ci_high and metric.ci_high - metric.ci_low > 0.01


parts = st.tuples(st.floats(0.001, 0.95), st.floats(0.001, 0.3), st.floats(0.001, 0.3)).map(
    lambda t: Interval(t[0], max(0.0, t[0] - t[1]), min(1.0, t[0] + t[2]), "x")
)


@given(parts, parts)
def test_the_limits_of_a_ratio_are_where_above_minus_r_below_may_be_zero(above, below):
    """(a - R b)^2 = (a - la)^2 + R^2 (ub - b)^2 at the lower limit, the mirror image at the upper one."""
    found = ratio(above, below)
    assert 0 <= found.low <= found.value <= found.high
    for limit, a_end, b_end in ((found.low, above.low, below.high), (found.high, above.high, below.low)):
        if math.isfinite(limit):
            far = (above.value - limit * below.value) ** 2
            spread = (above.value - a_end) ** 2 + (limit * (b_end - below.value)) ** 2
            assert far == pytest.approx(spread, rel=1e-6, abs=1e-9)


def test_shares_are_read_once_each_in_their_order():
    assert parse_prevalences("0.3, 0.01,0.3,1e-3") == [0.3, 0.01, 0.001]


@pytest.mark.parametrize("text", ["0", "1", "1.5", "-0.1", "10%", "", "0.1,,0.2", "nan", "inf", "0.1;0.2"])
def test_what_is_no_share_is_refused_in_one_line(text: str, refusal: Callable[..., str]):
    message = refusal(lambda: parse_prevalences(text), UsageError)
    assert "expected numbers above 0 and below 1" in message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patients", "repeats", "rate"),
    [(45, 400, 0.85), (45, 400, 0.97), (45, 400, 0.995), (400, 250, 0.995),
     *(pytest.param(400, 250, rate, marks=pytest.mark.campaign) for rate in (0.85, 0.97))],
)  # fmt: skip
def test_the_truth_is_covered_with_clustered_images(patients: int, repeats: int, rate: float):
    """Patients of 1-8 images; sensitivity and specificity `rate`, intra-patient correlation 0.3."""
    rng, icc, share = np.random.default_rng(patients), 0.3, 0.1
    truth = share * rate / (share * rate + (1 - share) * (1 - rate))
    held, naive = 0, 0
    for _ in range(repeats):
        ids = np.repeat(np.arange(patients), rng.integers(1, 9, patients))
        labels = (rng.random(patients) < 0.5)[ids]
        chance = rng.beta(rate * (1 - icc) / icc, (1 - rate) * (1 - icc) / icc, patients)
        predicted = (rng.random(len(ids)) < chance[ids]) == labels
        found, flat = (restated(sample_of(predicted, labels, who), [share])[0].ppv for who in (ids, None))
        held += found.ci_low <= truth <= found.ci_high
        naive += flat.ci_low <= truth <= flat.ci_high
    assert held / repeats >= 0.92  # at a rate of 0.995 all are held: exact limits of both rates
    assert naive < held


def test_the_limits_of_both_rates_stand_behind_the_ratio():
    sample = counts(45, 5, 12, 138)
    wrong = proportion(np.arange(150) < 12, np.arange(150))
    right = proportion(np.arange(50) < 45, np.arange(50))
    expected = ratio(wrong, right)
    found = restated(sample, [0.5])[0].ppv
    assert (found.ci_low, found.ci_high) == pytest.approx((1 / (1 + expected.high), 1 / (1 + expected.low)))


def test_a_ratio_over_what_may_be_zero_has_no_upper_limit():
    none = Interval(0.0, 0.0, 0.1, "m")
    assert ratio(Interval(0.5, 0.4, 0.6, "m"), none).high == math.inf
    assert ratio(none, none) is None


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_both_values_are_made_of_their_own_ratios_at_the_level(level):
    """Clustered images; PPV of false positives over sensitivity, NPV of false negatives over specificity."""
    rng = np.random.default_rng(3)
    truth, ids = rng.integers(0, 2, 60), np.arange(60) // 3
    sample = sample_of(rng.random(60) < 0.3 + 0.4 * truth, truth, ids)
    sick, predicted = sample.targs == 1, sample.predicted == 1
    part = lambda hits, rows: proportion(hits[rows], sample.clusters[rows], level)  # noqa: E731
    for share in (0.05, 0.6):
        found = restated(sample, [share], level)[0]
        assert found.prevalence == share
        wrong = ratio(part(predicted, ~sick), part(predicted, sick))
        missed = ratio(part(~predicted, sick), part(~predicted, ~sick))
        for metric, each, odds in ((found.ppv, wrong, (1 - share) / share), (found.npv, missed, share / (1 - share))):
            expected = [1 / (1 + odds * x) for x in (each.value, each.high, each.low)]
            assert (metric.value, metric.ci_low, metric.ci_high) == pytest.approx(expected)
            assert (metric.n, metric.n_patients) == (60, 20)
    assert restated(sample, [0.3]) == restated(sample, [0.3], 0.95)


def test_a_ratio_by_hand():
    """0.4 [0.2, 0.5] over 0.8 [0.6, 0.9]: the limits are roots of A x^2 - 0.64 x + C, worked out.

    Lower: A = 0.9 (1.6 - 0.9) = 0.63, C = 0.2 (0.8 - 0.2) = 0.12: (0.64 - sqrt(0.4096 - 0.3024)) / 1.26.
    Upper: A = 0.6 (1.6 - 0.6) = 0.60, C = 0.5 (0.8 - 0.5) = 0.15: (0.64 + sqrt(0.4096 - 0.36)) / 1.2.
    """
    found = ratio(Interval(0.4, 0.2, 0.5, "m"), Interval(0.8, 0.6, 0.9, "other"))
    assert found.value == pytest.approx(0.5) and found.method == "mover-r/m"
    assert found.low == pytest.approx((0.64 - 0.1072**0.5) / 1.26)
    assert found.high == pytest.approx((0.64 + 0.0496**0.5) / 1.2)


def test_ratios_at_their_ends():
    nothing, some = Interval(0.0, 0.0, 0.1, "m"), Interval(0.5, 0.4, 0.6, "m")
    assert ratio(nothing, some)[:2] == (0, 0) and math.isfinite(ratio(nothing, some).high)
    assert ratio(some, nothing).value == math.inf and ratio(some, nothing).low > 0
    half = Interval(0.5, 0.0, 1.0, "m")  # below may be 0, and above too
    assert ratio(half, half)[:3] == (1, 0, math.inf)


def test_a_share_that_is_refused_is_quoted_without_blanks(refusal: Callable[..., str]):
    assert "--prevalence 'x' is not a share" in refusal(lambda: parse_prevalences("0.1, x ,2"), UsageError)
