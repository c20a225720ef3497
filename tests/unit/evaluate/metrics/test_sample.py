"""What a sample holds, in which order, and what is refused; scores by hand and against scikit-learn; Metrics of both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, precision_score, recall_score

from plainfilm.errors import DataError
from plainfilm.evaluate.metrics import measure, point_metrics, predicted_class
from plainfilm.evaluate.metrics import sample as estimates
from plainfilm.evaluate.metrics.sample import Sample, _canonical_order, _label_codes, make_sample
from plainfilm.evaluate.shift import generalization_gap
from plainfilm.evaluate.stats.intervals import Interval


def two(p) -> np.ndarray:
    p = np.asarray(p, float)
    return np.stack([1 - p, p], 1)


def made(probs, targs, clusters=None, patients=None, positive=1, threshold=0.5) -> Sample:
    clusters = range(len(targs)) if clusters is None else clusters
    return make_sample(probs, targs, clusters, patients, positive=positive, threshold=threshold)


# --- the sample ------------------------------------------------------------------------------------------------------


def test_order_tells_where_each_image_stood_and_everything_is_put_in_it():
    rng = np.random.default_rng(0)
    p, y, ids = np.round(rng.random(40), 1), rng.integers(0, 2, 40), rng.integers(0, 12, 40)
    people = np.array([f"patient {i}" for i in ids])
    sample = made(two(p), y, ids, people)
    assert sorted(sample.order) == list(range(40))
    assert (sample.probs == two(p)[sample.order]).all() and (sample.targs == y[sample.order]).all()
    assert (sample.predicted == (p >= 0.5)[sample.order]).all()
    # clusters are renumbered from 0 and stay together; patients are the clusters here
    assert sample.clusters.tolist() == sorted(sample.clusters) and set(sample.clusters) == set(range(len(set(ids))))
    assert len({*zip(sample.clusters, ids[sample.order], sample.patients, strict=True)}) == len(set(ids))
    assert sample.patients.dtype == sample.clusters.dtype == sample.targs.dtype == np.int64


def test_clusters_come_in_the_order_of_what_they_hold():
    """Content, by truth and then by probabilities: a is (0, .8), b is (0, .6), c is (1, .3); cluster 7 holds b, c."""
    probs, targs = two([0.3, 0.4, 0.2, 0.4]), np.array([1, 0, 0, 0])
    order, codes = _canonical_order(probs, targs, np.array([7, 7, 5, 1]))
    content = [[0.6, 0.4, 0], [0.8, 0.2, 0], [0.7, 0.3, 1]]
    rows = [[*probs[i], targs[i]] for i in order]
    assert rows == [content[0], content[0], content[2], content[1]] and order.tolist() == [3, 1, 0, 2]
    assert codes.tolist() == [0, 1, 1, 2]
    assert [each.tolist() for each in _canonical_order(probs[:0], targs[:0], targs[:0])] == [[], []]


def test_a_sample_tells_its_classes_and_counts_everyone():
    pair = made(two([0.2, 0.8]), [0, 1], positive=0)
    assert (pair.classes, pair.all_classes, pair.everyone.tolist()) == ((0,), (0, 1), [True, True])
    three = made(np.full((2, 3), 1 / 3), [0, 1], positive=None, threshold=None)
    assert three.classes == three.all_classes == (0, 1, 2)
    assert pair.everyone.dtype == bool


def test_probabilities_may_be_off_by_rounding_and_are_clipped():
    sample = made([[0.0005, 1.0004], [1.0009, -0.0009]], [1, 0])
    assert sample.probs.min() == 0 and sample.probs.max() == 1 and sample.probs.dtype == np.float64
    for bad in ([[0.4988, 0.5]], [[0.5, 0.5012]], [[1.0011, -0.0011]]):
        with pytest.raises(DataError, match="1 rows of probs are not probabilities"):
            made(bad, [1])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"probs": [[0.5, 0.5], [np.inf, 0.5], [0.5, np.nan]]},
            r"2 rows of probs hold NaN or infinity \(first: row 1\)",
        ),
        ({"probs": [[0.5, 0.5], [0.5, 0.5], [0.7, 0.8]]}, r"1 rows of probs are not .*first: row 2, sum 1.5\)"),
        ({"probs": [[1.0], [1.0], [1.0]]}, r"shape \(3, 1\), expected \(images, classes\) with at least 2"),
        ({"targs": [0, 1, -1]}, "run from -1 to 1, expected 0..1 for 2 columns"),
        ({"targs": ["0", "1", "1"]}, "expected integers 0..1"),
        ({"targs": [[0], [1], [1]]}, r"targs have shape \(3, 1\), expected one label for each of 3 images"),
        ({"patients": ["a", "b"]}, r"patients have shape \(2,\), expected one label for each of 3 images"),
        ({"patients": ["a", None, float("nan")]}, r"2 images have no value in patients \(first: row 1\)"),
        ({"patients": pd.array(["a", "b", pd.NA])}, r"1 images have no value in patients \(first: row 2\)"),
        ({"patients": [pd.NaT, "b", "c"]}, r"1 images have no value in patients \(first: row 0\)"),
        ({"positive": 2}, "positive is 2, expected 0 or 1 with two classes"),
    ],
)
def test_what_is_no_prediction_is_refused_with_its_first_row(changes, says):
    good = {"probs": [[0.5, 0.5], [0.2, 0.8], [1, 0]], "targs": [0, 1, 1], "clusters": [0, 1, 2], "positive": 1}
    with pytest.raises(DataError, match=says):
        made(**(good | changes))


@pytest.mark.parametrize(("positive", "threshold"), [(0, None), (None, 0.5), (2, 0.5)])
def test_three_classes_have_neither_a_positive_one_nor_a_threshold(positive, threshold):
    with pytest.raises(DataError, match="expected None with 3 classes"):
        made(np.full((2, 3), 1 / 3), [0, 1], positive=positive, threshold=threshold)


def test_truth_may_be_bool_and_a_sample_may_be_empty():
    assert made(two([0.2, 0.8]), np.array([False, True])).targs.tolist() == [0, 1]
    empty = made(np.empty((0, 2)), [])
    assert len(empty.targs) == len(empty.order) == len(empty.clusters) == 0


def test_the_text_nan_is_a_name_and_numbers_and_text_are_distinguished():
    assert _label_codes(["nan", "None", "nan"], 3, "patients").tolist() == [1, 0, 1]
    assert _label_codes(np.array(["b", "a", "b"], dtype=object), 3, "patients").tolist() == [1, 0, 1]
    assert _label_codes([10, 9, 10], 3, "patients").tolist() == [1, 0, 1]  # as numbers: 9 before 10
    assert _label_codes([1.5, 0.5, 1.5], 3, "patients").tolist() == [1, 0, 1]


# --- an interval becomes a metric --------------------------------------------------------------------------------------


def people() -> Sample:
    return made(
        two([0.1, 0.2, 0.3, 0.9, 0.8, 0.7]), [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 2], ["a", "a", "b", "c", "c", "c"]
    )


def test_a_metric_counts_the_images_of_its_rows_and_their_patients_as_they_are_resampled():
    """a and b are one cluster, which is drawn as one; the images of c are in two."""
    sample, rows = people(), people().targs == 0
    found = estimates.metric(Interval(0.5, 0.25, 0.75, "m"), sample, rows)
    assert found.model_dump() == {"value": 0.5, "ci_low": 0.25, "ci_high": 0.75, "n": 3, "n_patients": 1, "method": "m"}
    none = estimates.missing("one class only", sample, ~rows)
    assert (none.value, none.ci_low, none.ci_high, none.n, none.n_patients) == (None, None, None, 3, 2)
    assert none.method == "not estimable: one class only"
    assert measure._to_metric(None, "one class only", sample, ~rows) == none
    assert measure._to_metric(Interval(0.5, 0.25, 0.75, "m"), "why", sample, rows) == found
    assert measure._basis(sample) == {"rarer": pytest.approx(36 / 14), "patients": 3}


def test_a_method_says_what_was_drawn_and_who_is_left_out():
    found = Interval(0.5, 0.25, 0.75, "bootstrap (t)")
    assert estimates.drawn(found, people()) == (0.5, 0.25, 0.75, "bootstrap/patients (t)")
    alone = made(two([0.2]), [0])
    assert estimates.drawn(found, alone).method == "bootstrap/images (t)"
    assert measure._noted(found, []) is found
    noted = measure._noted(found, [1, 3])
    assert noted == (0.5, 0.25, 0.75, "bootstrap (t); mean without class 1, 3 (undefined)")
    assert generalization_gap._left_out_of(estimates.metric(noted, alone, alone.everyone)) == " 1, 3 (undefined)"
    assert generalization_gap._left_out_of(estimates.metric(found, alone, alone.everyone)) == ""


# --- plain numbers -------------------------------------------------------------------------------------------------------


def test_rates_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.random(80) < 0.3, rng.random(80) < 0.5
    expected = {
        "sensitivity": recall_score(truth, predicted), "specificity": recall_score(~truth, ~predicted),
        "ppv": precision_score(truth, predicted), "npv": precision_score(~truth, ~predicted), "f1": f1_score(truth, predicted),
    }  # fmt: skip
    found = measure.measure(two(predicted), truth, clusters=np.arange(80), positive=1, threshold=0.5, n_boot=20)
    assert set(expected) == set(point_metrics.RATES)
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value), name


@pytest.mark.parametrize("positive", [None, 2])
def test_a_threshold_needs_a_positive_class_of_two(positive):
    with pytest.raises(DataError, match=r"A threshold \(0.5\) needs two classes"):
        predicted_class.predicted_classes(two([0.2, 0.8]), positive=positive, threshold=0.5)
    with pytest.raises(DataError, match="needs two classes"):
        predicted_class.predicted_classes(np.full((2, 3), 1 / 3), positive=1, threshold=0.5)


def test_lists_and_numbers_are_taken_for_scores_and_labels():
    assert point_metrics.auprc([1, 2, 3, 4], [0, 1, 0, 1]) == pytest.approx(
        average_precision_score([0, 1, 0, 1], [1, 2, 3, 4])
    )
    assert point_metrics.confusion_matrix([0, 1], [0, 0], 2).tolist() == [[1, 1], [0, 0]]
    for labels in ([1, 1], [0, 0]):
        with pytest.raises(DataError, match="^auprc is undefined: one class only"):
            point_metrics.auprc([0.1, 0.2], labels)


def test_the_calibration_error_of_three_images_by_hand():
    gaps = point_metrics.gap_statistic(np.array([0.0, 1, 1]), np.array([False, True, False]))(np.ones((1, 3)))
    assert np.abs(gaps).sum() == pytest.approx(1 / 3)


def test_brier_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    p, y = rng.random(30), rng.integers(0, 2, 30)
    losses = point_metrics.brier_losses
    assert losses(two(p), y, 1).mean() == pytest.approx(brier_score_loss(y, p))
    assert losses(two(p), y, 0).mean() == pytest.approx(brier_score_loss(1 - y, 1 - p))
    assert losses(two(p), y, None).mean() == pytest.approx(2 * brier_score_loss(y, p))


def test_bins_hold_equal_mass_as_far_as_equal_scores_allow():
    assert point_metrics.ece_bins(np.arange(45.0)).tolist() == [i // 3 for i in range(45)]
    assert point_metrics.ece_bins(np.array([0.9, 0.1, 0.9, 0.9])).tolist() == [
        9,
        1,
        9,
        9,
    ]  # middles 0.5 and 2.5 of 4, x 15


def test_gaps_of_weighted_images_by_hand():
    """Two images in bins 3 and 11: gaps 1 - 0.2 and 0 - 0.6, times their share of the weights."""
    gaps = point_metrics.gap_statistic(np.array([0.2, 0.6]), np.array([True, False]))(
        np.array([[1.0, 1], [3, 1], [0, 2]])
    )
    assert gaps.shape == (3, 15) and np.flatnonzero(np.abs(gaps).sum(axis=0)).tolist() == [3, 11]
    assert gaps[:, [3, 11]] == pytest.approx(np.array([[0.4, -0.3], [0.6, -0.15], [0, -0.6]]))


@pytest.mark.parametrize("specificity", [0.5, 0.9])
def test_sensitivity_at_a_specificity_is_that_of_repeated_images(specificity):
    """The lowest cut at or below which enough negatives lie, tried score by score; positives above it are found."""
    rng = np.random.default_rng(2)
    truth, p = rng.random(40) < 0.4, np.round(rng.random(40), 1)
    weights = rng.integers(0, 4, (30, 40))
    found = point_metrics.sensitivity_statistic(p, truth, specificity)(weights.astype(float))
    for row, value in zip(weights, found, strict=True):
        some, labels = np.repeat(p, row), np.repeat(truth, row)
        cut = min(c for c in p if (some[~labels] <= c).mean() >= specificity - 1e-9)
        assert value == pytest.approx((some[labels] > cut).mean())
    nobody = np.stack([truth, ~truth, np.zeros(40)]).astype(float)
    assert np.isnan(point_metrics.sensitivity_statistic(p, truth, specificity)(nobody)).all()


def test_a_mean_over_classes_leaves_out_what_a_draw_leaves_undefined():
    one, two_ = (lambda w: np.array([1.0, np.nan, np.nan])), (lambda w: np.array([0.5, 0.25, np.nan]))
    found = point_metrics.macro_statistic([one, two_])(np.ones((3, 1)))
    assert found[:2].tolist() == [0.75, 0.25] and np.isnan(found[2])


def test_means_of_weighted_losses_and_precisions_of_draws_without_positives():
    assert point_metrics.mean_statistic(np.array([1.0, 3]))(np.array([[1.0, 1], [3, 1]])).tolist() == [2, 1.5]
    draws = point_metrics.auprc_statistic(np.array([0.9, 0.5, 0.1]), np.array([True, False, True]))(
        np.array([[0.0, 1, 0], [0, 1, 1], [2, 0, 0]])
    )
    assert np.isnan(draws[0]) and draws[1:].tolist() == [0.5, 1.0]
