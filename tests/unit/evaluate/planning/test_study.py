"""Simulated studies have what was assumed of them, and are judged as exact enumeration says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from plainfilm.evaluate.planning.design import Design
from plainfilm.evaluate.planning.question import Question
from plainfilm.evaluate.planning.search import share_met
from plainfilm.evaluate.planning.study import Simulation, _draw_study
from plainfilm.evaluate.stats.intervals import proportion


def question(metric="accuracy", value=0.95, *, sizes=(1,), prevalence=0.5, **given) -> Question:
    rest = {"other": None, "width": None, "power": 0.8, "icc": 0.3, "correlation": 0.5}
    return Question(metric, value, design=Design.of_one_class(np.array(sizes), prevalence), **rest | given)


def spread(draws: int) -> float:
    """Three standard errors of a share of so many draws, at most."""
    return 3 * (0.25 / draws) ** 0.5


def test_a_design_counts_images_by_class():
    """Sizes 1 and 3, a quarter of the patients positive: 2 images a patient, 0.5 positive; (1 + 9) / (1 + 3) to each image."""
    design = Design.of_one_class(np.array([1, 3]), 0.25)
    assert (design.mean(), design.mean((1,)), design.mean((0,))) == pytest.approx((2, 0.5, 1.5))
    assert design.alike((1,)) == pytest.approx(2.5)
    mixed = Design.like(np.array([[2, 0], [1, 1]]))
    assert (mixed.mean(), mixed.mean((1,)), mixed.alike((0,)), mixed.alike((0, 1))) == pytest.approx((2, 0.5, 5 / 3, 2))


def test_patients_are_drawn_with_their_images():
    """Shares 0.375, 0.375, 0.125, 0.125 of (1, 0), (3, 0), (0, 1), (0, 3)."""
    design = Design.of_one_class(np.array([1, 3]), 0.25)
    patients, positive = design.draw(np.array([0.0, 0.8, 0.7, 0.9999]))
    assert patients.tolist() == [0, 1, 2, 2, 2, 3, 3, 3]
    assert positive.tolist() == [False, True, False, False, False, True, True, True]
    patients, positive = Design.like(np.array([[1, 2]])).draw(np.array([0.5, 0.2]))
    assert patients.tolist() == [0, 0, 0, 1, 1, 1] and positive.tolist() == [False, True, True] * 2


def pair_correlation(values, patients) -> float:
    """Of the first two images of each patient that has two."""
    first = np.flatnonzero(np.diff(patients, prepend=-1) > 0)
    first = first[first + 1 < len(patients)]
    first = first[patients[first] == patients[first + 1]]
    return float(np.corrcoef(values[first], values[first + 1])[0, 1])


@pytest.mark.parametrize(("metric", "share"), [("sensitivity", 0.25), ("specificity", 0.75), ("accuracy", 1.0)])
def test_rates_of_a_large_study_are_those_assumed(metric, share):
    asked = question(metric, 0.9, other=0.8, sizes=(1, 2, 3), prevalence=0.25, icc=0.4)
    study = _draw_study(asked, 60_000, (0, 0))
    assert len(study.patients) == pytest.approx(120_000 * share, rel=0.02)
    assert study.positive.mean() == pytest.approx(
        {"sensitivity": 1, "specificity": 0, "accuracy": 0.25}[metric], abs=0.01
    )
    right = study.scores < asked.scores.cuts
    assert right.mean(axis=0) == pytest.approx([0.9, 0.8], abs=0.01)
    assert np.corrcoef(right.T)[0, 1] == pytest.approx(0.5, abs=0.02)
    assert pair_correlation(right[:, 0], study.patients) == pytest.approx(0.4, abs=0.04)
    assert np.array_equal(np.unique(study.patients), np.arange(study.patients[-1] + 1))


def test_scores_of_a_large_study_have_the_areas_assumed():
    asked = question("auroc", 0.95, other=0.85, sizes=(1, 2, 3), icc=0.4)
    study = _draw_study(asked, 20_000, (0, 0))
    a, b = study.scores.T
    rng = np.random.default_rng(0)
    for scores, area in ((a, 0.95), (b, 0.85)):
        positive, negative = (rng.choice(scores[study.positive == side], 100_000) for side in (True, False))
        assert (positive > negative).mean() == pytest.approx(area, abs=0.006)
    inside = study.positive
    assert np.corrcoef(a[inside], b[inside])[0, 1] == pytest.approx(0.5, abs=0.02)
    assert pair_correlation(a[inside], study.patients[inside]) == pytest.approx(0.4, abs=0.04)


@pytest.mark.parametrize("metric", ["auroc", "sensitivity"])
def test_a_study_is_the_beginning_of_a_larger_one(metric):
    asked = question(metric, 0.9, other=0.8, sizes=(1, 4), icc=0.3)
    small, large = (_draw_study(asked, patients, (3, 7)) for patients in (40, 400))
    n = len(small.patients)
    assert 40 < n < len(large.patients)
    for one, other in zip(small, large, strict=True):
        assert np.array_equal(one, other[:n])
    assert not np.array_equal(small.scores, _draw_study(asked, 40, (3, 8)).scores)


def test_the_share_of_narrow_intervals_is_that_of_the_binomial():
    """One image each of 200 patients: intervals as evaluate makes them of every count, weighted by how often it comes."""
    n, p = 200, 0.95
    images = np.arange(n)
    made = [proportion(images < k, images) for k in range(n + 1)]
    widths = np.array([each.high - each.low for each in made])
    asked = question(value=p, width=float(widths[190]) + 1e-9)
    exact = float(binom.pmf(np.arange(n + 1), n, p)[widths <= asked.width].sum())
    assert 0.4 < exact < 0.8
    assert share_met(asked, Simulation(asked, 2000, 0).outcomes(n)) == pytest.approx(exact, abs=spread(2000))


def test_the_power_of_the_paired_test_is_that_of_exact_mcnemar():
    """0.95 against 0.9 correlated by 0.3: both right 0.855 + 0.3 sqrt(0.0475 x 0.09) = 0.87462."""
    n, both = 150, 0.95 * 0.9 + 0.3 * (0.95 * 0.05 * 0.9 * 0.1) ** 0.5
    only_a, only_b = 0.95 - both, 0.9 - both
    assert (only_a, only_b) == pytest.approx((0.07538, 0.02538), abs=1e-4)
    exact = sum(
        binom.pmf(d, n, only_a + only_b) * binom.pmf(k, d, only_a / (only_a + only_b))
        for d in range(45)
        for k in range(d + 1)
        if binomtest(k, d or 1).pvalue <= 0.05
    )
    asked = question(value=0.95, other=0.9, correlation=0.3)
    assert 0.3 < exact < 0.7
    assert share_met(asked, Simulation(asked, 600, 0).outcomes(n)) == pytest.approx(exact, abs=spread(600))


@pytest.mark.parametrize("metric", ["accuracy", "auroc"])
def test_two_equal_models_are_rarely_said_to_differ_although_images_of_a_patient_are_alike(metric):
    asked = question(metric, 0.85, other=0.85, sizes=(1, 8), icc=0.7)
    draws = 300
    assert share_met(asked, Simulation(asked, draws, 0).outcomes(80)) == pytest.approx(0.06, abs=0.04)


def test_a_study_that_can_show_nothing_has_an_endless_interval_or_p_one():
    rare = {"prevalence": 1e-9}
    assert Simulation(question("sensitivity", **rare), 1, 0).outcomes(10).tolist() == [np.inf]
    assert Simulation(question("auroc", **rare), 1, 0).outcomes(10).tolist() == [np.inf]
    assert Simulation(question("sensitivity", other=0.9, **rare), 1, 0).outcomes(10).tolist() == [1]


def test_a_long_simulation_says_how_far_it_is():
    events = []
    Simulation(question(), 120, 0, lambda what, facts: events.append((what, facts))).outcomes(10)
    assert events == [("studies", {"done": 50, "of": 120}), ("studies", {"done": 100, "of": 120})]
