"""A share of positive images sets the threshold; whether it explains the scores is tested on simulations with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.recalibrate.prevalence import bbse_share, em_share, nearest_mixture, threshold_for

EVEN = 0.5


def drawn(n, share, seed, spread=1.0, moved=0.0):
    """Calibrated scores at a share of EVEN, from log odds N(+-2, 4) whose ratio is the log odds itself; and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < share
    log_odds = rng.normal(np.where(truth, 2.0, -2.0), 2.0) * spread + moved
    return 1 / (1 + np.exp(-log_odds)), truth


def test_the_threshold_by_hand():
    scores = np.array([0.1, 0.2, 0.3, 0.6, 0.9])
    assert threshold_for(scores, 0.4) == pytest.approx(0.45)  # two of five, between 0.3 and 0.6
    assert threshold_for(scores, 0.2) == pytest.approx(0.75)
    assert threshold_for(np.full(4, 0.5), 0.9) <= 0.5  # equal scores cannot be divided: all is nearer to 0.9 than none


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_no_other_threshold_comes_nearer_to_the_share(scores, share):
    scores = np.array(scores)
    chosen = abs((scores >= threshold_for(scores, share)).mean() - share)
    others = [abs((scores >= t).mean() - share) for t in [0.0, *scores, 1.0]]
    assert chosen <= min(others) + 1e-12


def test_the_stated_share_gives_nearly_the_best_accuracy():
    scores, truth = drawn(4000, 0.2, seed=1, moved=1.5)  # all scores too high, and few positives
    best = max((((scores >= t) == truth).mean()) for t in np.quantile(scores, np.linspace(0, 1, 400)))
    assert ((scores >= threshold_for(scores, 0.2)) == truth).mean() > best - 0.01
    assert ((scores >= 0.5) == truth).mean() < best - 0.05


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_em_and_bbse_find_a_moved_prevalence(share):
    known, positive = drawn(3000, EVEN, seed=2)
    scores, _ = drawn(3000, share, seed=3)
    assert em_share(scores, EVEN) == pytest.approx(share, abs=0.03)
    assert bbse_share(scores, known, positive, 0.5) == pytest.approx(share, abs=0.04)


def test_em_by_hand():
    """Two scores of 1 and 0: the posterior is certain whatever the share, so the share is 1/2 of them."""
    assert em_share(np.array([1.0, 0.0]), 0.3) == pytest.approx(0.5)


def test_bbse_says_nothing_where_the_rates_are_equal():
    assert bbse_share(np.array([0.2, 0.8]), np.array([0.6, 0.7]), np.array([True, False]), 0.5) is None


def test_a_moved_prevalence_is_accepted_and_another_kind_of_change_rejected():
    known, positive = drawn(400, EVEN, seed=4)
    p_of_share = [nearest_mixture(drawn(300, 0.25, seed=10 + i)[0], known, positive).p for i in range(20)]
    assert np.mean(np.array(p_of_share) < 0.05) <= 0.15
    found = nearest_mixture(drawn(300, 0.25, seed=5, spread=0.4, moved=0.5)[0], known, positive)
    assert found.p <= 0.01
    assert nearest_mixture(drawn(2000, 0.25, seed=6)[0], known, positive).share == pytest.approx(0.25, abs=0.05)
