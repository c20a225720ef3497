"""Calibration in the large by hand, its sentence, and what its interval covers."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.evaluate.metrics.mean_calibration import difference_metric, mean_calibration
from plainfilm.evaluate.metrics.sample import Sample, make_sample

VOCAB = ["NORMAL", "PNEUMONIA"]
# mean score 0.44, share 0.40
TEN_P = [0.9, 0.8, 0.7, 0.3, 0.6, 0.4, 0.35, 0.2, 0.1, 0.05]
TEN_Y = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]


def sample_of(p, y, ids=None) -> Sample:
    p, y = np.asarray(p, float), np.asarray(y, int)
    ids = np.arange(len(y)) if ids is None else ids
    return make_sample(np.stack([1 - p, p], 1), y, ids, ids, positive=1, threshold=0.5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_ten_images_by_hand():
    """Squared deviations of score - truth sum to 1.309: sd 0.12060, t(9) = 2.26216, half 0.27282. Two patients have a
    wrong prediction, and Clopper and Pearson's lower limit of 8 of 10 is 0.44390: (2 x 0.27282 + 0.35610) / 3 = 0.30058.
    """
    found = difference_metric(sample_of(TEN_P, TEN_Y), 1, 0.95)
    assert found.value == pytest.approx(0.04)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.04 - 0.30058, 0.04 + 0.30058), abs=2e-5)
    assert (found.n, found.n_patients) == (10, 10)


def test_observed_over_expected_by_hand():
    """0.4 / 0.44; the errors of its logarithm sum to 0.083936 in squares: sd 0.30539, half 0.69084; with the room for
    one more wrong image of the four positive ones (2 x 0.69084 + 0.35610 / 0.4) / 3 = 0.75731.
    """
    found = mean_calibration(sample_of(TEN_P, TEN_Y), VOCAB).observed_expected
    assert found.value == pytest.approx(0.4 / 0.44)
    reach = np.exp(0.75731)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.4 / 0.44 / reach, 0.4 / 0.44 * reach), rel=1e-4)


def test_the_positive_class_may_be_the_first():
    p, y = np.array(TEN_P), np.array(TEN_Y)
    first = make_sample(np.stack([p, 1 - p], 1), 1 - y, np.arange(10), np.arange(10), positive=0, threshold=0.5)
    one, other = mean_calibration(first, ["B", "A"]), mean_calibration(sample_of(TEN_P, TEN_Y), ["A", "B"])
    assert one.says == other.says and one.says.startswith("Scores for B ")
    assert one.observed_expected.value == pytest.approx(other.observed_expected.value)


def test_more_images_of_the_same_patients_are_not_more_patients():
    """Five copies of each image: the variance over patients is that of one; over images it would be a fifth."""
    rng = np.random.default_rng(0)
    y = rng.random(200) < 0.4
    p = sigmoid(2.0 * y - 1 + rng.normal(size=200))
    alone = difference_metric(sample_of(p, y), 1, 0.95)
    ids = np.repeat(np.arange(200), 5)
    copies = difference_metric(sample_of(np.repeat(p, 5), np.repeat(y, 5), ids), 1, 0.95)
    assert copies.value == pytest.approx(alone.value)
    assert copies.ci_high - copies.ci_low == pytest.approx(alone.ci_high - alone.ci_low, rel=0.02)


@pytest.mark.parametrize(
    ("shift", "words"), [(1.0, "are too low by"), (-1.0, "are too high by"), (0.0, "neither clearly too high")]
)
def test_the_sentence_has_the_direction_of_the_scores(shift, words):
    rng = np.random.default_rng(1)
    x = rng.normal(scale=1.5, size=600)
    found = mean_calibration(sample_of(sigmoid(x), rng.random(600) < sigmoid(x + shift)), VOCAB)
    assert found.says.startswith("Scores for PNEUMONIA ") and words in found.says
    low, high = sorted(map(abs, (found.difference.ci_low, found.difference.ci_high)))
    if shift:  # a distance, its limits in order
        assert found.says.endswith(f"{abs(found.difference.value):.3f} [{low:.3f}, {high:.3f}] on average")
        assert (found.observed_expected.ci_low > 1) == (shift > 0)
    else:
        assert f"{found.difference.value:+.3f} [{found.difference.ci_low:+.3f}" in found.says


@pytest.mark.parametrize(
    ("p", "y", "ids", "why"),
    [
        ([0.2, 0.4], [1, 1], None, "one class only"),
        ([0.2, 0.4], [0, 0], None, "one class only"),
        ([], [], None, "no images"),
        ([0.2, 0.4], [0, 1], [7, 7], "fewer than 2 patients"),
        ([0.0, 0.0], [0, 1], None, "every score is 0"),
    ],
)
def test_what_cannot_be_estimated_says_why(p, y, ids, why):
    found = mean_calibration(sample_of(p, y, ids), VOCAB)
    assert found.difference.value is None and found.difference.method == f"not estimable: {why}"
    assert found.observed_expected.method == f"not estimable: {why}"
    assert found.says == f"Scores for PNEUMONIA: calibration in the large is not estimable: {why}"


def three_classes() -> Sample:
    probs = [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]]
    return make_sample(probs, [0, 1, 1, 2], range(4), None, positive=None, threshold=None)


def test_of_more_classes_the_top_label_is_asked_or_one_class():
    """Top scores 0.6, 0.5, 0.7, 0.4, three of four right; class 0 has scores 0.6, 0.5, 0.2, 0.3 and one image."""
    top = mean_calibration(three_classes(), ["a", "b", "c"])
    assert top.difference.value == pytest.approx(0.55 - 0.75) and top.says.startswith("The highest scores ")
    assert top.observed_expected.value == pytest.approx(0.75 / 0.55) and top.difference.n_patients is None
    first = mean_calibration(three_classes(), ["a", "b", "c"], 0)
    assert first.difference.value == pytest.approx(0.4 - 0.25) and first.says.startswith("Scores for a ")


def test_top_labels_that_are_all_wrong_have_no_ratio():
    sample = make_sample([[0.6, 0.3, 0.1], [0.1, 0.7, 0.2]], [1, 2], range(2), None, positive=None, threshold=None)
    assert mean_calibration(sample, list("abc")).difference.method == "not estimable: no image predicted correctly"


@pytest.mark.parametrize(("shift", "images"), [(-0.7, 1), (0.0, 1), (0.5, 4)])
def test_the_intervals_cover_what_is_true_of_other_patients(shift, images):
    """300 sets of 80 patients; two sd of 300 draws at 0.95 are 0.025. Images of a patient share score and truth's draw."""
    rng, inside = np.random.default_rng(2), np.zeros(2)

    def draw(patients: int):
        ids = np.repeat(np.arange(patients), images)
        x = rng.normal(scale=1.5, size=patients)[ids] + 0.3 * rng.normal(size=len(ids))
        return sigmoid(x), rng.random(patients)[ids] < sigmoid(x + shift), ids

    p, y, _ = draw(200_000)
    truth = p.mean() - y.mean(), y.mean() / p.mean()
    for _ in range(300):
        found = mean_calibration(sample_of(*draw(80)), VOCAB)
        for i, each in enumerate((found.difference, found.observed_expected)):
            inside[i] += each.ci_low <= truth[i] <= each.ci_high
    assert (inside / 300 >= 0.925).all() and (inside / 300 <= 0.985).all(), inside / 300


def test_a_set_without_a_wrong_prediction_has_an_interval_all_the_same():
    """45 patients, scores of 0.01 and 0.99, all right: the scores hardly vary, but one image in 45 may be wrong."""
    y = np.arange(45) % 2
    found = difference_metric(sample_of(np.where(y, 0.99, 0.01), y), 1, 0.95)
    assert found.ci_high - found.value > 0.05 and found.value - found.ci_low > 0.05
