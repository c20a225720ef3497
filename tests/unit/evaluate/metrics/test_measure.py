"""Expected values are worked out by hand or by scikit-learn."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, f1_score, matthews_corrcoef, recall_score, roc_auc_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from plainfilm.errors import DataError
from plainfilm.evaluate.metrics import measure as metrics
from plainfilm.evaluate.metrics.calibration import calibration_line, line_interval, line_statistic
from plainfilm.evaluate.metrics.measure import _PER_CLASS, METRICS, measure, measure_per_class, measure_sample
from plainfilm.evaluate.metrics.point_metrics import (
    _once,
    auprc,
    auprc_statistic,
    brier_losses,
    confusion_matrix,
    ece_bins,
    gap_statistic,
    mcc_statistic,
    sensitivity_statistic,
)
from plainfilm.evaluate.metrics.predicted_class import predicted_classes
from plainfilm.evaluate.metrics.sample import Sample, make_sample
from plainfilm.evaluate.stats import auroc_interval, bootstrap_limits, intervals, macro_mean
from plainfilm.evaluate.stats.auroc_interval import curve
from plainfilm.evaluate.stats.average_precision import optimism
from plainfilm.evaluate.stats.bootstrap_limits import behind_correlation


def ece(confidence, correct):
    return np.abs(gap_statistic(confidence, correct)(np.ones((1, len(correct))))).sum()


def two_columns(positive_probs):
    p = np.asarray(positive_probs, float)
    return np.stack([1 - p, p], axis=1)


def score(p, y, **options):
    """`measure` on positive probabilities, one image per patient unless given otherwise."""
    ids = options.pop("clusters", np.arange(len(y)))
    options = {"patients": ids, "positive": 1, "threshold": 0.5, "n_boot": 50} | options
    return measure(two_columns(p), np.asarray(y, int), clusters=ids, **options)


def per_class(probs, targs, *, clusters, patients=None, positive, threshold, **draws):
    sample = make_sample(probs, targs, clusters, patients, positive=positive, threshold=threshold)
    return measure_per_class(sample, **draws)


# 4 positives: 3 found, 1 missed; 6 negatives: 5 right, 1 predicted positive
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


def test_clusters_may_be_wider_than_patient_keys_and_are_what_is_counted():
    found = score(TEN_P, TEN_Y, clusters=[0] * 5 + list(range(1, 6)), patients=list("abcdefghij"))
    assert found["accuracy"].n_patients == 6


def test_predicted_classes_follow_the_threshold_and_count_equality_as_positive():
    probs = two_columns([0.2, 0.42, 0.5, 0.9])
    assert predicted_classes(probs, positive=1, threshold=0.42).tolist() == [0, 1, 1, 1]
    assert predicted_classes(probs, positive=0, threshold=0.58).tolist() == [0, 0, 1, 1]
    assert predicted_classes(probs, positive=1, threshold=None).tolist() == [
        0,
        0,
        0,
        1,
    ]  # a tie goes to the first class


def test_the_confusion_matrix_has_truth_in_rows():
    assert confusion_matrix(np.array([0, 1, 1, 2, 0]), np.array([0, 0, 1, 2, 2]), 3).tolist() == [
        [1, 1, 0],
        [0, 1, 0],
        [1, 0, 1],
    ]


@given(st.integers(2, 8), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_the_confusion_matrix_is_that_of_scikit_learn(k, n, seed):
    targs, predicted = np.random.default_rng(seed).integers(0, k, (2, n))
    found, expected = confusion_matrix(predicted, targs, k), sklearn_confusion(targs, predicted, labels=range(k))
    assert found.dtype == expected.dtype and found.tolist() == expected.tolist()


@pytest.mark.parametrize("ties", [False, True])
def test_ranking_metrics_agree_with_scikit_learn(ties):
    rng = np.random.default_rng(0)
    y = rng.random(300) < 0.3
    p = rng.random(300) * 0.5 + y * 0.2
    p = np.round(p, 1) if ties else p
    assert curve(p, y).area == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert auprc(p, y) == pytest.approx(average_precision_score(y, p), abs=1e-12)


def test_weighted_average_precision_is_that_of_repeated_images():
    rng = np.random.default_rng(1)
    y, p, weights = rng.random(80) < 0.4, np.round(rng.random(80), 1), rng.integers(0, 4, 80)
    expected = average_precision_score(np.repeat(y, weights), np.repeat(p, weights))
    assert auprc_statistic(p, y)(weights[None].astype(float))[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [2, 4])
def test_the_matthews_correlation_of_each_draw_is_that_of_repeated_images(k):
    rng = np.random.default_rng(k)
    y, predicted, weights = rng.integers(0, k, 60), rng.integers(0, k, 60), rng.integers(0, 4, (20, 60))
    found = mcc_statistic(predicted, y, k)(weights.astype(float))
    expected = [matthews_corrcoef(np.repeat(y, row), np.repeat(predicted, row)) for row in weights]
    assert found == pytest.approx(expected, abs=1e-12)
    assert _once(mcc_statistic(predicted, y, k), 60) == pytest.approx(matthews_corrcoef(y, predicted), abs=1e-12)


def test_a_matthews_correlation_without_two_predicted_classes_is_undefined_and_not_0():
    assert np.isnan(_once(mcc_statistic(np.zeros(4, int), np.array([0, 1, 0, 1]), 2), 4))
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
    assert brier_losses(two_columns([0.9, 0.2]), np.array([1, 1]), 1) == pytest.approx([0.01, 0.64])
    assert brier_losses(np.array([[0.5, 0.3, 0.2]]), np.array([2]), None) == pytest.approx([0.25 + 0.09 + 0.64])
    wrong = measure(np.eye(3)[[1, 2, 0, 0]], [0, 0, 1, 2], clusters=range(4), positive=None, threshold=None, n_boot=20)
    assert wrong["brier"].value == 2 == wrong["brier"].ci_high > wrong["brier"].ci_low


TRIVIAL = {"ppv", "npv", "f1"}  # of one class alone they are 0 or 1 whatever the network is worth


@pytest.mark.parametrize(
    ("p", "y", "missing"),
    [
        ([0.1, 0.2, 0.9], [0, 0, 0], {*TRIVIAL, "balanced_accuracy", "auroc", "auprc", "sensitivity", "mcc"}),
        ([0.1, 0.2, 0.9], [1, 1, 1], {*TRIVIAL, "balanced_accuracy", "auroc", "auprc", "specificity", "mcc"}),
        ([0.1, 0.2, 0.3], [0, 1, 1], {"ppv", "mcc", "auroc"}),
        ([0.7, 0.8, 0.9], [0, 1, 1], {"npv", "mcc", "auroc"}),
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
    present, predicted = [0, 1, 2], probs.argmax(1)
    areas = [roc_auc_score(y == c, probs[:, c]) for c in present]
    precisions = [average_precision_score(y == c, probs[:, c]) for c in present]
    assert tuple(found) == METRICS
    assert found["auroc"].value == pytest.approx(np.mean(areas))
    assert found["auprc"].value == pytest.approx(np.mean(precisions))
    assert found["sensitivity"].value == pytest.approx(recall_score(y, predicted, labels=present, average="macro"))
    assert found["balanced_accuracy"].value == found["sensitivity"].value
    assert found["f1"].value == pytest.approx(f1_score(y, predicted, labels=present, average="macro"))
    assert found["mcc"].value == pytest.approx(matthews_corrcoef(y, predicted))
    assert all("without class 3" in found[name].method for name in ("auroc", "auprc", "sensitivity", "f1"))
    assert "without" not in found["specificity"].method
    assert {m.n for m in found.values()} == {150}


def test_per_class_gives_each_class_against_the_rest():
    probs, y, ids = three_classes()
    table = measure_per_class(make_sample(probs, y, ids, ids, positive=None, threshold=None), n_boot=50)
    assert list(table) == [0, 1, 2, 3] and all(tuple(row) == _PER_CLASS for row in table.values())
    assert table[1]["auroc"].value == pytest.approx(roc_auc_score(y == 1, probs[:, 1]))
    assert table[2]["sensitivity"].n == (y == 2).sum()
    assert table[3]["sensitivity"].method == "not estimable: no positive image"
    assert table[3]["auroc"].value is None and table[3]["specificity"].n == 150


def test_per_class_agrees_with_measure_on_two_classes():
    sample = make_sample(two_columns(TEN_P), TEN_Y, range(10), None, positive=1, threshold=0.5)
    table = measure_per_class(sample, n_boot=50)
    whole = measure(two_columns(TEN_P), TEN_Y, clusters=range(10), positive=1, threshold=0.5, n_boot=50)
    assert table[1] == {name: whole[name] for name in _PER_CLASS}
    assert table[0]["sensitivity"] == whole["specificity"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"probs": [[0.5, np.nan], [0.5, 0.5]]}, "NaN or infinity"),
        ({"probs": [[2.0, 3.0], [0.5, 0.5]]}, "Apply softmax"),
        ({"probs": [[1.5, -0.5], [0.5, 0.5]]}, "not probabilities"),
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
    real = intervals._cluster_draws
    monkeypatch.setattr(intervals, "CHUNK", 5_000)
    monkeypatch.setattr(intervals, "_cluster_draws", lambda c, b, rng: sizes.append(b * len(c)) or real(c, b, rng))
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
    sample = make_sample(probs, targs, ids, ids, positive=positive, threshold=threshold)
    return measure_sample(sample, n_boot=40), measure_per_class(sample, n_boot=40)


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


# --- levels, draws and seeds, and each interval made of its parts -----------------------------------------------------


def noisy(n=60, seed=0, images=2):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    p = np.round(1 / (1 + np.exp(-(2.0 * y - 1 + 1.5 * rng.normal(size=n)))), 3)
    return p, y, np.arange(n) // images


def test_a_lower_level_narrows_every_interval_and_moves_no_value():
    p, y, ids = noisy()
    wide, narrow = (score(p, y, clusters=ids, level=level) for level in (0.95, 0.5))
    probs, targs, who = three_classes()
    options = {"clusters": who, "patients": who, "positive": None, "threshold": None, "n_boot": 50}
    many_wide, many_narrow = (measure(probs, targs, **options, level=level) for level in (0.95, 0.5))
    each_wide, each_narrow = (per_class(probs, targs, **options, level=level) for level in (0.95, 0.5))
    pairs = [(wide, narrow), (many_wide, many_narrow), *((each_wide[c], each_narrow[c]) for c in range(3))]
    for one, other in pairs:
        for name in one:
            assert one[name].value == other[name].value
            if one[name].value is not None:
                widths = [m.ci_high - m.ci_low for m in (one[name], other[name])]
                assert widths[1] < 0.9 * widths[0], name
    assert score(p, y, clusters=ids) == wide  # 0.95 where nothing is said
    assert per_class(probs, targs, **options) == each_wide


def test_what_is_drawn_follows_the_seed_and_the_number_of_draws_and_nothing_else_does():
    p, y, ids = noisy()
    one, other, more = (score(p, y, clusters=ids, **o) for o in ({}, {"seed": 1}, {"n_boot": 51}))
    drawn = {"auprc", "mcc", "brier", "ece", "calibration_intercept", "calibration_slope"}
    assert {name for name in METRICS if one[name] != other[name]} == drawn
    assert {name for name in METRICS if one[name] != more[name]} == drawn
    assert score(p, y, clusters=ids, seed=0, n_boot=2000) == measure(
        two_columns(p), y, clusters=ids, patients=ids, positive=1, threshold=0.5
    )
    options = {"clusters": ids, "positive": 1, "threshold": 0.5}
    default = per_class(two_columns(p), y, **options)
    assert default == per_class(two_columns(p), y, **options, n_boot=2000, seed=0)
    assert default[1]["auprc"] != per_class(two_columns(p), y, **options, seed=1)[1]["auprc"]


def test_no_image_at_all_is_reported_for_each_class_and_metric():
    empty = per_class(np.empty((0, 3)), [], clusters=[], positive=None, threshold=None)
    assert list(empty) == [0, 1, 2] and all(tuple(row) == _PER_CLASS for row in empty.values())
    found = [*score([], []).values(), *(m for row in empty.values() for m in row.values())]
    assert {(m.method, m.value, m.n) for m in found} == {("not estimable: no images", None, 0)}


def sample_of(p, y, ids, patients=None) -> Sample:
    return make_sample(two_columns(p), np.asarray(y), ids, patients, positive=1, threshold=0.5)


def test_a_mean_over_classes_is_made_of_its_parts():
    probs, y, ids = three_classes()
    sample = make_sample(probs, y, ids, ids, positive=None, threshold=None)
    for name, view in {"sensitivity": lambda t, c: (t, c), "f1": lambda t, c: (t | c, t & c)}.items():
        parts = []
        for c in range(3):
            among, hits = view(sample.targs == c, sample.predicted == c)
            limits = intervals.proportion(hits[among], sample.clusters[among], 0.9)
            worth = intervals.effective(hits[among], sample.clusters[among])
            part = macro_mean.Part(limits, worth, intervals.cluster_residuals(hits, among, sample.clusters))
            parts.append(macro_mean.f1_of(part) if name == "f1" else part)
        expected = macro_mean.mean_of(parts, 0.9)
        found = metrics.rate_metric(name, range(4), sample, 0.9)
        assert (found.value, found.ci_low, found.ci_high) == pytest.approx(expected[:3])
        assert found.method == f"{expected.method}; mean without class 3 (undefined)"
        assert (found.n, found.n_patients) == (150, len(set(ids)))


def test_ppv_and_f1_are_not_estimated_for_a_class_alone():
    """Class 1 is predicted and never present: its PPV and F1 would be 0 for any network; specificity is estimable."""
    sample = make_sample([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]], [0, 0, 2], range(3), None,
                         positive=None, threshold=None)  # fmt: skip
    for name in ("ppv", "npv", "f1"):
        found = metrics.rate_metric(name, (1,), sample, 0.95)
        assert (found.value, found.method) == (None, "not estimable: one class only"), name
        assert "mean without class 1 (undefined)" in metrics.rate_metric(name, (0, 1, 2), sample, 0.95).method
    assert metrics.rate_metric("specificity", (1,), sample, 0.95).value == pytest.approx(2 / 3)
    assert metrics.rate_metric("sensitivity", (1,), sample, 0.95).method == "not estimable: no positive image"
    assert (
        metrics.rate_metric("f1", (0,), sample, 0.95).n == 3 and metrics.rate_metric("ppv", (0,), sample, 0.95).n == 1
    )
    assert metrics._rankable((0, 1, 2), sample) == [0, 2]


def test_the_interval_of_an_average_precision_is_that_of_its_draws():
    p, y, ids = noisy()
    sample = sample_of(p, y, ids, ids)
    draws = intervals.bootstrap({"x": auprc_statistic(sample.probs[:, 1], sample.targs == 1)}, sample.clusters, 80, 3)[
        "x"
    ]
    roc = auroc_interval.curve(sample.probs[:, 1], sample.targs == 1)
    limits = {"rarer": intervals.kish_patients(sample.clusters[sample.targs == 1]), "patients": 30,
              "seen": auroc_interval.misplaced_patients([roc], sample.clusters)}  # fmt: skip
    expected = intervals.drawn_mean(auprc(p, y == 1), draws, level=0.9, **limits)
    found = score(p, y, clusters=ids, n_boot=80, seed=3, level=0.9)["auprc"]
    above = optimism(expected.value, np.array([limits["rarer"]]), np.array([np.mean(y)]), draws)
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx(
        (expected.value, max(expected.low - above, 0), expected.high)
    )
    assert found.method == "bootstrap/patients (logit), lower limit bias-corrected"


def test_the_interval_of_a_correlation_rests_on_the_patients_with_an_error_and_of_the_rarer_class():
    p, y, ids = noisy(seed=4)
    y[:40] = 0
    sample = sample_of(p, y, ids)
    draws = intervals.bootstrap({"x": mcc_statistic(sample.predicted, sample.targs, 2)}, sample.clusters, 80, 3)["x"]
    wrong = sample.predicted != sample.targs
    seen = min(len(set(sample.clusters[wrong])), len(set(sample.clusters[~wrong])))
    rarer = min(
        intervals.kish_patients(np.unique(sample.clusters[sample.targs == c], return_inverse=True)[1]) for c in (0, 1)
    )
    expected = bootstrap_limits.drawn_correlation(
        matthews_corrcoef(y, p >= 0.5), draws, seen=seen, rarer=rarer, patients=30, level=0.9
    )
    found = score(p, y, clusters=ids, n_boot=80, seed=3, level=0.9)["mcc"]
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx(expected[:3])
    assert (found.method, found.n) == ("bootstrap/patients (fisher z)", 60)


def test_room_for_errors_that_were_not_seen_by_hand():
    """Ten patients, none wrong: the whole of what its interval leaves open, at its cost; one wrong: half of each."""
    right = sample_of(np.full(10, 0.9), np.ones(10, int), np.arange(10))
    low = 0.05**0.1  # exact, of ten of ten
    assert metrics.with_room(0.01, 0.8, right, 0.9) == pytest.approx((1 - low) * 0.8)
    assert metrics.with_room(0.9, 0.8, right, 0.9) == 0.9  # never less than it was
    one = sample_of([*[0.9] * 9, 0.1], np.ones(10, int), np.arange(10))
    low = binomtest(9, 10).proportion_ci(0.9, method="exact").low
    assert metrics.with_room(0.01, 0.8, one, 0.9) == pytest.approx((1 * 0.01 + (0.9 - low) * 0.8) / 2)
    # two wrong images of one patient are one patient; and the threshold is not asked
    two = sample_of([*[0.9] * 8, 0.1, 0.1], np.ones(10, int), [*range(8), 8, 8])
    found = intervals.proportion(np.arange(10) < 8, np.array([*range(8), 8, 8]), 0.9)
    assert two.share_correct(0.9) == found
    assert metrics.with_room(0.01, 0.8, two, 0.9) == pytest.approx((0.01 + (0.8 - found.low) * 0.8) / 2)


def test_the_interval_of_a_brier_score_by_hand():
    p, y, ids = noisy()
    sample = sample_of(p, y, ids)
    losses = (sample.probs[:, 1] - sample.targs) ** 2
    draws = intervals.bootstrap({"x": lambda w: w @ losses / w.sum(axis=1)}, sample.clusters, 80, 3)["x"]
    by_patient = np.array([losses[sample.clusters == c].sum() for c in range(30)])
    seen = by_patient.sum() ** 2 / (by_patient**2).sum()
    plain = intervals.drawn_mean(losses.mean(), draws, seen=seen, rarer=30.0, patients=30, level=0.9)
    cost = (np.maximum(p, 1 - p) ** 2).mean()
    up = metrics.with_room(plain.high - plain.value, cost, sample, 0.9)
    found = score(p, y, clusters=ids, n_boot=80, seed=3, level=0.9)["brier"]
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx((losses.mean(), plain.low, plain.value + up))


def test_a_brier_score_of_more_classes_costs_twice_and_ends_at_two():
    probs, y, ids = three_classes()
    sample = make_sample(probs, y, ids, ids, positive=None, threshold=None)
    losses = ((sample.probs - np.eye(4)[sample.targs]) ** 2).sum(axis=1)
    draws = intervals.bootstrap({"x": lambda w: w @ losses / w.sum(axis=1)}, sample.clusters, 80, 3)["x"]
    by_patient = np.bincount(sample.clusters, weights=losses)
    options = {"rarer": intervals.kish_patients(sample.clusters), "patients": len(set(ids)), "level": 0.9}
    plain = intervals.drawn_mean(losses.mean(), draws, seen=intervals.kish_weights(by_patient), top=2.0, **options)
    up = metrics.with_room(plain.high - plain.value, 2 * (probs.max(axis=1) ** 2).mean(), sample, 0.9)
    found = measure(probs, y, clusters=ids, positive=None, threshold=None, n_boot=80, seed=3, level=0.9)["brier"]
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx((losses.mean(), plain.low, plain.value + up))
    exact = score([1.0] * 5, [1] * 5, clusters=range(5))["brier"]  # no loss at all: nothing to weigh
    assert (exact.value, exact.ci_low) == (0, 0) and exact.ci_high > 0.2


def test_the_interval_of_a_calibration_error_by_hand():
    """The band of the drawn lengths, as far out as the share that is right leaves room, and a value less its noise."""
    alike = [
        (np.full(n, p), np.full(n, y), np.arange(n))
        for n, p, y in ((20, 0.95, 1), (20, 0.55, 1), (6, 0.99, 0), (3, 0.6, 0))
    ]
    for p, y, ids in (noisy(seed=6), noisy(seed=8, n=20), *alike):
        sample = sample_of(p, y, ids)
        sure, true = sample.probs[:, 1], sample.targs == 1
        bins = ece_bins(sure)
        gaps = lambda w: np.stack([w @ ((true - sure) * (bins == b)) for b in range(15)], 1) / w.sum(axis=1)[:, None]  # noqa: E731, B023
        draws = intervals.bootstrap({"x": gaps}, sample.clusters, 80, 3)["x"]
        own = gaps(np.ones((1, len(y))))[0]
        lengths, moves = np.abs(draws).sum(axis=1), np.abs(draws - own).sum(axis=1)
        kish, patients = intervals.kish_patients(sample.clusters), len(set(ids))
        plain = bootstrap_limits.drawn_distance(
            np.abs(own).sum(), lengths, moves, rarer=kish, patients=patients, level=0.9
        )
        share = intervals.proportion(sample.probs.argmax(axis=1) == sample.targs, sample.clusters, 0.9)
        mean = sample.probs.max(axis=1).mean()
        value = max(0.0, 2 * np.abs(own).sum() - lengths.mean())
        high = min(1.0, max(plain.high, mean - share.low, share.high - mean))
        low = max(
            0.0, min(plain.low, plain.value - (share.value - share.low), plain.value - (share.high - share.value))
        )
        found = score(p, y, clusters=ids, n_boot=80, seed=3, level=0.9)["ece"]
        assert (found.value, found.ci_low, found.ci_high) == pytest.approx((value, min(low, value), high), abs=1e-12)
        assert found.method == f"{plain.method.replace('bootstrap', 'bootstrap/patients')}, bias-corrected"


def test_the_line_has_the_interval_of_its_draws_and_a_reason_where_it_is_none():
    p, y, ids = noisy(seed=7)
    sample = sample_of(p, y, ids)
    confidence, correct = sample.probs[:, 1], sample.targs == 1
    line = calibration_line(confidence, correct)
    rarer = min(len(set(ids[y == side])) for side in (0, 1))  # patients
    draws = intervals.bootstrap({"x": line_statistic(confidence, correct, line)}, sample.clusters, 80, 3)["x"]
    found = score(p, y, clusters=ids, n_boot=80, seed=3, level=0.9)
    for i, name in enumerate(("calibration_intercept", "calibration_slope")):
        expected = line_interval(line[i], draws[:, i], rarer, 0.9)
        assert (found[name].value, found[name].ci_low, found[name].ci_high) == pytest.approx(expected[:3])
        assert found[name].method == "bootstrap/patients (t)"


@pytest.mark.parametrize(
    ("p", "y", "why"),
    [
        (np.linspace(0.1, 0.9, 12), np.ones(12, int), "one class only"),
        (np.linspace(0.1, 0.9, 12), np.zeros(12, int), "one class only"),
        (np.linspace(0.1, 0.9, 12), np.arange(12) // 6, "no slope can be fitted"),
        (np.full(12, 0.5), np.arange(12) % 2, "no slope can be fitted"),
        (np.linspace(0.1, 0.9, 19), np.arange(19) % 2, "9 patients of the rarer class, at least 10 are needed"),
        (np.linspace(0.1, 0.9, 40), np.arange(40) % 8 == 1, "5 patients of the rarer class, at least 10 are needed"),
        (np.linspace(0.1, 0.9, 20), np.arange(20) % 2, None),
    ],
)
def test_a_line_that_is_none_says_why(p, y, why):
    found = score(p, y)["calibration_slope"]
    assert found.method.startswith(f"not estimable: {why}" if why else "bootstrap/patients (t)")


def test_top_labels_that_are_all_right_have_no_line():
    found = measure(
        np.eye(3)[[0, 1, 2] * 5] * 0.7 + 0.1, [0, 1, 2] * 5, clusters=range(15), positive=None, threshold=None
    )
    assert found["calibration_slope"].method == "not estimable: the top labels are all right or all wrong"


def test_confidence_is_the_positive_class_of_two_and_the_top_label_of_more():
    sample = make_sample([[0.7, 0.3], [0.2, 0.8]], [0, 0], [0, 1], None, positive=0, threshold=0.5)
    sure, true = metrics.confidences(sample)
    assert sorted(sure) == [0.2, 0.7] and true.tolist() == [True, True]
    sample = make_sample([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]], [1, 2], [0, 1], None, positive=None, threshold=None)
    sure, true = metrics.confidences(sample)
    assert sorted(zip(sure, true, strict=True)) == [(0.5, False), (0.6, True)]


def test_areas_of_more_classes_have_the_interval_of_their_mean_and_name_who_is_left_out():
    probs, y, ids = three_classes()
    sample = make_sample(probs, y, ids, ids, positive=None, threshold=None)
    found = measure(probs, y, clusters=ids, patients=ids, positive=None, threshold=None, n_boot=80, seed=3, level=0.9)
    curves = [auroc_interval.curve(sample.probs[:, c], sample.targs == c) for c in range(3)]
    expected = auroc_interval.auroc_interval(curves, sample.clusters, 0.9)
    assert (found["auroc"].value, found["auroc"].ci_low, found["auroc"].ci_high) == pytest.approx(expected[:3])
    assert found["auroc"].method == f"{expected.method}; mean without class 3 (undefined)"
    each = [auprc_statistic(sample.probs[:, c], sample.targs == c) for c in range(3)]
    draws = intervals.bootstrap({"x": lambda w: np.mean([one(w) for one in each], axis=0)}, sample.clusters, 80, 3)["x"]
    patients = [intervals.kish_patients(sample.clusters[sample.targs == c]) for c in range(3)]
    rest = {"seen": auroc_interval.misplaced_patients(curves, sample.clusters), "patients": len(set(ids))}
    low, high = (
        intervals.drawn_mean(found["auprc"].value, draws, level=0.9, rarer=rarer, **rest)
        for rarer in (min(patients), 9 / sum(1 / n for n in patients))
    )
    shares = np.array([(sample.targs == c).mean() for c in range(3)])
    above = optimism(low.value, np.array(patients), shares, draws)
    assert above > 0
    assert (found["auprc"].ci_low, found["auprc"].ci_high) == pytest.approx((max(low.low - above, 0), high.high))
    assert high.high < low.high
    assert (
        found["auprc"].method
        == "bootstrap/patients (logit), lower limit bias-corrected; mean without class 3 (undefined)"
    )
    balanced = metrics.rate_metric("sensitivity", range(4), sample, 0.9)
    assert found["balanced_accuracy"] == balanced


def test_each_class_counts_its_patients_and_is_called_at_the_threshold():
    """Two images a cluster, three a patient; at 0.35 six images are called positive, at 0.5 four."""
    people = [i // 3 for i in range(10)]
    options = {
        "clusters": [i // 2 for i in range(10)],
        "patients": people,
        "positive": 1,
        "threshold": 0.35,
        "n_boot": 20,
    }
    table = per_class(two_columns(TEN_P), TEN_Y, **options)
    whole = measure(two_columns(TEN_P), TEN_Y, **options)
    assert table[1] == {name: whole[name] for name in _PER_CLASS}
    assert (table[1]["ppv"].n, table[1]["ppv"].value) == (6, pytest.approx(3 / 6))
    assert (table[1]["sensitivity"].n_patients, table[0]["sensitivity"].n_patients) == (2, 3)
    without = per_class(two_columns(TEN_P), TEN_Y, **(options | {"patients": None}))
    assert {m.n_patients for row in without.values() for m in row.values()} == {None}


def test_the_reason_is_that_of_the_metric():
    one = score([0.1, 0.6, 0.9], [1, 1, 1])
    assert one["balanced_accuracy"].method == one["auprc"].method == "not estimable: one class only"
    assert one["mcc"].method == "not estimable: one class only, in the labels or the predictions"
    assert score([0.1, 0.2, 0.3], [0, 1, 1])["ppv"].method == "not estimable: no image predicted positive"
    assert score([0.1, 0.2, 0.3], [0, 1, 1])["accuracy"].ci_low < 1 / 3


def test_a_class_that_is_neither_there_nor_called_has_a_row_and_a_column():
    assert confusion_matrix(np.array([0, 1]), np.array([0, 0]), 3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_two_images_of_a_patient_are_one_patient_of_the_rarer_class():
    """Ten positive images of five patients: no calibration line, and the intercept says the same."""
    p, y, ids = np.linspace(0.1, 0.9, 40), np.arange(40) % 4 == 1, np.arange(40) // 8
    found = score(p, y, clusters=ids)
    assert found["calibration_slope"] == found["calibration_intercept"]
    assert found["calibration_slope"].method == "not estimable: 5 patients of the rarer class, at least 10 are needed"


def test_few_wrong_top_labels_have_no_line():
    """60 right with scores of 0.8, two wrong with 0.5 and 0.9, so that no cut separates them."""
    targs = np.append(np.arange(3).repeat(20), [0, 1])
    probs = np.append(np.eye(3)[targs[:60]] * 0.7 + 0.1, [[0.1, 0.5, 0.4], [0.9, 0.05, 0.05]], axis=0)
    found = measure(probs, targs, clusters=range(62), positive=None, threshold=None)["calibration_slope"]
    why = "2 patients with the rarer of right and wrong top labels, at least 10 are needed"
    assert found.method == f"not estimable: {why}"


def test_an_area_of_a_class_in_one_patient_says_so():
    """Three positive images of one patient, seven negative ones of others: nothing tells how positive patients vary."""
    found = score(np.arange(10) / 10, np.arange(10) > 6, clusters=np.minimum(np.arange(10), 7))
    assert found["auroc"].method == "not estimable: 1 patient with images of a class, at least 2 are needed"
    assert (found["auroc"].value, found["auroc"].n, found["auroc"].n_patients) == (None, 10, 8)
    assert score(np.arange(10) / 10, np.arange(10) > 7)["auroc"].value == 1


def without_skill(sets: int):
    """Metrics of 35 classes of 1, 2 or 3 images with scores that know nothing: the true AUPRC is near 0.04, MCC 0."""
    rng, y = np.random.default_rng(0), np.repeat(np.arange(35), np.resize((1, 2, 3), 35))
    for _ in range(sets):
        probs = rng.dirichlet(np.ones(35), len(y))
        yield measure(probs, y, clusters=np.arange(len(y)), positive=None, threshold=None, n_boot=100)


def test_the_lower_limit_of_a_mean_precision_is_not_above_what_many_images_give():
    """Of 10 classes with 10 images each and no skill, the value is 0.138 on average and the true one 0.1: a quarter of
    the lower limits was above it."""
    rng, y = np.random.default_rng(5), np.repeat(np.arange(10), 10)
    above = 0
    for _ in range(25):
        sample = make_sample(rng.dirichlet(np.ones(10), 100), y, np.arange(100), None, positive=None, threshold=None)
        draws = rng.multinomial(100, np.full(100, 0.01), 100).astype(float)
        mean = metrics._auprc_statistics({"x": sample.classes}, sample, 100)["x"](draws)
        above += metrics._auprc_metric(sample.classes, sample, mean, 0.95).ci_low > 0.1
    assert above <= 1


def test_the_rarest_of_many_classes_does_not_decide_their_correlation_and_mean_precision():
    """AUPRC 0.244 [0.003, 0.972] and MCC 0.073 [-0.398, 0.514] said nothing."""
    found = list(without_skill(12))
    assert all(each["auprc"].ci_high < 0.4 and each["auprc"].ci_low < 0.04 for each in found)
    assert np.mean([each["mcc"].ci_high - each["mcc"].ci_low for each in found]) < 0.35
    assert sum(each["mcc"].ci_low <= 0 <= each["mcc"].ci_high for each in found) >= 11


def test_the_patients_behind_a_correlation_of_three_classes():
    """Shares of 1/2, 1/4, 1/4: 8 images times 1 - 3/8; two classes as before, the rarer one."""
    sample = make_sample(np.full((8, 3), 1 / 3), [0] * 4 + [1, 1, 2, 2], range(8), None, positive=None, threshold=None)
    assert behind_correlation(sample.targs, sample.clusters) == pytest.approx(5)
    two = make_sample(np.full((8, 2), 1 / 2), [0] * 6 + [1] * 2, range(8), None, positive=1, threshold=0.5)
    assert behind_correlation(two.targs, two.clusters) == pytest.approx(2)
