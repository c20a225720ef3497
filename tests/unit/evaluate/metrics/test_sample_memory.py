"""Of many classes a sample keeps few of the arrays that each class has over all images."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from plainfilm.evaluate.metrics.measure import _auprc_metric
from plainfilm.evaluate.metrics.sample import Sample, make_sample

CLASSES, IMAGES = 200, 2_000
ONE = 8 * IMAGES  # bytes of one array of one class


def drawn(classes: int, images: int) -> Sample:
    rng = np.random.default_rng(0)
    targs = np.arange(images) % classes
    logits = rng.normal(size=(images, classes))
    logits[np.arange(images), targs] += 2
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return make_sample(probs, targs, np.arange(images), np.arange(images), positive=None, threshold=None)


def test_average_precisions_of_many_classes_are_summed_one_after_the_other():
    sample = drawn(CLASSES, IMAGES)
    tracemalloc.start()
    found = _auprc_metric(sample.classes, sample, None, 0.95)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.method == "linearised (logit), lower limit bias-corrected"
    assert peak < 2 * CLASSES * ONE  # curves and errors of all classes together
    assert max(len(sample._curves), len(sample._precisions)) < CLASSES / 2


def test_what_is_kept_of_a_class_is_that_of_the_class():
    sample = drawn(80, 400)
    for c in (0, 79, 3, 79, 0):
        expected = average_precision_score(sample.targs == c, sample.probs[:, c])
        assert sample.precision(c)[0] == pytest.approx(expected)
        assert (sample.curve(c).labels == (sample.targs == c)).all()
