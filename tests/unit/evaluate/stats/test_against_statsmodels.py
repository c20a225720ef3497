"""Numbers of statsmodels 0.15.0, made once in an environment of its own; each test holds the lines that made them.

import numpy as np, statsmodels.api as sm
from statsmodels.stats.proportion import proportion_confint
"""

import numpy as np
import pytest

from plainfilm.evaluate.stats import auroc_interval, intervals

HITS = np.array([1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1], bool)
IDS = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 4, 5, 5, 6, 6, 7])


def test_exact_limits_of_a_fractional_count():
    """proportion_confint(18.4, 23.0, method="beta")"""
    assert intervals.clopper_pearson(0.8, 23.0) == pytest.approx((0.5823702724270827, 0.9357785777890455), abs=1e-10)


def test_the_variance_without_each_patient_is_that_of_mancl_and_derouen():
    """With 8 patients, times 7 / 8 for the jackknife:

    sm.GEE(HITS * 1.0, np.ones((20, 1)), IDS, family=sm.families.Gaussian()).fit(cov_type="bias_reduced").cov_params()
    """
    assert intervals._left_out_variance(HITS, IDS) == pytest.approx(0.012338453235958568 * 7 / 8, rel=1e-9)


def test_korn_and_graubards_limits_from_that_variance():
    """20 images of 8 patients (8, 2, 1, 3, 1, 2, 1 and 2); misses in those of 8, 1 and 2 images.

    kish = 400 / 88; events = kish * 69 / 88; assumed = 1 + (20 / kish - 1) / 2
    deff = (events * 0.0107961465814637 / (0.75 * 0.25 / 19) + assumed) / (events + 1)
    n = 20 / deff * (norm.ppf(0.975) / t.ppf(0.975, kish - 1)) ** 2; proportion_confint(0.75 * n, n, method="beta")
    """
    assert intervals._design_effect(HITS, IDS) == pytest.approx(1.4458879232412234, rel=1e-9)
    assert intervals.effective(HITS, IDS).at(0.95) == pytest.approx(6.220802487044146, rel=1e-9)
    found = intervals.proportion(HITS, IDS)
    assert (found.low, found.high) == pytest.approx((0.29452512242724527, 0.9799050401851269), abs=1e-9)


def test_the_clustered_variance_of_a_gap_over_shared_images():
    """y: the placement of each positive among the negatives; of a negative, its placement for a less that for b.

    win = {k: (np.sign(s[g == k][:, None] - s[g == 0]) + 1) / 2 for k in (1, 2)}
    y[g == 1], y[g == 2], y[g == 0] = win[1].mean(1), win[2].mean(1), win[1].mean(0) - win[2].mean(0)
    X, by_patient = np.stack([g == 1, g == 2, g == 0], 1) * 1.0, {"groups": ids, "use_correction": False}
    fit = sm.OLS(y, X).fit(cov_type="cluster", cov_kwds=by_patient)
    [1, -1, 1] @ fit.cov_params() @ [1, -1, 1]   # 12 patients with images of each kind: times 12 / 11
    """
    rng, g, ids = np.random.default_rng(0), np.resize([0, 1, 2, 0, 1], 60), np.arange(60) // 5
    s = np.round(rng.normal(size=60) + 1.2 * (g > 0), 1)
    sides = []
    for own in (1, 2):
        rows = (g == own) | (g == 0)
        sides.append(auroc_interval.Ranked(auroc_interval.curve(s[rows], g[rows] > 0), ids[rows]))
    unseen = sum(auroc_interval._unseen_variance(*each, each.roc.area) for each in sides)
    found = auroc_interval.shared_gap(*sides, shared=False)
    assert found.value == pytest.approx(-0.0008680555555554692, abs=1e-12)
    assert found.variance - unseen == pytest.approx(0.0077338826999742896 * 12 / 11, rel=1e-9)
