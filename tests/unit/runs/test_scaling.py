"""From logits to scores: worked out by hand, and in the order of two scalings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from plainfilm.runs.scaling import Scaling


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


@given(st.floats(0.2, 5), st.floats(-3, 3), st.floats(0.3, 3), st.floats(-3, 3))
def test_a_scaling_after_another_is_one_scaling(first, bias, second, more):
    logits = np.array([[0.3, -1.2, 2.0], [4.0, 0.0, -4.0]])
    one, two = Scaling(first, (0.0, bias, -bias)), Scaling(second, (more, 0.0, 0.5))
    assert one.then(two).probs(logits) == pytest.approx(two.probs(one.logits(logits)))
    assert Scaling(first).then(two).probs(logits) == pytest.approx(two.probs(logits / first))
    assert one.then(Scaling()).probs(logits) == pytest.approx(one.probs(logits))


def test_of_two_classes_it_is_a_line_on_the_log_odds():
    # logits (0, 2) at temperature 4 and bias +1 for the second: log odds 2 / 4 + 1 = 1.5
    scaling = Scaling(4.0, (0.0, 1.0))
    assert scaling.line(positive=1) == (1.0, 0.25)
    assert scaling.line(positive=0) == (-1.0, 0.25)
    scores = scaling.probs(np.array([[0.0, 2.0]]))[0]
    assert np.log(scores[1] / scores[0]) == pytest.approx(1.5)
