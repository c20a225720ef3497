"""What the metrics document has with five classes or more: top-3 accuracy, and the classes that are never predicted."""

import json

import numpy as np
import pytest

from plainfilm.evaluate.document import _never_predicted, _top_3
from plainfilm.evaluate.metrics.point_metrics import is_among_highest
from plainfilm.evaluate.metrics.sample import Sample, make_sample


def sample(probs: list[list[float]], truth: list[int], positive: int | None = None) -> Sample:
    threshold = None if positive is None else 0.5
    return make_sample(probs, truth, range(len(truth)), range(len(truth)), positive=positive, threshold=threshold)


def test_ranks_by_hand_with_ties():
    """Of equal scores the first class is higher, as for the predicted class."""
    probs = np.array([[0.4, 0.3, 0.2, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4, 0.0], [0.2] * 5, [0.2] * 5])
    assert is_among_highest(probs, np.array([2, 0, 2, 3]), 3).tolist() == [True, False, True, False]
    assert is_among_highest(probs, np.array([0, 3, 0, 1]), 1).tolist() == [True, True, True, False]


def test_top_3_accuracy_counts_patients_as_accuracy_does_and_needs_five_classes():
    found = _top_3(sample([[0.4, 0.3, 0.2, 0.1, 0.0]] * 4, [0, 1, 2, 3]), narrow=False)
    assert found is not None and (found.value, found.n, found.n_patients) == (0.75, 4, 4)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.1941, 0.9937), abs=1e-4)  # exact, three of four
    assert _top_3(sample([[0.4, 0.3, 0.2, 0.1]] * 4, [0, 1, 2, 3]), narrow=False) is None


def test_one_note_for_all_classes_that_are_never_predicted():
    probs = [[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]]
    assert _never_predicted(sample(probs, [0, 0, 2]), ["a", "b", "c"], "valid") == []  # b has no image here
    (note,) = _never_predicted(sample(probs, [1, 1, 2]), ["a", "b", "c"], "valid")
    assert note.startswith("1 class is never predicted on valid: b (2 images). Train longer")
    (note,) = _never_predicted(sample([[0.9, 0.1], [0.8, 0.2]], [0, 1], positive=1), ["N", "P"], "test")
    assert note == "1 class is never predicted on test: P (1 image). Try another --threshold."
    (note,) = _never_predicted(
        sample([[0.9, 0.1], [0.8, 0.2]], [0, 1], positive=1), ["N", "P"], "test", recalibrated=True
    )
    assert note == "1 class is never predicted on test: P (1 image). The threshold was set for another place."
    many = np.eye(100)[[0] * 99] * 0.9 + 0.001
    (note,) = _never_predicted(sample((many / many.sum(1, keepdims=True)).tolist(), range(1, 100)), [f"c{i}" for i in range(100)], "valid")  # fmt: skip
    assert note.startswith(
        "99 classes are never predicted on valid: c1 (1 image), c2 (1 image), c3 (1 image) and 96 more."
    )


def test_a_saved_document_has_top_3_accuracy_and_metrics_at_half_that_are_its_metrics(save_run):
    run = save_run("six", vocab=tuple("abcdef"), positive=None, patients=30)
    document = json.loads(run.metrics.read_text())["valid"]
    assert document["metrics"]["accuracy"]["value"] <= document["top_3_accuracy"]["value"] <= 1
    assert document["metrics_at_half"] == document["metrics"]
    assert json.loads(save_run("two").metrics.read_text())["valid"]["top_3_accuracy"] is None
