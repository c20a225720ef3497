from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from plainfilm.errors import DataError
from plainfilm.evaluate.operating.threshold_range import threshold_range
from plainfilm.evaluate.operating.thresholds import choose_threshold, drawn_thresholds, patients_for, rule_note

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


def line_of(n, seed=0, intercept=-1.5, slope=1.3):
    """Scores whose true share of positives is 1/2 where intercept + slope * logit = 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(scale=2, size=n)
    return 1 / (1 + np.exp(-x)), rng.random(n) < 1 / (1 + np.exp(-(intercept + slope * x)))


def test_the_smooth_rule_finds_where_the_classes_are_even():
    scores, labels = line_of(40_000)
    even = 1 / (1 + np.exp(-1.5 / 1.3))  # 0.760, by hand
    assert choose_threshold("smooth", scores, labels) == pytest.approx(even, abs=0.01)


def test_scikit_learn_draws_the_same_line():
    from sklearn.linear_model import LogisticRegression

    scores, labels = line_of(300, seed=4)
    logits = np.log(scores / (1 - scores))[:, None]
    fitted = LogisticRegression(C=1e12, tol=1e-12, max_iter=10_000).fit(logits, labels)
    even = 1 / (1 + np.exp(fitted.intercept_[0] / fitted.coef_[0, 0]))
    assert choose_threshold("smooth", scores, labels) == pytest.approx(even, abs=1e-5)


def test_the_smooth_rule_is_steadier_than_the_accuracy_rule_and_no_less_accurate():
    """200 fits on 300 images each, judged on 200,000: less than two thirds of the spread, at the same accuracy."""
    scores, labels = line_of(200_000, seed=1)
    found, accuracy = {"smooth": [], "accuracy": []}, {"smooth": [], "accuracy": []}
    for seed in range(200):
        few = np.random.default_rng(seed).integers(len(scores), size=300)
        for rule in found:
            threshold = choose_threshold(rule, scores[few], labels[few])
            found[rule].append((scores[~labels] < threshold).mean())
            accuracy[rule].append(((scores >= threshold) == labels).mean())
    assert np.std(found["smooth"]) < 0.67 * np.std(found["accuracy"])
    assert np.mean(accuracy["smooth"]) >= np.mean(accuracy["accuracy"])


@pytest.mark.parametrize(
    ("scores", "labels"),
    [([0.1, 0.2, 0.7, 0.9], [0, 0, 1, 1]), ([0.1, 0.4, 0.6, 0.8, 0.9], [1, 1, 0, 1, 0])],
    ids=["separated", "falling"],
)
def test_where_no_line_fits_the_smooth_rule_is_that_of_accuracy(scores, labels):
    scores, labels = np.array(scores), np.array(labels, bool)
    assert choose_threshold("smooth", scores, labels) == choose_threshold("accuracy", scores, labels)


# --- a bound with a confidence ---------------------------------------------------------------------------------------


def test_a_bound_of_independent_images_by_hand():
    """59 positives: with 95 % confidence sensitivity 0.95 needs all of them (0.95^59 = 0.0485); so the lowest one rules."""
    scores = np.concatenate([np.linspace(0.5, 0.99, 59), np.linspace(0.0, 0.4, 30)])
    labels = np.arange(89) < 59
    threshold = choose_threshold("sensitivity>=0.95@0.95", scores, labels)
    assert (scores[labels] >= threshold).all()
    assert threshold > 0.4  # it is the highest such threshold: no negative is predicted positive


def test_a_plain_bound_fails_in_half_of_the_fits_and_one_with_90_percent_confidence_in_a_tenth():
    rng, failed = np.random.default_rng(3), {"sensitivity>=0.9": 0, "sensitivity>=0.9@0.9": 0}
    for _ in range(300):
        positive, negative = rng.normal(1.5, 1, 150), rng.normal(-1.5, 1, 150)
        scores = 1 / (1 + np.exp(-np.concatenate([positive, negative])))
        labels = np.arange(300) < 150
        for rule in failed:
            cut = np.log(1 / choose_threshold(rule, scores, labels) - 1) * -1
            failed[rule] += norm.sf(cut, 1.5, 1) < 0.9
    assert 0.40 < failed["sensitivity>=0.9"] / 300 < 0.62
    assert failed["sensitivity>=0.9@0.9"] / 300 < 0.14


def test_images_of_one_patient_count_as_few():
    """The same images in 20 patients of one score each: the threshold that holds with confidence is lower."""
    rng = np.random.default_rng(5)
    each = np.repeat(1 / (1 + np.exp(-rng.normal(1, 1, 60))), 10)
    scores, labels = np.concatenate([each, np.full(50, 0.01)]), np.arange(650) < 600
    alone = choose_threshold("sensitivity>=0.8@0.9", scores, labels)
    together = choose_threshold(
        "sensitivity>=0.8@0.9", scores, labels, np.concatenate([np.repeat(np.arange(60), 10), 60 + np.arange(50)])
    )
    assert together < alone


def test_specificity_with_confidence_mirrors_sensitivity():
    scores, labels = line_of(500, seed=8)
    one = choose_threshold("sensitivity>=0.8@0.9", scores, labels)
    other = choose_threshold("specificity>=0.8@0.9", 1 - scores, ~labels)
    assert one == pytest.approx(1 - other, abs=1e-9)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("sensitivity>=0.95@0.9", ("sensitivity", 45)), ("specificity>=0.9@0.9", ("specificity", 22)), ("smooth", ("", 0)),
     ("sensitivity>=0.95", ("", 0))],
)  # fmt: skip
def test_the_patients_that_a_confident_bound_needs(rule, expected):
    assert patients_for(rule) == expected  # 0.95^44 = 0.105, 0.95^45 = 0.099; 0.9^21 = 0.109, 0.9^22 = 0.098


def test_what_a_bound_does_not_promise_is_said():
    scores, labels = line_of(400, seed=2)
    clusters = np.arange(400)
    plain = rule_note(
        "sensitivity>=0.9", scores, labels, clusters, choose_threshold("sensitivity>=0.9", scores, labels)
    )
    assert plain.startswith("BOUND ON VALID ONLY") and "sensitivity>=0.9@0.9" in plain
    sure = choose_threshold("sensitivity>=0.9@0.9", scores, labels)
    assert rule_note("sensitivity>=0.9@0.9", scores, labels, clusters, sure) == ""
    few = labels & (np.cumsum(labels) <= 5) | ~labels
    low = choose_threshold("sensitivity>=0.9@0.9", scores[few], labels[few])
    note = rule_note("sensitivity>=0.9@0.9", scores[few], labels[few], np.arange(few.sum()), low)
    assert note.startswith("BOUND NOT REACHED")
    assert rule_note("accuracy", scores, labels, clusters, 0.5) == ""


# --- how far it would move -------------------------------------------------------------------------------------------


def test_weighted_images_count_as_often_as_their_weight():
    scores, labels = line_of(40, seed=6)
    twice = np.repeat(np.arange(40), np.where(np.arange(40) % 3 == 0, 2, 1))
    weights = np.where(np.arange(40) % 3 == 0, 2.0, 1.0)[None]
    for rule in ("accuracy", "youden", "sensitivity>=0.8"):
        assert drawn_thresholds(rule, scores, labels, weights)[0] == choose_threshold(
            rule, scores[twice], labels[twice]
        )


@pytest.mark.parametrize("rule", ["smooth", "accuracy"])
def test_the_range_of_a_threshold_contains_the_true_one_about_as_often_as_it_says(rule):
    """By the smooth rule 95 % of 200 sets contain the true cut; the accuracy rule's percentiles are known to be rough."""
    even, inside = 1 / (1 + np.exp(-1.5 / 1.3)), 0
    for seed in range(200):
        scores, labels = line_of(200, seed=seed)
        found = threshold_range(
            rule, choose_threshold(rule, scores, labels), scores, labels, np.arange(200), has_patients=False, seed=0
        )
        inside += found.low <= even <= found.high
    assert inside / 200 > (0.91 if rule == "smooth" else 0.85)


def test_the_range_says_what_its_ends_cost():
    scores, labels = line_of(300, seed=9)
    threshold = choose_threshold("youden", scores, labels)
    found = threshold_range("youden", threshold, scores, labels, np.arange(300) // 2, has_patients=True, seed=1)
    assert found.low <= threshold <= found.high and found.low < found.high
    assert (found.images, found.patients) == (300, 150)
    assert found.sensitivity == tuple(float((scores[labels] >= end).mean()) for end in (found.low, found.high))
    assert found.specificity == tuple(float((scores[~labels] < end).mean()) for end in (found.low, found.high))


def test_copies_of_images_in_one_patient_do_not_narrow_it():
    scores, labels = line_of(150, seed=10)
    once = threshold_range("smooth", 0.7, scores, labels, np.arange(150), has_patients=True, seed=1)
    five = np.repeat(np.arange(150), 5)
    copied = threshold_range("smooth", 0.7, scores[five], labels[five], five, has_patients=True, seed=1)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.15)


def test_a_fixed_number_has_no_range():
    scores, labels = line_of(100)
    assert threshold_range("0.4", 0.4, scores, labels, np.arange(100), has_patients=False, seed=0) is None


def test_a_confident_bound_has_the_range_of_the_rate_that_it_reached():
    scores, labels = line_of(500, seed=11)
    rule = "sensitivity>=0.8@0.9"
    threshold = choose_threshold(rule, scores, labels)
    found = threshold_range(rule, threshold, scores, labels, np.arange(500), has_patients=False, seed=0)
    assert found.low <= threshold <= found.high
    assert found.sensitivity[0] >= 0.8


def test_a_smooth_rule_that_had_to_choose_otherwise_says_so():
    labels, clusters = np.array([False, False, True, True]), np.arange(4)
    apart, mixed = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.1, 0.7, 0.4, 0.9])
    assert rule_note("smooth", apart, labels, clusters, 0.5).startswith("NO SMOOTH THRESHOLD")
    assert choose_threshold("smooth", apart, labels) == choose_threshold("accuracy", apart, labels) == 0.5
    assert rule_note("smooth", 1 - mixed, labels, clusters, 0.5).startswith("NO SMOOTH THRESHOLD")
    assert (
        rule_note("smooth", mixed, labels, clusters, 0.5) == rule_note("accuracy", apart, labels, clusters, 0.5) == ""
    )
