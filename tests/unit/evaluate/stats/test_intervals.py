"""Intervals against formulas written out here and against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from plainfilm.evaluate.stats import auroc_interval, intervals
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
    roc = auroc_interval.curve(scores, labels)
    assert roc.area == pytest.approx(area, abs=1e-12)
    assert auroc_interval._variance(roc, np.unique(ids, return_inverse=True)[1]) == pytest.approx(variance, rel=1e-10)


def test_one_image_per_patient_gives_delongs_variance():
    scores, labels, _ = ranked_images()
    wins = (scores[labels][:, None] > scores[~labels]) + 0.5 * (scores[labels][:, None] == scores[~labels])
    expected = wins.mean(1).var(ddof=1) / labels.sum() + wins.mean(0).var(ddof=1) / (~labels).sum()
    assert auroc_interval._variance(auroc_interval.curve(scores, labels), np.arange(120)) == pytest.approx(
        expected, rel=1e-10
    )


def test_the_area_by_hand_with_a_tie():
    roc = auroc_interval.curve(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]))
    assert roc.area == (2 + 1.5) / 4
    assert roc.placed.tolist() == [1.0, 0.75, 0.75, 1.0]


def test_a_large_sample_needs_no_square_of_memory():
    rng = np.random.default_rng(0)
    labels = rng.random(200_000) < 0.5  # all pairs would be 80 GB
    found = auroc_interval.auroc_interval(
        [auroc_interval.curve(rng.normal(size=200_000) + labels, labels)], np.arange(200_000)
    )
    assert found.value == pytest.approx(norm.cdf(2**-0.5), abs=0.005)
    assert found.low < norm.cdf(2**-0.5) < found.high


@pytest.mark.parametrize(("scores", "area"), [([0, 1, 2, 3], 1.0), ([3, 2, 1, 0], 0.0), ([1, 1, 1, 1], 0.5)])
def test_an_area_without_variance_gets_the_bound_of_the_rarer_class(scores, area):
    labels = np.array([False, False, True, True])
    found = auroc_interval.auroc_interval([auroc_interval.curve(np.array(scores, float), labels)], np.arange(4))
    assert found.value == area and found.method.startswith("wilson/patients of the rarer class")
    assert (found.low, found.high) == intervals.wilson(area, 2)


def test_a_class_in_one_patient_has_no_variance():
    scores, labels, _ = ranked_images()
    ids = np.where(labels, 0, np.arange(120))
    roc = auroc_interval.curve(scores, labels)
    assert np.isnan(auroc_interval._variance(roc, ids))
    assert auroc_interval.auroc_interval([roc], ids).method.startswith("wilson/")


def test_several_curves_lie_around_their_mean():
    rng = np.random.default_rng(0)
    y, ids = rng.integers(0, 3, 300), np.arange(300)
    curves = [auroc_interval.curve(rng.normal(size=300) + (y == c), y == c) for c in range(3)]
    found = auroc_interval.auroc_interval(curves, ids)
    alone = [auroc_interval.auroc_interval([roc], ids) for roc in curves]
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
    assumed = 1 + (2 - 1) * intervals._ASSUMED_ICC
    assert intervals._design_effect(hits, ids) == pytest.approx((2 * observed + assumed) / 3)


def test_a_perfect_score_of_clustered_images_assumes_a_correlation():
    ids = np.repeat(np.arange(45), 4)
    assert intervals._design_effect(np.ones(180, bool), ids) == 1 + 3 * intervals._ASSUMED_ICC
    found = intervals.proportion(np.ones(180, bool), ids)
    assert intervals.wilson(1.0, 45)[0] < found.low < intervals.wilson(1.0, 180)[0] and found.high == 1


def test_one_patient_weighs_as_one_image():
    assert intervals._effective_n(np.arange(50) < 40, np.zeros(50, int)) == 1


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
    alone = auroc_interval.auroc_interval([auroc_interval.curve(scores, labels)], np.arange(120))
    copies = auroc_interval.auroc_interval(
        [auroc_interval.curve(*(np.repeat(a, 5) for a in (scores, labels)))], np.repeat(range(120), 5)
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
    weights = intervals._cluster_draws(ids, 500, np.random.default_rng(0))
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
    assert intervals._effective_n(hits, rng.integers(0, m, n)) <= n


# --- each number by hand, at a level that is not the default -----------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_quantiles_are_those_of_scipy(level):
    assert intervals._normal_quantile(level) == pytest.approx(norm.ppf((1 + level) / 2))
    for df in (1, 4, 7.5, 200):
        assert intervals.t_quantile(level, df) == pytest.approx(student.ppf((1 + level) / 2, df))
    assert intervals.t_quantile(level, 0) == intervals.t_quantile(level, 1)  # finite


def test_an_interval_is_clipped_and_holds_its_value():
    assert intervals.around(0.5, -0.2, 1.4, "m") == (0.5, 0.0, 1.0, "m")
    assert intervals.around(0.5, 0.6, 0.4, "m") == (0.5, 0.5, 0.5, "m")
    assert intervals.around(1.5, 0.2, 2.4, "m", 2.0) == (1.5, 0.2, 2.0, "m")


@pytest.mark.parametrize("level", [0.8, 0.99])
@pytest.mark.parametrize(("hits", "n"), [(1, 3), (7, 9), (0, 4), (4, 4)])
def test_wilsons_limits_are_those_of_scipy_at_any_level(hits, n, level):
    expected = binomtest(hits, n).proportion_ci(level, method="wilson")
    assert intervals.wilson(hits / n, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)
    found = intervals.proportion(np.arange(n) < hits, np.arange(n), level)
    assert found[1:3] == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_kishs_numbers_by_hand():
    assert intervals.kish_patients(np.array([0, 1, 1, 2, 2, 2])) == pytest.approx(36 / 14)
    assert intervals.kish_weights(np.array([0.5, 0.5, 1.0])) == pytest.approx(4 / 1.5)


def test_residuals_of_a_ratio_by_hand():
    hits, among = np.array([1, 1, 0, 1, 0], bool), np.array([1, 1, 1, 1, 0], bool)
    # 3 of 4; by cluster 2 of 2, 1 of 2 and 0 of 0: (2 - 3/4 * 2) / 4, (1 - 3/4 * 2) / 4 and 0
    found = intervals.cluster_residuals(hits, among, np.array([0, 0, 1, 1, 2]))
    assert found == pytest.approx([0.125, -0.125, 0])
    # an image that does not count is no hit either
    assert intervals.cluster_residuals(np.ones(5, bool), among, np.array([0, 0, 1, 1, 2])) == pytest.approx([0, 0, 0])


def test_the_design_effect_of_the_rarer_outcome_by_hand():
    """Two hits of five images, in patients of 2, 2 and 1; the rarer outcome is the hit, and two patients hold one."""
    hits, ids = np.array([1, 0, 1, 0, 0], bool), np.array([0, 0, 1, 1, 2])
    residuals = np.array([1 - 0.8, 1 - 0.8, 0 - 0.4]) / 5
    observed = 3 / 2 * (residuals**2).sum() / (0.4 * 0.6 / 4)
    assumed = 1 + (5 / (25 / 9) - 1) * 0.5
    expected = (2 * observed + assumed) / 3
    assert expected < 1 and intervals._design_effect(hits, ids) == 1  # images that differ within a patient tell more
    alike = np.array([1, 1, 0, 0, 0], bool)
    residuals = np.array([2 - 0.8, 0 - 0.8, 0 - 0.4]) / 5
    observed = 3 / 2 * (residuals**2).sum() / (0.4 * 0.6 / 4)
    assert intervals._design_effect(alike, ids) == pytest.approx((1 * observed + assumed) / 2)
    # the other way round the rarer outcome is the miss, held by the same patient
    assert intervals._design_effect(~alike, ids) == pytest.approx((1 * observed + assumed) / 2)


def test_the_design_effect_of_an_even_outcome_counts_the_patients_with_a_miss():
    hits, ids = np.array([1, 1, 0, 0], bool), np.array([0, 0, 1, 2])
    residuals = np.array([2 - 1.0, -0.5, -0.5]) / 4
    observed = 3 / 2 * (residuals**2).sum() / (0.25 / 3)
    assumed = 1 + (4 / (16 / 6) - 1) * 0.5
    assert intervals._design_effect(hits, ids) == pytest.approx((2 * observed + assumed) / 3)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_effective_number_of_images_by_hand(level):
    hits, ids = np.repeat([1, 1, 1, 1, 0, 0], 2).astype(bool), np.repeat(np.arange(6), 2)
    shrink = (norm.ppf((1 + level) / 2) / student.ppf((1 + level) / 2, 5)) ** 2
    assert intervals._effective_n(hits, ids, level) == pytest.approx(12 / intervals._design_effect(hits, ids) * shrink)
    assert intervals._effective_n(hits, np.arange(12), level) == 12
    low, high = intervals.wilson(2 / 3, intervals._effective_n(hits, ids, level), level)
    assert intervals.proportion(hits, ids, level)[1:3] == (low, high)


def test_one_image_of_each_patient_has_no_design_effect():
    assert intervals._design_effect(np.arange(6) < 2, np.arange(6)) == 1


def test_two_different_draws_have_a_spread():
    found = intervals.drawn_mean(0.5, np.array([0.4, 0.6]), seen=1e9, rarer=100.0, patients=10, level=0.9)
    half = student.ppf(0.95, 9) * 0.1 / 0.25
    assert found[1:3] == pytest.approx((expit(-half), expit(half)))


def test_one_patient_of_many_images_weighs_as_one_whatever_its_outcome():
    for hits in (np.arange(7) < 3, np.ones(7, bool)):
        assert intervals._design_effect(hits, np.zeros(7, int)) == 7


def test_a_difference_by_hand():
    found = intervals.difference(Interval(0.8, 0.5, 0.9, "m"), Interval(0.6, 0.2, 1.0, "other"))
    assert found == (pytest.approx(0.2), pytest.approx(0.2 - 0.5), pytest.approx(0.2 + (0.01 + 0.16) ** 0.5), "mover/m")


def test_correlations_by_hand():
    found = intervals._correlation(np.array([[1.0, -1, 0], [1, 0, -1], [0, 0, 0]]))
    assert found == pytest.approx(np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]))
    small = intervals._correlation(np.array([[0.1, -0.1, 0], [1, 0, -1]]))
    assert small == pytest.approx(np.array([[1, 0.5], [0.5, 1]]))


def test_draws_are_the_same_however_many_are_held_at_once(monkeypatch):
    ids, rng = np.array([0, 0, 1, 2, 2, 2, 3]), np.random.default_rng(3)
    losses = rng.random(7)
    both = {"one": lambda w: w @ losses, "two": lambda w: np.stack([w @ losses, w.sum(axis=1)], 1)}
    whole = intervals.bootstrap(both, ids, 11, 5)
    assert whole["one"].shape == (11,) and whole["two"].shape == (11, 2)
    for chunk in (1, 7, 15, 70):
        monkeypatch.setattr(intervals, "CHUNK", chunk)
        again = intervals.bootstrap(both, ids, 11, 5)
        assert again["one"] == pytest.approx(whole["one"]) and again["two"] == pytest.approx(whole["two"])


def test_a_variance_says_something_inside_the_boundary_alone():
    assert intervals.usable(0.5, 0.01) and not intervals.usable(0.5, 0.0) and not intervals.usable(0.5, float("nan"))
    assert not intervals.usable(0.0, 0.01) and not intervals.usable(1.0, 0.01)


def expit(x: float) -> float:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_limits_on_the_logit_scale_by_hand(level):
    """Variance 0.01 of 0.75 patients and the bound 0.25 / 5 of a quarter: 0.02 on average."""
    half = student.ppf((1 + level) / 2, 29) * 0.02**0.5 / 0.25
    found = intervals.logit_limits(0.5, 0.01, seen=0.75, rarer=5.0, patients=30, level=level)
    assert found == pytest.approx((expit(-half), expit(half)))
    # above the bound the variance stays
    half = student.ppf((1 + level) / 2, 29) * 0.04**0.5 / (0.8 * 0.2)
    found = intervals.logit_limits(0.8, 0.04, seen=0.75, rarer=16.0, patients=30, level=level)
    assert found == pytest.approx((expit(np.log(4) - half), expit(np.log(4) + half)))


@pytest.mark.parametrize("top", [1.0, 2.0])
def test_the_interval_of_a_drawn_mean_by_hand(top):
    draws = np.array([0.4, 0.5, 0.6, np.nan, np.inf]) * top  # variance 0.02 / 3 of the three that are numbers
    half = student.ppf(0.95, 9) * (0.02 / 3) ** 0.5 / 0.25
    found = intervals.drawn_mean(0.5 * top, draws, seen=1e9, rarer=100.0, patients=10, level=0.9, top=top)
    assert found == (
        0.5 * top,
        pytest.approx(expit(-half) * top),
        pytest.approx(expit(half) * top),
        "bootstrap (logit)",
    )


@pytest.mark.parametrize("top", [1.0, 2.0])
@pytest.mark.parametrize("draws", [[], [0.3], [0.5, 0.5]])
def test_without_two_different_draws_a_mean_has_wilsons_limits(draws, top):
    found = intervals.drawn_mean(0.5 * top, np.array(draws), seen=9, rarer=7.0, patients=10, level=0.9, top=top)
    assert found.value == 0.5 * top and found.method == "wilson (bootstrap degenerate)"
    assert found[1:3] == tuple(top * limit for limit in intervals.wilson(0.5, 7.0, 0.9))


@pytest.mark.parametrize("r", [-0.6, 0.3])
def test_the_interval_of_a_correlation_is_fishers(r):
    """With many patients behind the variance: tanh(atanh r +- t sd / (1 - r^2))."""
    draws = r + np.array([-0.02, 0.0, 0.02])
    half = student.ppf(0.95, 9) * (0.0008 / 3) ** 0.5 / (1 - r**2)
    found = intervals.drawn_correlation(r, draws, seen=1e9, rarer=100.0, patients=10, level=0.9)
    assert found[1:3] == pytest.approx((np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)))
    assert found.value == r and found.method == "bootstrap (fisher z)"
    low = intervals.wilson(0.65, 7.0, 0.9)[0]
    alike = intervals.drawn_correlation(0.3, np.full(9, 0.3), seen=1e9, rarer=7.0, patients=10, level=0.9)
    assert alike.low == pytest.approx(2 * low - 1) and alike.method == "wilson (bootstrap degenerate)"


@pytest.mark.parametrize(("patients", "level"), [(5, 0.9), (2, 0.8), (200, 0.95)])
def test_the_band_around_a_distance_reaches_as_far_out_as_a_t_interval(patients, level):
    draws, moves = np.linspace(0.05, 0.15, 1001), np.linspace(0.0, 0.1, 1001)
    reach = norm.cdf((patients / (patients - 1)) ** 0.5 * student.ppf((1 + level) / 2, patients - 1))
    found = intervals.drawn_distance(0.12, draws, moves, rarer=400.0, patients=patients, level=level)
    assert found == (0.12, pytest.approx(0.12 - 0.1 * reach), pytest.approx(0.05 + 0.1 * reach), "bootstrap (band)")


def test_a_distance_that_no_draw_moves_has_wilsons_limits_at_its_level():
    found = intervals.drawn_distance(0.1, np.full(9, 0.1), np.zeros(9), rarer=12.0, patients=30, level=0.8)
    assert found[1:3] == intervals.wilson(0.1, 12.0, 0.8)
    # one patient: the draws are all alike, and still there is a width
    assert intervals.drawn_distance(0.0, np.zeros(9), np.zeros(9), rarer=1.0, patients=1).high > 0.5


def test_95_percent_is_meant_where_no_level_is_given():
    hits, ids = np.arange(9) < 6, np.array([0, 0, 1, 1, 2, 3, 4, 5, 6])
    draws, parts = np.linspace(0.3, 0.6, 50), {"rarer": 6.0, "patients": 7}
    roc = auroc_interval.curve(np.array([0.9, 0.3, 0.5, 0.1, 0.4, 0.6, 0.2, 0.8, 0.7]), hits)
    for found in (
        lambda **level: intervals.wilson(0.4, 7, **level),
        lambda **level: intervals._effective_n(hits, ids, **level),
        lambda **level: intervals.proportion(hits, ids, **level),
        lambda **level: intervals.logit_limits(0.4, 0.01, seen=3, **parts, **level),
        lambda **level: intervals.drawn_mean(0.4, draws, seen=3, **parts, **level),
        lambda **level: intervals.drawn_correlation(0.4, draws, seen=3, **parts, **level),
        lambda **level: intervals.drawn_distance(0.4, draws, draws / 3, **parts, **level),
        lambda **level: auroc_interval.auroc_interval([roc], ids, **level),
    ):
        assert found() == found(level=0.95) != found(level=0.94)


# --- areas -----------------------------------------------------------------------------------------------------------


def test_the_error_of_an_area_by_cluster_by_hand():
    """Placements 1 and 0.5 of the positives, 0.5 and 1 of the negatives around 0.75, each over two images."""
    roc = auroc_interval.curve(np.array([0.9, 0.3, 0.5, 0.1]), np.array([True, True, False, False]))
    pos, neg = auroc_interval.errors_by_cluster(roc, np.array([0, 1, 1, 3]))
    assert pos == pytest.approx([0.125, -0.125, 0, 0]) and neg == pytest.approx([0, -0.125, 0, 0.125])


def three_curves(seed=0, n=90):
    rng = np.random.default_rng(seed)
    y, ids = rng.integers(0, 3, n), np.arange(n) // 2
    scores = rng.normal(size=(n, 3)) + np.eye(3)[y]
    return [auroc_interval.curve(scores[:, c], y == c) for c in range(3)], scores, y, ids


def test_the_variance_of_a_mean_area_is_that_of_its_summed_placements():
    """Pairs compared one by one, errors added by patient over the three curves, times m / (m - 1)."""
    curves, scores, y, ids = three_curves()
    error = np.zeros(45)
    for c in range(3):
        own, other = np.flatnonzero(y == c), np.flatnonzero(y != c)
        wins = np.array([[float(scores[i, c] > scores[j, c]) for j in other] for i in own])
        for i, mean in zip(own, wins.mean(axis=1), strict=True):
            error[ids[i]] += (mean - wins.mean()) / len(own) / 3
        for j, mean in zip(other, wins.mean(axis=0), strict=True):
            error[ids[j]] += (mean - wins.mean()) / len(other) / 3
    expected = 45 / 44 * (error**2).sum()
    assert auroc_interval._mean_variance(curves, ids) == pytest.approx(expected)
    assert auroc_interval._mean_variance(curves[:1], ids) == auroc_interval._variance(curves[0], ids)
    assert np.isnan(auroc_interval._mean_variance(curves, np.where(y == 1, 0, ids + 1)))  # class 1 in one patient


def test_a_perfect_curve_beside_another_halves_its_error():
    scores, labels, ids = ranked_images(n=80)
    noisy, perfect = auroc_interval.curve(scores, labels), auroc_interval.curve(labels.astype(float), labels)
    clusters = np.unique(ids, return_inverse=True)[1]
    m, error = clusters.max() + 1, np.add(*auroc_interval.errors_by_cluster(noisy, clusters)) / 2
    assert auroc_interval._mean_variance([noisy, perfect], clusters) == pytest.approx(m / (m - 1) * (error**2).sum())
    assert auroc_interval._mean_variance([perfect, perfect], clusters) == 0


def test_the_patients_behind_an_area_by_hand():
    labels = np.array([True, True, True, False, False, False])
    roc = auroc_interval.curve(np.array([0.9, 0.8, 0.2, 0.3, 0.1, 0.0]), labels)
    ids = np.array([0, 0, 1, 2, 3, 4])
    assert auroc_interval._rarer_patients([roc], ids) == pytest.approx(9 / 5)  # positives: two images and one
    assert auroc_interval.misplaced_patients([roc], ids) == 1  # the positive at 0.2, and the negative at 0.3
    worse = auroc_interval.curve(np.array([0.1, 0.2, 0.9, 0.6, 0.7, 0.8]), labels)  # area 1/3: the well placed ones
    assert worse.area == pytest.approx(1 / 3) and auroc_interval.misplaced_patients([worse], ids) == 1
    assert auroc_interval.misplaced_patients([worse], np.array([0, 0, 1, 2, 2, 2])) == 1
    perfect = auroc_interval.curve(np.array([3.0, 3, 3, 0, 0, 0]), labels)
    assert (
        auroc_interval.misplaced_patients([perfect], ids) == auroc_interval.misplaced_patients([roc, perfect], ids) == 0
    )
    assert auroc_interval.misplaced_patients([perfect, roc], ids) == 0
    assert auroc_interval.misplaced_patients([worse], np.arange(6)) == 1  # the positive at 0.9
    turned = auroc_interval.curve(
        -np.array([0.9, 0.8, 0.2, 0.3, 0.1, 0.0]), ~labels
    )  # the same with the classes turned round
    assert auroc_interval._rarer_patients([turned], ids) == pytest.approx(9 / 5)
    scores = np.array([0.9, 0.2, 0.2, 0.3, 0.1, 0.0])  # two positive patients are misplaced, and one negative
    for curve in (auroc_interval.curve(scores, labels), auroc_interval.curve(-scores, ~labels)):
        assert auroc_interval.misplaced_patients([curve], ids) == 1
    # an area of exactly 0.5: of the positives two are misplaced, of the negatives three
    half = auroc_interval.curve(np.array([0.9, 0.15, 0.15, 0.1, 0.2, 0.3, 0.4]), np.arange(7) < 3)
    assert half.area == 0.5 and auroc_interval.misplaced_patients([half], np.arange(7)) == 2
    even = auroc_interval.curve(np.zeros(6), labels)  # 0.5: all tied, none well placed
    assert auroc_interval.misplaced_patients([even], ids) == 2


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_of_an_area_is_made_of_its_parts(level):
    curves, _, _, ids = three_curves()
    area = np.mean([roc.area for roc in curves])
    variance = auroc_interval._mean_variance(curves, ids)
    half = student.ppf((1 + level) / 2, 44) * variance**0.5 / (area * (1 - area))
    found = auroc_interval.auroc_interval(curves, ids, level)
    assert found.method == "obuchowski/logit" and found.value == pytest.approx(area)
    logit = np.log(area / (1 - area))
    seen, bound = (
        auroc_interval.misplaced_patients(curves, ids),
        area * (1 - area) / auroc_interval._rarer_patients(curves, ids),
    )
    mixed = (seen * variance + 0.25 * bound) / (seen + 0.25)
    half *= max(1.0, (mixed / variance) ** 0.5)
    assert found[1:3] == pytest.approx((expit(logit - half), expit(logit + half)))


def test_an_area_without_variance_has_wilsons_limits_at_its_level():
    roc = auroc_interval.curve(np.arange(4.0), np.array([False, False, True, True]))
    assert auroc_interval.auroc_interval([roc], np.arange(4), 0.8)[1:3] == intervals.wilson(1.0, 2, 0.8)
