"""Mean scores by patient, by hand; one image per patient changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainfilm.evaluate.document import _mean_per_patient
from plainfilm.evaluate.metrics.measure import measure


def two_columns(p) -> np.ndarray:
    p = np.asarray(p, float)
    return np.stack([1 - p, p], axis=1)


def test_means_and_truth_by_hand_and_patients_that_disagree_are_counted():
    probs = two_columns([0.9, 0.2, 0.5, 0.6, 0.1, 0.3])
    targs = np.array([1, 0, 1, 1, 0, 1])
    found = _mean_per_patient(probs, targs, [7, 8, 7, 7, 8, 9], ["b", "a", "b", "c", "a", "a"])
    # a: images 0.2, 0.1 of class 0 and 0.3 of class 1; b: 0.9 and 0.5; c: 0.6, in the group of b
    assert found.disagreeing == 1
    assert found.probs[:, 1] == pytest.approx([0.7, 0.6])
    assert found.targs.tolist() == [1, 1] and found.groups.tolist() == [7, 7]


def test_two_wrong_images_of_a_patient_are_one_wrong_patient():
    probs, targs = two_columns([0.2, 0.1, 0.9, 0.8, 0.3, 0.4]), np.array([1, 1, 1, 1, 0, 0])
    patients = np.array(["p1", "p1", "p2", "p3", "n1", "n1"])
    found = _mean_per_patient(probs, targs, np.arange(6), patients)
    options = {"positive": 1, "threshold": 0.5, "n_boot": 20}
    by_patient = measure(found.probs, found.targs, clusters=range(4), **options)
    by_image = measure(probs, targs, clusters=patients, **options)
    assert by_patient["sensitivity"].value == pytest.approx(2 / 3) and by_patient["sensitivity"].n == 3
    assert by_image["sensitivity"].value == pytest.approx(2 / 4) and by_image["sensitivity"].n == 4


@given(st.integers(1, 40), st.integers(2, 4), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_with_one_image_each_nothing_changes(n, k, seed):
    rng = np.random.default_rng(seed)
    probs, targs = rng.dirichlet(np.ones(k), n), rng.integers(0, k, n)
    patients = rng.permutation([f"p{i}" for i in range(n)])
    found = _mean_per_patient(probs, targs, np.arange(n), patients)
    options = {"positive": 1 if k == 2 else None, "threshold": 0.4 if k == 2 else None, "n_boot": 20}
    by_patient = measure(found.probs, found.targs, clusters=found.groups, patients=found.groups, **options)
    assert found.disagreeing == 0
    assert by_patient == measure(probs, targs, clusters=patients, patients=patients, **options)


def test_everybody_disagreeing_leaves_nobody():
    found = _mean_per_patient(two_columns([0.1, 0.9]), np.array([0, 1]), [0, 0], ["a", "a"])
    assert (found.disagreeing, len(found.targs), found.probs.shape) == (1, 0, (0, 2))
