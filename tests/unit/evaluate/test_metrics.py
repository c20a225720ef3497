"""Expected values are worked out by hand or by scikit-learn."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, matthews_corrcoef, recall_score, roc_auc_score

from plainfilm.errors import DataError
from plainfilm.evaluate import intervals
from plainfilm.evaluate.metrics import (
    METRICS,
    PER_CLASS,
    auprc,
    auroc,
    brier,
    calls,
    confusion_matrix,
    ece,
    mcc,
    measure,
    measure_per_class,
    rate,
)
from plainfilm.evaluate.scores import auprc_statistic, mcc_statistic, sensitivity_statistic


def two_columns(positive_probs):
    p = np.asarray(positive_probs, float)
    return np.stack([1 - p, p], axis=1)


def score(p, y, **options):
    """`measure` on positive probabilities, one image per patient unless told otherwise."""
    ids = options.pop("clusters", np.arange(len(y)))
    options = {"patients": ids, "positive": 1, "threshold": 0.5, "n_boot": 50} | options
    return measure(two_columns(p), np.asarray(y, int), clusters=ids, **options)


# 4 positives: 3 found, 1 missed; 6 negatives: 5 right, 1 called positive
TEN_P = [0.9, 0.8, 0.7, 0.3, 0.6, 0.4, 0.35, 0.2, 0.1, 0.05]
TEN_Y = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]


def test_a_small_table_gives_the_numbers_worked_out_by_hand():
    found = score(TEN_P, TEN_Y)
    assert tuple(found) == METRICS
    expected = {
        "accuracy": (8 / 10, 10),
        "balanced_accuracy": ((3 / 4 + 5 / 6) / 2, 10),
        "auroc": ((6 + 6 + 6 + 3) / 24, 10),  # the positive at 0.3 beats 3 negatives, the others all 6
        "auprc": ((1 + 1 + 1 + 4 / 7) / 4, 10),  # the fourth positive is the seventh in line
        "sensitivity": (3 / 4, 4),
        "specificity": (5 / 6, 6),
        "ppv": (3 / 4, 4),
        "npv": (5 / 6, 6),
        "f1": (6 / 8, 10),
        "mcc": ((3 * 5 - 1 * 1) / (4 * 6 * 4 * 6) ** 0.5, 10),
        "brier": ((0.01 + 0.04 + 0.09 + 0.49 + 0.36 + 0.16 + 0.1225 + 0.04 + 0.01 + 0.0025) / 10, 10),
    }
    for name, (value, n) in expected.items():
        assert found[name].value == pytest.approx(value), name
        assert (found[name].n, found[name].n_patients) == (n, n), name


def test_each_metric_counts_the_patients_of_its_own_images():
    found = score(TEN_P, TEN_Y, clusters=["a", "a", "b", "b", "c", "c", "c", "a", "d", "d"])
    assert [found[name].n_patients for name in ("accuracy", "sensitivity", "specificity", "ppv", "npv")] == [
        4,
        2,
        3,
        3,
        4,
    ]


def test_without_a_patient_key_patients_are_none_and_images_are_drawn():
    found = score(TEN_P, TEN_Y, patients=None)
    assert {m.n_patients for m in found.values()} == {None}
    assert found["brier"].method == "bootstrap/images (logit)"


def test_clusters_may_be_wider_than_patients():
    found = score(TEN_P, TEN_Y, clusters=[0] * 5 + list(range(1, 6)), patients=list("abcdefghij"))
    assert found["accuracy"].n_patients == 10


def test_calls_follow_the_threshold_and_count_equality_as_positive():
    probs = two_columns([0.2, 0.42, 0.5, 0.9])
    assert calls(probs, positive=1, threshold=0.42).tolist() == [0, 1, 1, 1]
    assert calls(probs, positive=0, threshold=0.58).tolist() == [0, 0, 1, 1]
    assert calls(probs, positive=1, threshold=None).tolist() == [0, 0, 0, 1]  # a tie goes to the first class


def test_the_confusion_matrix_has_truth_in_rows():
    assert confusion_matrix(np.array([0, 1, 1, 2, 0]), np.array([0, 0, 1, 2, 2]), 3).tolist() == [
        [1, 1, 0],
        [0, 1, 0],
        [1, 0, 1],
    ]


@pytest.mark.parametrize("ties", [False, True])
def test_ranking_metrics_agree_with_scikit_learn(ties):
    rng = np.random.default_rng(0)
    y = rng.random(300) < 0.3
    p = rng.random(300) * 0.5 + y * 0.2
    p = np.round(p, 1) if ties else p
    assert auroc(p, y) == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert auprc(p, y) == pytest.approx(average_precision_score(y, p), abs=1e-12)


def test_weighted_average_precision_is_that_of_repeated_images():
    rng = np.random.default_rng(1)
    y, p, weights = rng.random(80) < 0.4, np.round(rng.random(80), 1), rng.integers(0, 4, 80)
    expected = average_precision_score(np.repeat(y, weights), np.repeat(p, weights))
    assert auprc_statistic(p, y)(weights[None].astype(float))[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [2, 4])
def test_the_matthews_correlation_of_each_draw_is_that_of_repeated_images(k):
    rng = np.random.default_rng(k)
    y, called, weights = rng.integers(0, k, 60), rng.integers(0, k, 60), rng.integers(0, 4, (20, 60))
    found = mcc_statistic(called, y, k)(weights.astype(float))
    expected = [matthews_corrcoef(np.repeat(y, row), np.repeat(called, row)) for row in weights]
    assert found == pytest.approx(expected, abs=1e-12)
    assert mcc(called, y, k) == pytest.approx(matthews_corrcoef(y, called), abs=1e-12)


def test_a_matthews_correlation_without_two_kinds_of_calls_is_undefined_and_not_0():
    with pytest.raises(DataError, match="one class only, in truth or in the calls"):
        mcc(np.zeros(4, int), np.array([0, 1, 0, 1]), 2)
    draws = np.array([[1.0, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]])
    found = mcc_statistic(np.array([0, 0, 0, 1]), np.array([0, 1, 0, 1]), 2)(draws)
    assert np.isnan(found[0]) and found[1] == 1 and found[2] == pytest.approx((4 * 3 - 2 * 3 - 2 * 1) / (8 * 6) ** 0.5)


@pytest.mark.parametrize("right", [True, False])
def test_a_perfect_or_reversed_classifier_has_a_correlation_with_width(right):
    y = np.arange(40) % 2
    found = score(np.where((y == 1) == right, 0.9, 0.1), y)["mcc"]
    assert found.value == (1 if right else -1) and found.method == "wilson (bootstrap/patients degenerate)"
    low, high = intervals.wilson(1.0, 20)
    assert sorted(map(abs, (found.ci_low, found.ci_high))) == pytest.approx([2 * low - 1, 2 * high - 1])


def test_calibration_error_of_one_bin_and_of_distinct_bins():
    assert ece(np.full(10, 0.7), np.arange(10) < 4) == pytest.approx(0.3)  # all tied: one bin, |0.4 - 0.7|
    confidence = np.arange(15) / 15  # 15 images, 15 bins, each its own gap
    correct = np.arange(15) % 2 == 1
    assert ece(confidence, correct) == pytest.approx(np.abs(correct - confidence).mean())


def test_thirty_images_fill_fifteen_bins_with_two_each():
    confidence = np.linspace(0, 1, 30)
    correct = np.arange(30) % 3 == 0
    pairs = np.abs((correct - confidence).reshape(15, 2).mean(axis=1))
    assert ece(confidence, correct) == pytest.approx(pairs.mean())


def test_brier_is_one_squared_error_for_two_classes_and_a_sum_for_more():
    assert brier(two_columns([0.9, 0.2]), np.array([1, 1]), positive=1) == pytest.approx((0.01 + 0.64) / 2)
    assert brier(np.array([[0.5, 0.3, 0.2]]), np.array([2]), positive=None) == pytest.approx(0.25 + 0.09 + 0.64)
    wrong = measure(np.eye(3)[[1, 2, 0, 0]], [0, 0, 1, 2], clusters=range(4), positive=None, threshold=None, n_boot=20)
    assert wrong["brier"].value == 2 == wrong["brier"].ci_high > wrong["brier"].ci_low


def test_rates_that_have_no_denominator_are_refused_when_asked_for_alone():
    nobody = np.zeros(3, bool)
    assert rate("f1", np.array([True, True, False]), np.array([True, False, True])) == pytest.approx(0.5)
    with pytest.raises(DataError, match="no positive image"):
        rate("sensitivity", nobody, nobody)
    with pytest.raises(DataError, match="positive and negative"):
        auroc(np.arange(3.0), nobody)


TRIVIAL = {"ppv", "npv", "f1"}  # of one class alone they are 0 or 1 whatever the network is worth


@pytest.mark.parametrize(
    ("p", "y", "missing"),
    [
        ([0.1, 0.2, 0.9], [0, 0, 0], {*TRIVIAL, "balanced_accuracy", "auroc", "auprc", "sensitivity", "mcc"}),
        ([0.1, 0.2, 0.9], [1, 1, 1], {*TRIVIAL, "balanced_accuracy", "auroc", "auprc", "specificity", "mcc"}),
        ([0.1, 0.2, 0.3], [0, 1, 1], {"ppv", "mcc"}),
        ([0.7, 0.8, 0.9], [0, 1, 1], {"npv", "mcc"}),
        ([], [], set(METRICS)),
    ],
)
def test_what_cannot_be_estimated_is_none_with_a_reason(p, y, missing):
    found = score(p, y)
    missing = missing | {"calibration_intercept", "calibration_slope"}  # of three images
    assert {name for name, m in found.items() if m.value is None} == missing
    for name in missing:
        assert found[name].method.startswith("not estimable: "), name
        assert found[name].ci_low is None is found[name].ci_high
        if name in ("sensitivity", "specificity") or (name in ("ppv", "npv") and len(set(y)) == 2):
            assert found[name].n == 0


def three_classes(n=150, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    logits = rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[y]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), y, rng.integers(0, n // 3, n)


def test_more_than_two_classes_average_one_vs_rest_over_the_classes_present():
    probs, y, ids = three_classes()  # the fourth class has no image
    found = measure(probs, y, clusters=ids, patients=ids, positive=None, threshold=None, n_boot=50)
    present, called = [0, 1, 2], probs.argmax(1)
    areas = [roc_auc_score(y == c, probs[:, c]) for c in present]
    precisions = [average_precision_score(y == c, probs[:, c]) for c in present]
    assert tuple(found) == METRICS
    assert found["auroc"].value == pytest.approx(np.mean(areas))
    assert found["auprc"].value == pytest.approx(np.mean(precisions))
    assert found["sensitivity"].value == pytest.approx(recall_score(y, called, labels=present, average="macro"))
    assert found["balanced_accuracy"].value == found["sensitivity"].value
    assert found["f1"].value == pytest.approx(f1_score(y, called, labels=present, average="macro"))
    assert found["mcc"].value == pytest.approx(matthews_corrcoef(y, called))
    assert all("without class 3" in found[name].method for name in ("auroc", "auprc", "sensitivity", "f1"))
    assert "without" not in found["specificity"].method
    assert {m.n for m in found.values()} == {150}


def test_per_class_gives_each_class_against_the_rest():
    probs, y, ids = three_classes()
    table = measure_per_class(probs, y, clusters=ids, patients=ids, positive=None, threshold=None, n_boot=50)
    assert list(table) == [0, 1, 2, 3] and all(tuple(row) == PER_CLASS for row in table.values())
    assert table[1]["auroc"].value == pytest.approx(roc_auc_score(y == 1, probs[:, 1]))
    assert table[2]["sensitivity"].n == (y == 2).sum()
    assert table[3]["sensitivity"].method == "not estimable: no positive image"
    assert table[3]["auroc"].value is None and table[3]["specificity"].n == 150


def test_per_class_agrees_with_measure_on_two_classes():
    options = {"clusters": range(10), "positive": 1, "threshold": 0.5, "n_boot": 50}
    table = measure_per_class(two_columns(TEN_P), TEN_Y, **options)
    whole = measure(two_columns(TEN_P), TEN_Y, **options)
    assert table[1] == {name: whole[name] for name in PER_CLASS}
    assert table[0]["sensitivity"] == whole["specificity"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"probs": [[0.5, np.nan], [0.5, 0.5]]}, "NaN or infinity"),
        ({"probs": [[2.0, 3.0], [0.5, 0.5]]}, "Apply softmax"),
        ({"probs": [[1.5, -0.5], [0.5, 0.5]]}, "no probabilities"),
        ({"probs": [0.5, 0.5]}, "shape"),
        ({"targs": [0, 2]}, "run from 0 to 2"),
        ({"targs": [0.0, 1.0]}, "integers"),
        ({"targs": [0]}, "one label for each"),
        ({"clusters": ["a"]}, "clusters have shape"),
        ({"clusters": ["a", None]}, "no value in clusters"),
        ({"patients": [1.0, np.nan]}, "no value in patients"),
        ({"positive": None}, "positive is None"),
        ({"threshold": float("nan")}, "threshold is NaN"),
        ({"probs": [[0.2, 0.3, 0.5]] * 2}, "expected None with 3 classes"),
    ],
)
def test_what_is_no_prediction_is_refused_with_a_message(changes, says):
    good = {"probs": [[0.5, 0.5], [0.2, 0.8]], "targs": [0, 1], "clusters": [0, 1], "positive": 1, "threshold": 0.5}
    with pytest.raises(DataError, match=says):
        measure(**(good | changes))


@pytest.mark.parametrize(
    "make",
    [auprc_statistic, lambda scores, truth: sensitivity_statistic(scores, truth, 0.8)],
    ids=["auprc", "sensitivity"],
)
def test_scores_are_sorted_once_and_not_in_each_draw(make):
    """What a statistic gives of the next draw rests on nothing but what it made of the scores at first."""
    rng = np.random.default_rng(5)
    truth, scores, weights = rng.random(60) < 0.4, rng.random(60), rng.integers(0, 4, (7, 60)).astype(float)
    statistic = make(scores, truth)
    found = statistic(weights)
    assert len(set(found)) > 3
    scores[:], truth[:] = scores[::-1].copy(), ~truth
    assert np.array_equal(statistic(weights), found)
    assert not np.array_equal(make(scores, truth)(weights), found)


def test_memory_of_the_bootstrap_is_bounded(monkeypatch):
    sizes = []
    real = intervals.cluster_draws
    monkeypatch.setattr(intervals, "CHUNK", 5_000)
    monkeypatch.setattr(intervals, "cluster_draws", lambda c, b, rng: sizes.append(b * len(c)) or real(c, b, rng))
    score(TEN_P * 10, TEN_Y * 10, n_boot=200)
    assert max(sizes) <= 5_000 and sum(sizes) == 200 * 100


@st.composite
def predictions(draw):
    n, k = draw(st.integers(1, 40)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    targs = rng.integers(0, draw(st.integers(1, k)), n)
    logits = rng.normal(size=(n, k)) + draw(st.sampled_from([0.0, 2.0, 200.0, -200.0])) * np.eye(k)[targs]
    probs = np.exp(logits - logits.max(1, keepdims=True))
    probs = np.round(probs / probs.sum(1, keepdims=True), draw(st.sampled_from([1, 12])))
    probs[:, -1] = np.clip(1 - probs[:, :-1].sum(1), 0, 1)
    probs /= probs.sum(1, keepdims=True)
    return probs, targs, rng.integers(0, draw(st.integers(1, n)), n)


def run(probs, targs, ids):
    two = probs.shape[1] == 2
    positive, threshold = (1, 0.5) if two else (None, None)
    options = {"clusters": ids, "patients": ids, "positive": positive, "threshold": threshold, "n_boot": 40}
    return measure(probs, targs, **options), measure_per_class(probs, targs, **options)


# all wrong, so every gap has one sign, and two patients of unequal size: the corrected error passes all draws
SURE_AND_WRONG = (two_columns([0.9, 0.9, 0.9, 0.9, 0.8]), np.zeros(5, int), np.array([0, 0, 0, 0, 1]))
ONE_LESS_SURE = (two_columns([1.0] * 9 + [0.9]), np.zeros(10, int), np.array([0] * 9 + [1]))  # 1.01 without a bound


@pytest.mark.parametrize(("case", "highest"), [(SURE_AND_WRONG, 0.9), (ONE_LESS_SURE, 1.0)])
@pytest.mark.parametrize("n_boot", [40, 200, 2000])
def test_a_calibration_error_that_the_correction_raises_is_in_its_interval(case, highest, n_boot):
    probs, targs, ids = case
    found = measure(probs, targs, clusters=ids, patients=ids, positive=1, threshold=0.5, n_boot=n_boot)["ece"]
    assert 0 <= found.ci_low <= found.value <= found.ci_high <= 1
    assert found.ci_high == pytest.approx(max(highest, found.value))  # the highest draw: the surer patient alone


@given(predictions())
@example(SURE_AND_WRONG)
@example(ONE_LESS_SURE)
@settings(max_examples=60, deadline=None)
def test_every_interval_has_width_and_holds_its_value(case):
    whole, table = run(*case)
    for name, m in [*whole.items(), *(item for row in table.values() for item in row.items())]:
        top = 2 if name == "brier" and case[0].shape[1] > 2 else 1
        if m.value is None:
            assert m.method.startswith("not estimable"), name
        elif name.startswith("calibration"):  # of any sign and size
            assert m.ci_low < m.value < m.ci_high, (name, m)
        else:
            bottom = -1 if name == "mcc" else 0
            assert bottom <= m.ci_low <= m.value <= m.ci_high <= top, (name, m)
            assert m.ci_high - m.ci_low > 1e-9, (name, m)


@given(predictions(), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_row_order_and_names_of_patients_do_not_matter(case, random):
    probs, targs, ids = case
    order = list(range(len(targs)))
    random.shuffle(order)
    names = [f"patient {(7 * i) % 1009}" for i in range(max(ids) + 1)]
    assert run(probs, targs, ids) == run(probs[order], targs[order], [names[ids[i]] for i in order])
