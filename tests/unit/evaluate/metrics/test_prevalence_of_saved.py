"""PPV and NPV at another prevalence: the values by hand, the intervals by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.evaluate.metrics.measure import rate_metric
from plainfilm.evaluate.metrics.prevalence import by_prevalence, restated
from plainfilm.evaluate.metrics.sample import make_sample
from plainfilm.evaluate.stats.intervals import wilson
from plainfilm.runs.metrics_file import MetricsDocument, Number


def document(sensitivity: Number, specificity: Number, positive: str | None = "P", **more: object) -> MetricsDocument:
    return MetricsDocument.model_validate({
        "split": "test", "threshold": 0.5, "positive": positive, "notes": [], "metrics_at_half": {},
        "metrics": {"sensitivity": sensitivity, "specificity": specificity},
        "confusion": {"labels": ["N", "P"], "rows": [[1, 1], [1, 1]]}, **more,
    })  # fmt: skip


def share(hits: int, n: int) -> Number:
    low, high = wilson(hits / n, n, 0.95)
    return Number(value=hits / n, ci_low=low, ci_high=high, n=n)


def test_the_values_by_hand():
    """Sensitivity 0.9, specificity 0.8, prevalence 0.1, of 100 images: 9 TP and 18 FP; 72 TN and 1 FN."""
    rows = by_prevalence(document(share(90, 100), share(80, 100)), (0.1, 0.5))
    assert rows[0].ppv.value == pytest.approx(9 / 27)
    assert rows[0].npv.value == pytest.approx(72 / 73)
    assert rows[1].ppv.value == pytest.approx(0.9 / 1.1)


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.9, 0.8), (0.97, 0.6), (0.6, 0.98)])
def test_the_intervals_have_their_nominal_coverage(sensitivity: float, specificity: float):
    rng, n, prevalence, draws = np.random.default_rng(3), 150, 0.05, 1500
    true_ppv = sensitivity * prevalence / (sensitivity * prevalence + (1 - specificity) * (1 - prevalence))
    true_npv = specificity * (1 - prevalence) / (specificity * (1 - prevalence) + (1 - sensitivity) * prevalence)
    inside = np.zeros(2)
    for found, spared in zip(rng.binomial(n, sensitivity, draws), rng.binomial(n, specificity, draws), strict=True):
        row = by_prevalence(document(share(int(found), n), share(int(spared), n)), (prevalence,))[0]
        inside += [row.ppv.ci_low <= true_ppv <= row.ppv.ci_high, row.npv.ci_low <= true_npv <= row.npv.ci_high]
    assert np.all(inside / draws > 0.93)
    assert np.all(inside / draws < 0.985)


def test_perfect_rates_still_have_a_width():
    row = by_prevalence(document(share(50, 50), share(50, 50)), (0.1,))[0]
    assert (row.ppv.value, row.npv.value) == (1, 1)
    assert row.ppv.ci_low < 0.9 and row.npv.ci_low < 1


def test_nothing_predicted_positive_has_no_ppv():
    row = by_prevalence(document(share(0, 50), share(50, 50)), (0.1,))[0]
    assert row.ppv.value is None and row.ppv.method == "not estimable: no image predicted positive"
    assert row.npv.value == pytest.approx(0.9)


def test_without_rates_or_with_more_classes_there_is_no_table():
    missing = Number(value=None, method="not estimable: one class only")
    assert by_prevalence(document(missing, share(5, 10))) == []
    assert by_prevalence(document(share(5, 10), share(5, 10), positive=None)) == []


def test_values_saved_by_evaluate_take_precedence():
    saved = {"prevalence": 0.02, "ppv": {"value": 0.3}, "npv": {"value": 0.9}}
    assert [row.prevalence for row in by_prevalence(document(share(5, 10), share(5, 10), at_prevalence=[saved]))] == [
        0.02
    ]


def test_the_saved_rates_say_what_the_images_say():
    truth, predicted = np.repeat([1, 1, 0, 0], [90, 10, 40, 160]), np.repeat([1, 0, 1, 0], [90, 10, 40, 160])
    people = np.arange(len(truth))
    sample = make_sample(np.eye(2)[predicted], truth, people, people, positive=1, threshold=0.5)
    rates = [Number.model_validate(rate_metric(name, [1], sample, 0.95).model_dump()) for name in ("sensitivity", "specificity")]  # fmt: skip
    for here, saved in zip(restated(sample, [0.01, 0.3]), by_prevalence(document(*rates), (0.01, 0.3)), strict=True):
        for own, other in ((here.ppv, saved.ppv), (here.npv, saved.npv)):
            assert (other.value, other.ci_low, other.ci_high) == pytest.approx((own.value, own.ci_low, own.ci_high))
            assert other.method == own.method
