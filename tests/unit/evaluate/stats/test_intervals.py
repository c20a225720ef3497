"""Intervals against formulas written out here and against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from plainfilm.evaluate.stats import delong, intervals
from plainfilm.evaluate.stats.intervals import Interval


def brute_force_obuchowski(scores, labels, ids):
    """Area and variance as printed in Obuchowski 1997, every pair compared: n^2 on purpose."""
    pos, neg = scores[labels], scores[~labels]
    wins = (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])
    area, n_pos, n_neg = wins.mean(), len(pos), len(neg)
    x, y = wins.mean(axis=1), wins.mean(axis=0)
    clusters = np.unique(ids)
    m, m_pos, m_neg = len(clusters), len(np.unique(ids[labels])), len(np.unique(ids[~labels]))
    a = np.array([(x[ids[labels] == c] - area).sum() for c in clusters])
    b = np.array([(y[ids[~labels] == c] - area).sum() for c in clusters])
    s10 = m_pos / ((m_pos - 1) * n_pos) * (a**2).sum()
    s01 = m_neg / ((m_neg - 1) * n_neg) * (b**2).sum()
    s11 = m / (m - 1) * (a * b).sum()
    return area, s10 / n_pos + s01 / n_neg + 2 * s11 / (n_pos * n_neg)


def ranked_images(seed=0, n=120, ties=True):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    scores = rng.normal(size=n) + labels
    return (np.round(scores, 1) if ties else scores), labels, rng.integers(0, 40, n)


@pytest.mark.parametrize("ties", [False, True])
def test_the_clustered_variance_is_that_of_the_paper(ties):
    scores, labels, ids = ranked_images(ties=ties)
    area, variance = brute_force_obuchowski(scores, labels, ids)
    roc = delong.curve(scores, labels)
    assert roc.area == pytest.approx(area, abs=1e-12)
    assert delong.variance(roc, np.unique(ids, return_inverse=True)[1]) == pytest.approx(variance, rel=1e-10)


def test_one_image_per_patient_gives_delongs_variance():
    scores, labels, _ = ranked_images()
    wins = (scores[labels][:, None] > scores[~labels]) + 0.5 * (scores[labels][:, None] == scores[~labels])
    expected = wins.mean(1).var(ddof=1) / labels.sum() + wins.mean(0).var(ddof=1) / (~labels).sum()
    assert delong.variance(delong.curve(scores, labels), np.arange(120)) == pytest.approx(expected, rel=1e-10)


def test_the_area_by_hand_with_a_tie():
    roc = delong.curve(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]))
    assert roc.area == (2 + 1.5) / 4
    assert roc.placed.tolist() == [1.0, 0.75, 0.75, 1.0]


def test_a_large_sample_needs_no_square_of_memory():
    rng = np.random.default_rng(0)
    labels = rng.random(200_000) < 0.5  # all pairs would be 80 GB
    found = delong.auroc_interval([delong.curve(rng.normal(size=200_000) + labels, labels)], np.arange(200_000))
    assert found.value == pytest.approx(norm.cdf(2**-0.5), abs=0.005)
    assert found.low < norm.cdf(2**-0.5) < found.high


@pytest.mark.parametrize(("scores", "area"), [([0, 1, 2, 3], 1.0), ([3, 2, 1, 0], 0.0), ([1, 1, 1, 1], 0.5)])
def test_an_area_without_variance_gets_the_bound_of_the_rarer_class(scores, area):
    labels = np.array([False, False, True, True])
    found = delong.auroc_interval([delong.curve(np.array(scores, float), labels)], np.arange(4))
    assert found.value == area and found.method.startswith("wilson/patients of the rarer class")
    assert (found.low, found.high) == intervals.wilson(area, 2)


def test_a_class_in_one_patient_has_no_variance():
    scores, labels, _ = ranked_images()
    ids = np.where(labels, 0, np.arange(120))
    roc = delong.curve(scores, labels)
    assert np.isnan(delong.variance(roc, ids))
    assert delong.auroc_interval([roc], ids).method.startswith("wilson/")


def test_several_curves_lie_around_their_mean():
    rng = np.random.default_rng(0)
    y, ids = rng.integers(0, 3, 300), np.arange(300)
    curves = [delong.curve(rng.normal(size=300) + (y == c), y == c) for c in range(3)]
    found = delong.auroc_interval(curves, ids)
    alone = [delong.auroc_interval([roc], ids) for roc in curves]
    assert found.value == pytest.approx(np.mean([each.value for each in alone]))
    assert found.high - found.low < min(each.high - each.low for each in alone)


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (17, 20), (20, 20), (970, 1000)])
def test_one_image_per_patient_gives_the_plain_wilson_interval(hits, n):
    found = intervals.proportion(np.arange(n) < hits, np.arange(n))
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert found.value == hits / n and found.method == "wilson/deff"
    assert found[1:3] == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_design_effect_by_hand():
    # patients of 2: right-right x 4, wrong-wrong x 2; p = 2/3, n = 12, residuals 2/3 and -4/3
    hits, ids = np.repeat([1, 1, 1, 1, 0, 0], 2).astype(bool), np.repeat(np.arange(6), 2)
    observed = (6 / 5 * (4 * (2 / 3) ** 2 + 2 * (4 / 3) ** 2) / 12**2) / ((2 / 9) / 11)
    assumed = 1 + (2 - 1) * intervals.ASSUMED_ICC
    assert intervals.design_effect(hits, ids) == pytest.approx((2 * observed + assumed) / 3)


def test_a_perfect_score_of_clustered_images_assumes_a_correlation():
    ids = np.repeat(np.arange(45), 4)
    assert intervals.design_effect(np.ones(180, bool), ids) == 1 + 3 * intervals.ASSUMED_ICC
    found = intervals.proportion(np.ones(180, bool), ids)
    assert intervals.wilson(1.0, 45)[0] < found.low < intervals.wilson(1.0, 180)[0] and found.high == 1


def test_one_patient_weighs_as_one_image():
    assert intervals.effective_n(np.arange(50) < 40, np.zeros(50, int)) == 1


def test_copies_within_a_patient_tell_less_than_new_patients():
    rng = np.random.default_rng(0)
    hits, ids = rng.random(60) < 0.8, np.arange(60)
    widths = {
        name: found.high - found.low
        for name, found in {
            "alone": intervals.proportion(hits, ids),
            "copies": intervals.proportion(np.repeat(hits, 5), np.repeat(ids, 5)),
            "new": intervals.proportion(np.repeat(hits, 5), np.arange(300)),
        }.items()
    }
    assert widths["copies"] == pytest.approx(widths["alone"], rel=0.06)
    assert widths["new"] < 0.5 * widths["alone"]


def test_copies_do_not_shrink_the_interval_of_an_area():
    scores, labels, _ = ranked_images()
    alone = delong.auroc_interval([delong.curve(scores, labels)], np.arange(120))
    copies = delong.auroc_interval(
        [delong.curve(*(np.repeat(a, 5) for a in (scores, labels)))], np.repeat(range(120), 5)
    )
    assert copies[:3] == pytest.approx(alone[:3], abs=1e-9)


def test_f1_limits_are_those_of_jaccard_transformed():
    found = intervals.dice(Interval(0.6, 0.5, 0.8, "wilson/deff"))
    assert found[:3] == pytest.approx((0.75, 2 / 3, 8 / 9))
    assert found.method == "wilson/deff (jaccard)"


def test_mover_by_hand_for_uncorrelated_and_for_equal_parts():
    parts = [Interval(0.9, 0.8, 0.94, "wilson/deff"), Interval(0.7, 0.6, 0.73, "wilson/deff")]
    apart = intervals.mean_of(parts, [np.array([1.0, -1, 0, 0]), np.array([0, 0, 1.0, -1])])
    assert apart[:3] == pytest.approx((0.8, 0.8 - 0.02**0.5 / 2, 0.8 + 0.05 / 2))
    together = intervals.mean_of(parts, [np.array([1.0, -1, 0]), np.array([2.0, -2, 0])])
    assert together[:3] == pytest.approx((0.8, 0.7, 0.835))
    opposed = intervals.mean_of(parts, [np.array([1.0, -1, 0]), np.array([-1.0, 1, 0])])
    assert opposed == apart and apart.method == "mover/wilson/deff"


def test_draws_take_whole_clusters():
    ids = np.array([0, 0, 0, 1, 1, 2])
    weights = intervals.cluster_draws(ids, 500, np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 3, 5]].sum(axis=1) == 3).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(6), abs=0.15)


def test_the_bootstrap_is_seeded_and_leaves_the_global_generator_alone():
    ids, before = np.arange(30), np.random.get_state()[1].copy()
    mean = {"mean": lambda weights: weights @ np.arange(30.0) / 30}
    first, again, other = (intervals.bootstrap(mean, ids, 100, seed)["mean"] for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    assert (np.random.get_state()[1] == before).all()


def test_the_variance_of_drawn_means_is_that_of_a_mean():
    losses = np.random.default_rng(0).random(200)
    draws = intervals.bootstrap({"x": lambda w: w @ losses / w.sum(axis=1)}, np.arange(200), 4000, 0)["x"]
    assert draws.var() == pytest.approx(losses.var() / 200, rel=0.1)


def test_draws_without_spread_give_way_to_a_named_bound():
    found = intervals.drawn_mean(1.0, np.ones(100), seen=0, rarer=12.0, patients=30)
    assert found.method == "wilson (bootstrap degenerate)"
    assert (found.low, found.high) == intervals.wilson(1.0, 12.0)
    found = intervals.drawn_distance(0.1, np.full(100, 0.1), np.zeros(100), rarer=12.0, patients=30)
    assert found.method == "wilson (bootstrap degenerate)" and found.low < 0.1 < found.high


def test_undefined_draws_are_left_out():
    draws = np.random.default_rng(0).normal(0.8, 0.02, 500)
    options = {"seen": 40.0, "rarer": 40.0, "patients": 80}
    with_nan = np.append(draws, [np.nan] * 50)
    assert intervals.drawn_mean(0.8, with_nan, **options) == intervals.drawn_mean(0.8, draws, **options)


def test_the_band_around_a_distance_reaches_as_far_down_as_the_gaps_move():
    draws, moves = np.linspace(0.05, 0.15, 1001), np.linspace(0.0, 0.1, 1001)
    found = intervals.drawn_distance(0.08, draws, moves, rarer=400.0, patients=10**6)
    assert (found.low, found.high) == (0.0, pytest.approx(0.1475, abs=1e-4))  # 0.08 - 0.0975 is below 0
    assert intervals.drawn_distance(0.3, draws, moves, rarer=400.0, patients=10**6).low == pytest.approx(
        0.2025, abs=1e-4
    )


@given(st.integers(1, 60), st.integers(1, 20), st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_a_proportion_lies_in_an_interval_with_width(n, m, p, seed):
    rng = np.random.default_rng(seed)
    found = intervals.proportion(rng.random(n) < p, rng.integers(0, m, n))
    assert 0 <= found.low <= found.value <= found.high <= 1 and found.high - found.low > 0.01


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 1000))
@settings(max_examples=100, deadline=None)
def test_independent_images_are_the_narrowest_case(n, m, seed):
    rng = np.random.default_rng(seed)
    hits = rng.random(n) < 0.9
    assert intervals.effective_n(hits, rng.integers(0, m, n)) <= n
