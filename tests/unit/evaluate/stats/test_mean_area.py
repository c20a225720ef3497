"""The mean area of many curves near 1, where one rare class must not decide for all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from plainfilm.evaluate.stats.auroc_interval import auroc_interval, curve
from plainfilm.evaluate.stats.intervals import Interval, wilson


def interval_of(scores: np.ndarray, truth: np.ndarray, level: float = 0.95) -> Interval:
    curves = [curve(scores[:, c], truth == c) for c in range(scores.shape[1])]
    return auroc_interval(curves, np.arange(len(truth)), level)


def perfect(k: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    truth = np.repeat(np.arange(k), each)
    return np.eye(k)[truth] + np.random.default_rng(0).uniform(0, 0.1, (len(truth), k)), truth


def test_the_limits_of_a_perfect_mean_are_those_of_one_misplaced_image_not_of_one_class():
    """35 classes of 10: 0.722 are the limits of 10 images; here are 350."""
    scores, truth = perfect(35, 10)
    found = interval_of(scores, truth)
    scores[0, 0] = 0.0
    one = interval_of(scores, truth)
    assert found.value == 1 and one.value == pytest.approx(1 - 1 / 350)
    assert found.low == pytest.approx(one.low) and one.low > 0.95
    assert found.high == 1 and found.method == "obuchowski/logit (of one misplaced image)"


def test_a_perfect_probe_of_eight_persons_is_above_the_limit_of_a_shortcut():
    """Ten images each, cross-validated (the variance doubled): [0.566, 1] was no finding."""
    assert interval_of(*perfect(8, 10), level=0.99442540).low > 0.6


def test_few_classes_keep_the_limits_of_the_rarer_class_where_those_are_narrower():
    assert interval_of(*perfect(3, 10)).low == pytest.approx(wilson(1.0, 10)[0])
    assert interval_of(*perfect(2, 10)).low == pytest.approx(wilson(1.0, 10)[0])


def test_the_rarest_class_has_the_misplaced_image():
    """19 classes of 8 images and one of 2: the mean loses 1/2/20 where one of the two is misplaced."""
    truth = np.repeat(np.arange(20), [8] * 2 + [2] + [8] * 17)
    scores = np.eye(20)[truth]
    found = interval_of(scores, truth)
    scores[16, 2] = -1.0
    assert interval_of(scores, truth).value == pytest.approx(1 - 1 / 40)
    assert found.low == pytest.approx(interval_of(scores, truth).low)


def test_a_hardly_misplaced_image_tells_as_much_as_a_misplaced_one():
    """One pair of 3,400 is wrong: an area of 0.99999 had the limits of the rarest class, 0.722."""
    scores, truth = perfect(35, 10)
    scores[0, 0] = np.sort(scores[truth != 0, 0])[-1] - 1e-9
    near, whole = interval_of(scores, truth), interval_of(*perfect(35, 10))
    assert whole.low <= near.low <= near.value < 1


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 12), st.integers(2, 8), st.integers(0, 2**16), st.floats(-1, 0.099))
def test_a_misplaced_image_never_raises_the_lower_limit(k, each, seed, score):
    """And one that is misplaced a little never has a lower one than one that is wholly."""
    scores, truth = perfect(k, each)
    found, i = [interval_of(scores, truth)], seed % len(truth)
    for placed in (score, -1.0):
        scores[i, truth[i]] = placed
        found.append(interval_of(scores, truth))
    none, little, whole = found
    assert whole.low <= min(none.low, little.low) + 1e-9 and whole.value <= little.value <= none.value


@pytest.mark.parametrize("k", [5, 35])
def test_near_1_the_mean_of_few_and_of_many_classes_holds_the_truth(k):
    """Scores are normal, so the true area is known; 100 sets, at least 93 of which hold it."""
    rng, truth, held = np.random.default_rng(1), np.repeat(np.arange(k), 4), 0
    for _ in range(100):
        scores = rng.normal(size=(len(truth), k)) + 2**0.5 * norm.ppf(0.99) * np.eye(k)[truth]
        found = interval_of(scores, truth)
        held += found.low <= 0.99 <= found.high
    assert held >= 93
