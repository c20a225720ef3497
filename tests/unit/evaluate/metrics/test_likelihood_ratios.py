"""Likelihood ratios by hand, their limits from the logarithm, and where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from plainfilm.evaluate.metrics.likelihood_ratios import likelihood_ratios
from plainfilm.evaluate.metrics.sample import Sample, make_sample


def sample_of(predicted, truth, ids=None) -> Sample:
    """Scores of 0.9 and 0.1 at a threshold of 0.5."""
    p, truth = np.where(predicted, 0.9, 0.1), np.asarray(truth, int)
    ids = np.arange(len(truth)) if ids is None else ids
    return make_sample(np.stack([1 - p, p], 1), truth, ids, ids, positive=1, threshold=0.5)


def table(tp: int, fn: int, fp: int, tn: int) -> Sample:
    return sample_of(np.repeat([1, 0, 1, 0], [tp, fn, fp, tn]), np.repeat([1, 1, 0, 0], [tp, fn, fp, tn]))


def test_ten_images_by_hand():
    """3 of 4 found, 1 of 6 predicted wrongly: LR+ = (3/4) / (1/6) = 4.5, LR- = (1/4) / (5/6) = 0.3.

    The variance of ln LR+ is 1/3 - 1/4 + 1/1 - 1/6 = 11/12, that of ln LR- is 1/1 - 1/4 + 1/5 - 1/6 = 47/60; ten
    patients: times 10/9, and t with 9 degrees of freedom.
    """
    found = likelihood_ratios(table(3, 1, 1, 5))
    for name, value, variance in (("positive", 4.5, 11 / 12), ("negative", 0.3, 47 / 60)):
        reach = np.exp(student.ppf(0.975, 9) * (10 / 9 * variance) ** 0.5)
        assert found[name].value == pytest.approx(value)
        assert (found[name].ci_low, found[name].ci_high) == pytest.approx((value / reach, value * reach))
        assert (found[name].n, found[name].n_patients) == (10, 10)


def test_many_patients_have_the_limits_of_simel():
    """Simel 1991: exp(ln LR -+ 1.96 sqrt(1/tp - 1/(tp+fn) + 1/fp - 1/(fp+tn))), by hand for 431, 30, 30, 116: LR+ 4.55
    [3.30, 6.27], LR- 0.08 [0.06, 0.12]; t with 606 degrees of freedom instead of 1.96 changes the last digit at most.
    """
    found = likelihood_ratios(table(431, 30, 30, 116))
    plus, minus = found["positive"], found["negative"]
    for metric, a, b, c, d in ((plus, 431, 461, 30, 146), (minus, 30, 461, 116, 146)):
        value = a / b / (c / d)
        reach = np.exp(1.959964 * (1 / a - 1 / b + 1 / c - 1 / d) ** 0.5)
        assert (metric.value, metric.ci_low, metric.ci_high) == pytest.approx(
            (value, value / reach, value * reach), rel=5e-3
        )
    assert (plus.ci_low, minus.ci_low) == pytest.approx((3.304, 0.0574), rel=5e-3)


@pytest.mark.parametrize(
    ("cells", "plus", "minus"),
    [
        ((4, 0, 1, 5), None, "no false negative"),
        ((3, 1, 0, 6), "no false positive", None),
        ((0, 4, 1, 5), "no true positive", None),
        ((3, 1, 6, 0), None, "no true negative"),
        ((4, 0, 0, 6), "no false positive", "no false negative"),
        ((3, 1, 0, 0), "one class only", "one class only"),
    ],
)
def test_an_empty_cell_is_named_and_its_ratio_not_estimated(cells, plus, minus):
    found = likelihood_ratios(table(*cells))
    for name, why in (("positive", plus), ("negative", minus)):
        assert (found[name].value is None) == (why is not None), name
        assert why is None or found[name].method == f"not estimable: {why}"


def test_images_of_one_patient_are_one_patient_and_never_narrow_the_interval():
    one = likelihood_ratios(table(30, 10, 8, 52))["positive"]
    truth, predicted = np.repeat([1, 1, 0, 0], [30, 10, 8, 52]), np.repeat([1, 0, 1, 0], [30, 10, 8, 52])
    ids = np.repeat(np.arange(100), 4)
    copies = likelihood_ratios(sample_of(np.repeat(predicted, 4), np.repeat(truth, 4), ids))["positive"]
    assert (copies.value, copies.ci_low, copies.ci_high) == pytest.approx((one.value, one.ci_low, one.ci_high))
    mixed = sample_of(predicted, truth, np.arange(100) % 50)  # patients with both classes, whose errors cancel
    assert np.log(likelihood_ratios(mixed)["positive"].ci_high / one.value) > 0.98 * np.log(one.ci_high / one.value)


def test_one_patient_and_other_numbers_of_classes():
    alone = sample_of([1, 0, 1, 0], [1, 1, 0, 0], [3, 3, 3, 3])
    assert likelihood_ratios(alone)["positive"].method == "not estimable: fewer than 2 patients"
    probs = np.full((4, 3), 1 / 3)
    assert likelihood_ratios(make_sample(probs, [0, 1, 2, 0], range(4), None, positive=None, threshold=None)) == {}
    assert likelihood_ratios(sample_of([], [])) == {}


def test_the_limits_cover_the_true_ratio_of_clustered_images():
    """300 sets of 80 patients of 1 to 4 images, sensitivity 0.8, specificity 0.7; two sd of 300 draws are 0.025."""
    rng, inside = np.random.default_rng(0), np.zeros(2)
    for _ in range(300):
        ids = np.repeat(np.arange(80), rng.integers(1, 5, 80))
        truth = (rng.random(80) < 0.4)[ids]
        shared, own = rng.random(80)[ids], rng.random(len(ids))
        u = np.where((rng.random(80) < 0.5)[ids], shared, own)
        found = likelihood_ratios(sample_of(u < np.where(truth, 0.8, 0.3), truth, ids))
        for i, (name, value) in enumerate((("positive", 0.8 / 0.3), ("negative", 0.2 / 0.7))):
            inside[i] += found[name].ci_low <= value <= found[name].ci_high
    assert (inside / 300 >= 0.925).all() and (inside / 300 <= 0.985).all(), inside / 300


def test_errors_on_both_images_of_a_patient_cancel_in_the_ratio():
    """40 patients with an image of each class, 20 predicted positive on both, 10 on the positive one, 10 on neither.

    Shares 30/40 and 20/40; by patient the errors of ln 1.5 are -2/3, 4/3 and 0 over 40: variance 0.0171 with 40/39. That
    of independent images, 1/120 + 1/40 = 1/30, is larger and is taken.
    """
    predicted = np.r_[np.repeat([1, 1, 0], [20, 10, 10]), np.repeat([1, 0, 0], [20, 10, 10])]
    found = likelihood_ratios(sample_of(predicted, np.repeat([1, 0], 40), np.tile(np.arange(40), 2)))["positive"]
    reach = np.exp(student.ppf(0.975, 39) / 30**0.5)
    assert (found.value, found.ci_high) == pytest.approx((1.5, 1.5 * reach))
