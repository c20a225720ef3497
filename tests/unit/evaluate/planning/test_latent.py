"""Cuts of normal scores: values by hand, and scipy's bivariate normal distribution."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from plainfilm.errors import UsageError
from plainfilm.evaluate.planning.latent import cut_covariance, latent_correlation


@pytest.mark.parametrize(("r", "expected"), [(0.0, 0.0), (0.5, 1 / 12), (1.0, 1 / 4)])
def test_at_the_median_the_covariance_is_the_arc_sine_over_two_pi(r, expected):
    """Sheppard: asin(1/2) = pi / 6."""
    assert cut_covariance(0, 0, r) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("p", [0.3, 0.9, 0.995])
def test_a_cut_with_itself_has_the_variance_of_a_rate(p):
    assert cut_covariance(norm.ppf(p), norm.ppf(p), 1.0) == pytest.approx(p * (1 - p), rel=1e-6)


@pytest.mark.parametrize(("p", "q", "r"), [(0.9, 0.9, 0.5), (0.95, 0.97, 0.25), (0.6, 0.99, 0.8), (0.2, 0.995, 0.6)])
def test_the_covariance_is_that_of_the_bivariate_normal(p, q, r):
    h, k = norm.ppf(p), norm.ppf(q)
    both = multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf([h, k])
    assert cut_covariance(h, k, r) == pytest.approx(both - p * q, abs=2e-6)


def test_half_and_half_correlate_by_two_over_pi_of_the_arc_sine():
    """r = 2 / pi asin(rho), so rho = sin(0.3 pi / 2) = 0.45399."""
    assert latent_correlation(0.5, 0.5, 0.3) == pytest.approx(0.45399, abs=1e-5)


@settings(max_examples=50, deadline=None)
@given(p=st.floats(0.05, 0.995), r=st.floats(0, 0.99))
def test_the_scores_found_give_the_correlation_that_was_asked_for(p, r):
    latent = latent_correlation(p, p, r)
    h = norm.ppf(p)
    assert r - 1e-6 <= latent <= 1  # cuts are less alike than their scores
    assert cut_covariance(h, h, latent) == pytest.approx(r * p * (1 - p), abs=1e-6)


def test_rates_that_differ_cannot_be_alike_without_limit():
    """At most (0.95 - 0.95 x 0.97) / sqrt(0.95 x 0.05 x 0.97 x 0.03) = 0.7666."""
    assert math.isclose(0.95 * 0.03 / math.sqrt(0.95 * 0.05 * 0.97 * 0.03), 0.7666, abs_tol=1e-4)
    latent_correlation(0.97, 0.95, 0.76)
    with pytest.raises(
        UsageError, match=r"0\.8 is not possible between rates of 0\.97 and 0\.95; it is at most 0\.76\."
    ):
        latent_correlation(0.97, 0.95, 0.8)
