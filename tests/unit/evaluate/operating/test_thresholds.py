from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.errors import DataError
from plainfilm.evaluate.operating.thresholds import choose_threshold

# scores of five images, sorted: - - + - +
SCORES = np.array([0.1, 0.2, 0.4, 0.6, 0.9])
LABELS = np.array([False, False, True, False, True])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # accuracy 4/5 in (0.2, 0.4] (one false positive) and in (0.6, 0.9] (one miss): the wider wins
        ("accuracy", 0.75),
        # sensitivity + specificity: 1 + 2/3 in (0.2, 0.4]; 1/2 + 1 in (0.6, 0.9]
        ("youden", 0.3),
        ("sensitivity>=0.95", 0.3),  # both must be predicted positive: at most 0.4; the best specificity there
        ("sensitivity>=0.5", 0.75),  # one positive is enough: (0.6, 0.9] has specificity 1
        ("specificity>=1", 0.75),
        ("specificity>=0.6", 0.3),  # two of three negatives right: (0.2, 0.4] keeps both positives
        ("0.37", 0.37),
    ],
)
def test_rules_worked_out_by_hand(rule, expected):
    assert choose_threshold(rule, SCORES, LABELS) == pytest.approx(expected)


def test_perfect_separation_puts_the_threshold_in_the_middle_of_the_gap():
    scores = np.array([0.05, 0.1, 0.8, 0.99])
    assert choose_threshold("accuracy", scores, np.array([0, 0, 1, 1], bool)) == pytest.approx(0.45)


def test_equal_scores_are_never_divided():
    scores, labels = np.full(10, 0.5), np.array([1] * 7 + [0] * 3, bool)
    assert choose_threshold("accuracy", scores, labels) <= 0.5  # all predicted positive: 7 of 10


def test_neighbouring_floats_still_separate():
    low = 0.5
    high = np.nextafter(low, 1)
    threshold = choose_threshold("accuracy", np.array([low, high]), np.array([False, True]))
    assert low < threshold <= high


@pytest.mark.parametrize("labels", [[True] * 3, [False] * 3])
def test_one_class_only_is_refused(labels):
    with pytest.raises(DataError, match="both classes"):
        choose_threshold("accuracy", np.array([0.1, 0.2, 0.3]), np.array(labels))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=30))
def test_no_threshold_is_better_than_the_chosen_one(pairs):
    scores, labels = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    if labels.all() or not labels.any():
        return

    def accuracy(threshold):
        return ((scores >= threshold) == labels).mean()

    chosen = choose_threshold("accuracy", scores, labels)
    assert 0 <= chosen <= 1
    candidates = [0.0, *scores, *np.nextafter(scores[scores < 1], 1)]
    assert accuracy(chosen) >= max(accuracy(t) for t in candidates) - 1e-12


@given(
    st.lists(st.tuples(st.floats(0.01, 0.99), st.booleans()), min_size=2, max_size=30),
    st.sampled_from([0.5, 0.8, 0.95]),
)
def test_a_sensitivity_bound_is_held_with_the_best_specificity(pairs, bound):
    scores, labels = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    if labels.all() or not labels.any():
        return

    def rates(threshold):
        predicted = scores >= threshold
        return predicted[labels].mean(), (~predicted[~labels]).mean()

    sensitivity, specificity = rates(choose_threshold(f"sensitivity>={bound}", scores, labels))
    assert sensitivity >= bound - 1e-12
    assert specificity >= max(rates(t)[1] for t in scores if rates(t)[0] >= bound) - 1e-12
