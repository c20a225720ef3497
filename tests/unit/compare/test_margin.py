"""Equivalence within a margin: by hand, and how often it is claimed falsely and rightly on simulated differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from plainfilm.compare.margin import MARGIN_LEVEL, check_margin, margin_text, verdict
from plainfilm.errors import UsageError
from plainfilm.evaluate.stats.paired_tests import auroc_statistic, difference_interval
from wording import lacking


@pytest.mark.parametrize(
    ("limits", "different", "says"),
    [
        ([(-0.009, 0.008)], False, "equivalent"),
        ([(-0.009, -0.001)], True, "equivalent"),  # not 0, and still within the margin
        ([(-0.010, 0.008)], False, "undecided"),  # on the margin is not inside
        ([(-0.008, 0.010)], False, "undecided"),
        ([(-0.030, -0.012)], True, "different"),
        ([(-0.030, -0.002)], True, "different"),
        ([(-0.030, 0.020)], False, "undecided"),
        ([(-0.004, 0.004), (-0.020, 0.020)], False, "undecided"),  # other seeds might differ
        ([(-0.020, 0.020), (-0.004, 0.004)], False, "undecided"),  # other patients might
        ([(-0.004, 0.004), (-0.009, 0.009)], False, "equivalent"),
    ],
)
def test_a_verdict_by_hand(limits, different, says):
    assert verdict(limits, 0.01, different=different) == says


@pytest.mark.parametrize("margin", [0.0, -0.01, 1.0, 2.0, float("nan"), float("inf")])
def test_a_margin_that_is_no_difference_of_two_scores_is_refused(margin):
    with pytest.raises(UsageError, match=r"--margin .*above 0 and below 1, e\.g\. --margin 0\.01"):
        check_margin(margin)


@pytest.mark.parametrize("margin", [None, 1e-6, 0.01, 0.999])
def test_other_margins_are_taken(margin):
    check_margin(margin)


def test_the_text_names_both_metrics_the_level_and_the_margin():
    assert lacking(margin_text(0.025), "AUROC and accuracy alike", "90 %", "+-0.025", "0.05", "not adjusted") == []


def equivalent_share(rng, images: int, shares: tuple[float, float], margin: float, trials: int) -> float:
    """How often two classifiers are found equivalent: `shares` of the images are right by the first, the second alone."""
    counts = rng.multinomial(images, [*shares, 1 - sum(shares)], size=trials)
    found = 0
    for only_a, only_b, both in counts:
        again = rng.multinomial(images, np.array([only_a, only_b, both]) / images, size=400)
        drawn = (again[:, 0] - again[:, 1]) / images  # what a bootstrap of patients with one image each gives
        interval = difference_interval((only_a - only_b) / images, drawn, images, MARGIN_LEVEL)
        found += verdict([(interval.low, interval.high)], margin, different=False) == "equivalent"
    return found / trials


def test_a_difference_as_large_as_the_margin_is_seldom_called_equivalent_and_none_mostly_is():
    rng, trials = np.random.default_rng(0), 1500
    noise = 3 * (0.05 * 0.95 / trials) ** 0.5
    at_margin = equivalent_share(rng, 1500, (0.06, 0.04), 0.02, trials)
    assert 0.05 - noise - 0.01 <= at_margin <= 0.05 + noise  # accuracies are a lattice: a little below
    assert equivalent_share(rng, 1500, (0.07, 0.04), 0.02, 500) < 0.02  # beyond it
    # equal: sd 0.0073, so the 90 % interval is inside +-0.03 unless the estimate is 2.5 sd away
    assert equivalent_share(rng, 1500, (0.04, 0.04), 0.03, 500) > 0.95
    assert equivalent_share(rng, 60, (0.04, 0.04), 0.02, 500) < 0.15  # too few images show nothing


def test_aurocs_that_differ_by_the_margin_are_seldom_called_equivalent():
    """Two scores of 150 patients, binormal: areas 0.921 and 0.856, which differ by the margin; then equal areas."""
    rng, found = np.random.default_rng(1), {"margin": 0, "none": 0}
    labels, trials = np.arange(150) % 2 == 0, 120
    margin = float(norm.cdf(2.0 / 2**0.5) - norm.cdf(1.5 / 2**0.5))
    for _ in range(trials):
        shared = rng.normal(size=150)
        for name, gap in (("margin", 0.5), ("none", 0.0)):
            own = [0.9 * shared + 0.19**0.5 * rng.normal(size=150) for _ in range(2)]
            both = [auroc_statistic(d * labels + noise, labels) for d, noise in zip((2.0, 2.0 - gap), own, strict=True)]
            weights = rng.multinomial(150, np.full(150, 1 / 150), size=120).astype(float)
            value = float((both[0](np.ones((1, 150))) - both[1](np.ones((1, 150))))[0])
            drawn = both[0](weights) - both[1](weights)
            interval = difference_interval(value, drawn, 150, MARGIN_LEVEL)
            found[name] += verdict([(interval.low, interval.high)], margin, different=False) == "equivalent"
    assert found["margin"] / trials <= 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5
    assert found["none"] / trials > 0.8
