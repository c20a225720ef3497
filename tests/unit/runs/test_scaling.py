"""From logits to scores: worked out by hand, and in the order of two scalings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from plainfilm.runs.scaling import Scaling, logit_of


def test_temperature_and_bias_by_hand():
    # logits 0 and ln 9 at temperature 2: odds 3; a bias of ln 2 doubles them: 6 to 1
    scores = Scaling(2.0, (0.0, np.log(2))).probs(np.array([[0.0, np.log(9)]]))
    assert scores == pytest.approx(np.array([[1 / 7, 6 / 7]]))


def test_without_bias_it_is_scipys_softmax_bit_for_bit():
    logits = np.random.default_rng(0).normal(scale=20, size=(200, 5))
    assert np.array_equal(Scaling().probs(logits), softmax(logits, axis=1))
    assert np.array_equal(Scaling(1.7).probs(logits), softmax(logits / 1.7, axis=1))


def test_what_leaves_the_scores_as_trained():
    assert Scaling().is_identity and Scaling(1.0, (0.0, 0.0)).is_identity
    assert not Scaling(1.1).is_identity and not Scaling(1.0, (0.0, 0.1)).is_identity


@given(
    st.floats(0.2, 5), st.floats(-3, 3), st.floats(0.3, 3), st.floats(-3, 3), st.sampled_from([0, 1]),
    st.floats(-6, 6),
)  # fmt: skip
def test_a_scaling_after_another_is_a_line_on_its_logit(temperature, bias, slope, intercept, positive, margin):
    first = Scaling(temperature, (bias, 0.0))
    logits = np.array([[margin, -margin]])
    before = logit_of(first.probs(logits), positive)[0]
    after = logit_of(first.then(slope, intercept, positive).probs(logits), positive)[0]
    expected = np.clip(intercept + slope * before, -20.7, 20.7)
    assert after == pytest.approx(expected, abs=2e-3) if abs(expected) > 12 else after == pytest.approx(expected, abs=1e-6)
