"""Intervals against formulas written out here and against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, norm
from scipy.stats import t as student

from plainfilm.evaluate.stats import auroc_interval, bootstrap_limits, intervals, macro_mean
from plainfilm.evaluate.stats.intervals import Effective, Interval
from plainfilm.evaluate.stats.macro_mean import Part


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
    assert (found.low, found.high) == pytest.approx(intervals.wilson(area, 2))


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
def test_one_image_per_patient_gives_the_exact_interval(hits, n):
    found = intervals.proportion(np.arange(n) < hits, np.arange(n))
    expected = binomtest(hits, n).proportion_ci(method="exact")
    assert found.value == hits / n and found.method == "korn-graubard/deff"
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
    assert 0.025 ** (1 / 45) < found.low < 0.025 ** (1 / 180) and found.high == 1


def test_one_patient_weighs_as_one_image():
    assert intervals.effective(np.arange(50) < 40, np.zeros(50, int)).at(0.95) == 1


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
    found = intervals.dice(Interval(0.6, 0.5, 0.8, "korn-graubard/deff"))
    assert found[:3] == pytest.approx((0.75, 2 / 3, 8 / 9))
    assert found.method == "korn-graubard/deff (jaccard)"


def part_of(hits: int, n: int, df: float = np.inf, at: int = 0) -> Part:
    """A class of `n` images, one a patient; `at`: its place among the clusters, where no other class is."""
    residuals = np.zeros(8)
    residuals[2 * at : 2 * at + 2] = 1, -1
    limits = intervals.clopper_pearson(hits / n, n)
    return Part(Interval(hits / n, *limits, "korn-graubard/deff"), Effective(float(n), df), residuals)


def test_two_alike_classes_are_one_proportion_of_their_images():
    """9 of 10 and 7 of 10: 4 / (1/10 + 1/10) = 20 images with a common rate of 0.8, as 16 of 20."""
    found = macro_mean.mean_of([part_of(9, 10), part_of(7, 10, at=1)])
    expected = binomtest(16, 20).proportion_ci(method="exact")
    assert found == (0.8, pytest.approx(expected.low), pytest.approx(expected.high), "mean/korn-graubard/deff")


def test_a_class_of_few_images_decides_the_mean():
    """12 of 20 and 1,000 of 1,000: variance 0.6 x 0.4 / 20 / 4 = 0.003, so 0.8 x 0.2 / 0.003 = 53.3 images."""
    parts = [part_of(12, 20), part_of(1000, 1000, at=1)]
    assert macro_mean._worth(parts, 0.8) == (pytest.approx(0.16 / 0.003), np.inf)
    found, few, many = macro_mean.mean_of(parts), intervals.clopper_pearson(0.6, 20), 0.025**0.001
    assert found.high == pytest.approx(intervals.clopper_pearson(0.8, 0.16 / 0.003)[1])
    assert found.low == pytest.approx((few[0] + many) / 2)  # downwards there is not more room than both classes have
    assert found.low > intervals.clopper_pearson(0.8, 0.16 / 0.003)[0]
    # all of 5 are right and 900 of 1,000: that says nothing of the rate of the few, but of their number:
    # 4 / (1/5 + 1/1000) = 19.9 images; upwards there is not more room than both classes have
    parts = [part_of(5, 5), part_of(900, 1000, at=1)]
    found, room = macro_mean.mean_of(parts), intervals.clopper_pearson(0.9, 1000)[1]
    assert found.low == pytest.approx(intervals.clopper_pearson(0.95, 4 / 0.201)[0])
    assert found.high == pytest.approx((1 + room) / 2) and found.high < intervals.clopper_pearson(0.95, 4 / 0.201)[1]


def test_correlated_classes_tell_less_and_opposed_ones_no_more():
    apart = macro_mean._worth([part_of(9, 10), part_of(7, 10, at=1)], 0.8).images
    together = macro_mean._worth([part_of(9, 10), part_of(7, 10)], 0.8).images
    assert (apart, together) == (pytest.approx(20), pytest.approx(10))  # (2 / sqrt(10))^2 / 4 = 1 / 10
    opposed = part_of(7, 10)._replace(residuals=-part_of(7, 10).residuals)
    assert macro_mean._worth([part_of(9, 10), opposed], 0.8).images == pytest.approx(20)
    one = part_of(9, 10)
    assert macro_mean.mean_of([one])[:3] == pytest.approx(one.interval[:3])


def test_the_degrees_of_freedom_of_a_mean_are_satterthwaites():
    """Shares 1/10 and 1/30 of the variance on 4 and 9: (4/30)^2 / (1/100/4 + 1/900/9)."""
    parts = [part_of(9, 10, df=4.0), part_of(27, 30, df=9.0, at=1)]
    expected = (4 / 30) ** 2 / (1 / 400 + 1 / 8100)
    assert macro_mean._worth(parts, 0.9).df == pytest.approx(expected)
    parts = [part_of(9, 10, df=0.3), part_of(27, 30, at=1)]  # less than one degree counts as one; inf adds nothing
    assert macro_mean._worth(parts, 0.9).df == pytest.approx((4 / 30) ** 2 / (1 / 100))


def test_the_f1_of_a_class_is_worth_what_its_slope_says():
    """J = 0.6 of 20: the slope is 2 / 1.6^2, so the variance of F1 is 0.24 / 20 x 0.6103; F1 (1 - F1) = 0.1875."""
    part = macro_mean.f1_of(part_of(12, 20))
    assert part.interval.value == pytest.approx(0.75)
    assert part.worth.images == pytest.approx(0.1875 / (0.24 / 20 * (2 / 1.6**2) ** 2))
    assert macro_mean.f1_of(part_of(20, 20)).worth.images == 40 and macro_mean.f1_of(part_of(0, 20)).worth.images == 10


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=6))
def test_a_mean_lies_in_an_interval_with_width_that_grows_with_its_level(drawn):
    parts = [part_of(min(hits, n), n, at=at) for n, hits, at in drawn]
    found, wider = macro_mean.mean_of(parts), macro_mean.mean_of(parts, 0.99)
    assert 0 <= wider.low <= found.low <= found.value <= found.high <= wider.high <= 1
    assert found.high - found.low > 0.01


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
    found = bootstrap_limits.drawn_distance(0.1, np.full(100, 0.1), np.zeros(100), rarer=12.0, patients=30)
    assert found.method == "wilson (bootstrap degenerate)" and found.low < 0.1 < found.high


def test_undefined_draws_are_left_out():
    draws = np.random.default_rng(0).normal(0.8, 0.02, 500)
    options = {"seen": 40.0, "rarer": 40.0, "patients": 80}
    with_nan = np.append(draws, [np.nan] * 50)
    assert intervals.drawn_mean(0.8, with_nan, **options) == intervals.drawn_mean(0.8, draws, **options)


def test_the_band_around_a_distance_reaches_as_far_down_as_the_gaps_move():
    draws, moves = np.linspace(0.05, 0.15, 1001), np.linspace(0.0, 0.1, 1001)
    found = bootstrap_limits.drawn_distance(0.08, draws, moves, rarer=400.0, patients=10**6)
    assert (found.low, found.high) == (0.0, pytest.approx(0.1475, abs=1e-4))  # 0.08 - 0.0975 is below 0
    assert bootstrap_limits.drawn_distance(0.3, draws, moves, rarer=400.0, patients=10**6).low == pytest.approx(
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
    assert intervals.effective(hits, rng.integers(0, m, n)).at(0.95) <= n


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
def test_limits_are_those_of_scipy_at_any_level(hits, n, level):
    expected = binomtest(hits, n).proportion_ci(level, method="wilson")
    assert intervals.wilson(hits / n, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)
    expected = binomtest(hits, n).proportion_ci(level, method="exact")
    assert intervals.clopper_pearson(hits / n, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)
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
    """Two hits of five images, in patients of 2, 2 and 1; the rarer outcome is the hit, and two patients hold one.

    Without a patient of two images the residual is divided by 3/5, without the one of one image by 4/5. A patient with
    a hit counts as its share of the squared sizes, 4 of 9, of the 25/9 effective patients.
    """
    hits, ids = np.array([1, 0, 1, 0, 0], bool), np.array([0, 0, 1, 1, 2])
    moved = np.array([(1 - 0.8) / 3, (1 - 0.8) / 3, (0 - 0.4) / 4])
    observed = 2 / 3 * (moved**2).sum() / (0.4 * 0.6 / 4)
    assumed = 1 + (5 / (25 / 9) - 1) * 0.5
    events = 25 / 9 * 8 / 9
    expected = (events * observed + assumed) / (events + 1)
    assert expected < 1 and intervals._design_effect(hits, ids) == 1  # images that differ within a patient tell more
    alike = np.array([1, 1, 0, 0, 0], bool)
    moved = np.array([(2 - 0.8) / 3, (0 - 0.8) / 3, (0 - 0.4) / 4])
    observed, events = 2 / 3 * (moved**2).sum() / (0.4 * 0.6 / 4), 25 / 9 * 4 / 9
    assert intervals._design_effect(alike, ids) == pytest.approx((events * observed + assumed) / (events + 1))
    # the other way round the rarer outcome is the miss, held by the same patient
    assert intervals._design_effect(~alike, ids) == pytest.approx((events * observed + assumed) / (events + 1))


def test_the_design_effect_of_an_even_outcome_counts_the_patients_with_a_miss():
    hits, ids = np.array([1, 1, 0, 0], bool), np.array([0, 0, 1, 2])
    moved = np.array([(2 - 1.0) / 2, -0.5 / 3, -0.5 / 3])
    observed = 2 / 3 * (moved**2).sum() / (0.25 / 3)
    assumed, events = 1 + (4 / (16 / 6) - 1) * 0.5, 16 / 6 * 2 / 6
    assert intervals._design_effect(hits, ids) == pytest.approx((events * observed + assumed) / (events + 1))


def test_an_event_of_a_small_patient_says_little_about_clustering():
    """15 patients of 10 images and 85 of one: ten wrong images of small ones weigh as 0.22 of 34.8 patients."""
    ids = np.repeat(np.arange(100), np.where(np.arange(100) < 15, 10, 1))
    small, large = (~np.isin(ids, who) for who in (np.arange(90, 100), [0]))
    assert intervals._patients_with_event(small, ids) == pytest.approx(235**2 / 1585 * 10 / 1585)
    assert intervals._patients_with_event(large, ids) == pytest.approx(235**2 / 1585 * 100 / 1585)
    assert intervals._design_effect(small, ids) > 3 > intervals._design_effect(small, np.arange(235))
    even = np.arange(40) // 2  # of equally large patients it is their number
    assert intervals._patients_with_event(~np.isin(even, [3, 4, 7]), even) == pytest.approx(3)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_effective_number_of_images_by_hand(level):
    hits, ids = np.repeat([1, 1, 1, 1, 0, 0], 2).astype(bool), np.repeat(np.arange(6), 2)
    shrink = (norm.ppf((1 + level) / 2) / student.ppf((1 + level) / 2, 5)) ** 2
    images = intervals.effective(hits, ids).at(level)
    assert images == pytest.approx(12 / intervals._design_effect(hits, ids) * shrink)
    assert intervals.effective(hits, np.arange(12)) == (12, np.inf) and Effective(12.0, np.inf).at(level) == 12
    assert intervals.proportion(hits, ids, level)[1:3] == intervals.clopper_pearson(2 / 3, images, level)
    # patients of 1 and 3 images: (16 / 10) - 1 degrees of freedom, which count as one
    assert intervals.effective(np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 1])).df == pytest.approx(0.6)


@pytest.mark.parametrize("n", [1.0, 7.3, 30.0, 400.5])
def test_exact_limits_solve_their_equations_and_rise_with_the_value(n):
    """Clopper and Pearson's tails of a beta distribution, also of fractional counts; 0 and 1 by hand."""
    values = np.linspace(0, 1, 21)
    limits = np.array([intervals.clopper_pearson(value, n, 0.9) for value in values])
    assert limits[0].tolist() == [0, pytest.approx(1 - 0.05 ** (1 / n))]
    assert limits[-1].tolist() == [pytest.approx(0.05 ** (1 / n)), 1]
    assert (np.diff(limits, axis=0) >= 0).all() and (limits[:, 0] < limits[:, 1]).all()
    for value, (low, high) in zip(values[1:-1], limits[1:-1], strict=True):
        assert beta.cdf(low, value * n, n - value * n + 1) == pytest.approx(0.05)
        if high < 1 - 1e-6:  # nearer to 1 the tail is not resolved by a float
            assert beta.cdf(high, value * n + 1, n - value * n) == pytest.approx(0.95)


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
    found = macro_mean._correlation(np.array([[1.0, -1, 0], [1, 0, -1], [0, 0, 0]]))
    assert found == pytest.approx(np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]))
    small = macro_mean._correlation(np.array([[0.1, -0.1, 0], [1, 0, -1]]))
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
    found = bootstrap_limits.drawn_correlation(r, draws, seen=1e9, rarer=100.0, patients=10, level=0.9)
    assert found[1:3] == pytest.approx((np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)))
    assert found.value == r and found.method == "bootstrap (fisher z)"
    low = intervals.wilson(0.65, 7.0, 0.9)[0]
    alike = bootstrap_limits.drawn_correlation(0.3, np.full(9, 0.3), seen=1e9, rarer=7.0, patients=10, level=0.9)
    assert alike.low == pytest.approx(2 * low - 1) and alike.method == "wilson (bootstrap degenerate)"


@pytest.mark.parametrize(("patients", "level"), [(5, 0.9), (2, 0.8), (200, 0.95)])
def test_the_band_around_a_distance_reaches_as_far_out_as_a_t_interval(patients, level):
    draws, moves = np.linspace(0.05, 0.15, 1001), np.linspace(0.0, 0.1, 1001)
    reach = norm.cdf((patients / (patients - 1)) ** 0.5 * student.ppf((1 + level) / 2, patients - 1))
    found = bootstrap_limits.drawn_distance(0.12, draws, moves, rarer=400.0, patients=patients, level=level)
    assert found == (0.12, pytest.approx(0.12 - 0.1 * reach), pytest.approx(0.05 + 0.1 * reach), "bootstrap (band)")


def test_a_distance_that_no_draw_moves_has_wilsons_limits_at_its_level():
    found = bootstrap_limits.drawn_distance(0.1, np.full(9, 0.1), np.zeros(9), rarer=12.0, patients=30, level=0.8)
    assert found[1:3] == intervals.wilson(0.1, 12.0, 0.8)
    # one patient: the draws are all alike, and still there is a width
    assert bootstrap_limits.drawn_distance(0.0, np.zeros(9), np.zeros(9), rarer=1.0, patients=1).high > 0.5


def test_95_percent_is_meant_where_no_level_is_given():
    hits, ids = np.arange(9) < 6, np.array([0, 0, 1, 1, 2, 3, 4, 5, 6])
    draws, parts = np.linspace(0.3, 0.6, 50), {"rarer": 6.0, "patients": 7}
    roc = auroc_interval.curve(np.array([0.9, 0.3, 0.5, 0.1, 0.4, 0.6, 0.2, 0.8, 0.7]), hits)
    for found in (
        lambda **level: intervals.wilson(0.4, 7, **level),
        lambda **level: intervals.clopper_pearson(0.4, 7, **level),
        lambda **level: macro_mean.mean_of([part_of(4, 9), part_of(5, 9)], **level),
        lambda **level: intervals.proportion(hits, ids, **level),
        lambda **level: intervals.logit_limits(0.4, 0.01, seen=3, **parts, **level),
        lambda **level: intervals.drawn_mean(0.4, draws, seen=3, **parts, **level),
        lambda **level: bootstrap_limits.drawn_correlation(0.4, draws, seen=3, **parts, **level),
        lambda **level: bootstrap_limits.drawn_distance(0.4, draws, draws / 3, **parts, **level),
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
    # class 1 in one patient: its curve alone has no variance
    assert np.isnan(auroc_interval._mean_variance(curves[1:2], np.where(y == 1, 0, ids + 1)))


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
    assert auroc_interval._rarer_patients(roc, ids) == pytest.approx(9 / 5)  # positives: two images and one
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
    assert auroc_interval._rarer_patients(turned, ids) == pytest.approx(9 / 5)
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
    """The variance of the mean, and of each curve a ninth of what its own variance lacks."""
    curves, _, _, ids = three_curves()
    area, variance = np.mean([roc.area for roc in curves]), auroc_interval._mean_variance(curves, ids)
    for roc in curves:
        own, seen = auroc_interval._variance(roc, ids), auroc_interval.misplaced_patients([roc], ids)
        bound = area * (1 - area) / auroc_interval._rarer_patients(roc, ids)
        variance += max(0.0, (seen * own + 0.25 * bound) / (seen + 0.25) - own) / 9
    half = student.ppf((1 + level) / 2, 44) * variance**0.5 / (area * (1 - area))
    found, logit = auroc_interval.auroc_interval(curves, ids, level), np.log(area / (1 - area))
    assert found.method == "obuchowski/logit" and found.value == pytest.approx(area)
    assert found[1:3] == pytest.approx((expit(logit - half), expit(logit + half)))


def test_a_perfect_curve_among_others_lacks_the_variance_of_the_mean_area():
    """Area 1, no variance seen: the bound at the mean area of 0.9, over the two patients of the rarer class."""
    roc = auroc_interval.curve(np.arange(6.0), np.arange(6) > 3)
    assert auroc_interval._unseen_variance(roc, np.arange(6), 0.9) == pytest.approx(0.09 / 2)
    assert auroc_interval._unseen_variance(roc, np.array([0, 1, 2, 3, 4, 4]), 0.9) == pytest.approx(0.09 / 1)


def test_the_patients_behind_a_mean_area_are_those_of_its_worst_case():
    """2 and 8 patients: sd sqrt(A (1 - A)) (1/sqrt(2) + 1/sqrt(8)) / 2 at most, as of 32/9 patients."""
    few, more = (auroc_interval.curve(np.arange(20.0), np.arange(20) >= 20 - n) for n in (2, 8))
    assert auroc_interval._patients_behind([few], np.arange(20)) == pytest.approx(2)
    assert auroc_interval._patients_behind([few, more], np.arange(20)) == pytest.approx(32 / 9)


def test_an_area_near_one_of_few_patients_is_not_anything_between_0_and_1():
    """Five positive patients, one pair of 1,000 misranked: on the logit scale alone [0.000, 1.000]."""
    scores, labels = np.append(np.arange(200.0), [198.5, 200, 201, 202, 203]), np.arange(205) >= 200
    found = auroc_interval.auroc_interval([auroc_interval.curve(scores, labels)], np.arange(205))
    assert found.value == pytest.approx(0.999) and found.high < 1
    assert found.low == pytest.approx(intervals.wilson(found.value, 5)[0]) and found.low > 0.5


def test_whether_any_curve_has_two_patients_of_each_class():
    roc = auroc_interval.curve(np.arange(6.0), np.arange(6) > 3)
    other = auroc_interval.curve(np.arange(6.0), np.arange(6) > 0)
    assert auroc_interval.has_variance([roc], np.arange(6))
    assert not auroc_interval.has_variance([roc], np.array([0, 1, 2, 3, 4, 4]))  # both positives of one patient
    assert not auroc_interval.has_variance([other], np.arange(6))
    assert auroc_interval.has_variance([other, roc], np.arange(6))


# --- two areas over the same images of one class ---------------------------------------------------------------------


def three_groups(seed=0, images=1):
    """Scores of negatives and of two groups of positives, and which of them each image is of: 0, 1 or 2."""
    rng = np.random.default_rng(seed)
    group = np.resize([0, 1, 2, 0, 1], 60)
    return np.round(rng.normal(size=60) + 1.2 * (group > 0), 1), group, np.arange(60) // images


def ranked(scores, group, ids, own, turned=False):
    rows = (group == own) | (group == 0)
    labels = (group[rows] == 0) if turned else (group[rows] > 0)
    return auroc_interval.Ranked(auroc_interval.curve(scores[rows], labels), ids[rows])


@pytest.mark.parametrize("turned", [False, True])
def test_the_variance_of_a_gap_over_shared_images_is_that_of_every_pair(turned):
    """One image a patient: two variances of means, and that of the differences in the shared class (DeLong's three)."""
    scores, group, ids = three_groups()
    sign = -1 if turned else 1
    wins = [np.sign(sign * (scores[group == own][:, None] - scores[group == 0])) / 2 + 0.5 for own in (1, 2)]
    own = [each.mean(axis=1) for each in wins]
    shared = wins[0].mean(axis=0) - wins[1].mean(axis=0)
    expected = sum(each.var(ddof=1) / len(each) for each in own) + shared.var(ddof=1) / len(shared)
    sides = [ranked(scores, group, ids, side, turned) for side in (1, 2)]
    found = auroc_interval.shared_gap(*sides, shared=turned)
    unseen = sum(auroc_interval._unseen_variance(*each, each.roc.area) for each in sides)
    assert found.value == pytest.approx(wins[0].mean() - wins[1].mean())
    assert found.variance == pytest.approx(expected + unseen)
    parts = np.array([*(each.var(ddof=1) / len(each) for each in own), shared.var(ddof=1) / len(shared)])
    assert found.df == pytest.approx(parts.sum() ** 2 / (parts**2 / (np.array([24, 12, 24]) - 1)).sum())


def test_a_patient_in_all_three_groups_adds_its_errors_before_they_are_squared():
    scores, group, ids = three_groups(images=5)  # each patient: two negatives, two of the one and one of the other
    sides = [ranked(scores, group, ids, side) for side in (1, 2)]
    error = np.zeros(12)
    for sign, side in zip((1, -1), sides, strict=True):
        error += sign * np.add(*auroc_interval.errors_by_cluster(*side))
    unseen = sum(auroc_interval._unseen_variance(*each, each.roc.area) for each in sides)
    found = auroc_interval.shared_gap(*sides, shared=False)
    assert found.variance == pytest.approx(12 / 11 * (error**2).sum() + unseen)


def test_the_limits_of_a_gap_are_students():
    gap = auroc_interval.SharedGap(0.1, 0.0004, 9.0)
    half = student.ppf(0.95, 9) * 0.02
    assert gap.at(0.9) == (0.1, pytest.approx(0.1 - half), pytest.approx(0.1 + half), "obuchowski/shared class (t)")
    assert auroc_interval.SharedGap(0.9, 0.04, 9.0).at(0.95).high == 1
    perfect = auroc_interval.Ranked(auroc_interval.curve(np.arange(6.0), np.arange(6) > 3), np.arange(6))
    assert auroc_interval.shared_gap(perfect, perfect, shared=False) is None


def test_an_area_without_variance_has_wilsons_limits_at_its_level():
    roc = auroc_interval.curve(np.arange(4.0), np.array([False, False, True, True]))
    found = auroc_interval.auroc_interval([roc], np.arange(4), 0.8)
    assert found[1:3] == pytest.approx(intervals.wilson(1.0, 2, 0.8))
