"""Intervals of networks that are hardly ever wrong: they must allow for errors that were never seen.

Simulations with known truth. A prediction is right with probability `right`; its score is `score`, give or take 0.005.
"""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.compare.scored_run import _log_loss, _sensitivity_at
from plainfilm.evaluate.metrics.measure import measure
from plainfilm.evaluate.metrics.sample import make_sample

TRIALS = 60
LEAST = 0.85  # of 0.95 in 60 trials: below it once in 2,000 honest simulations


def draw(rng: np.random.Generator, patients: int, right: float, score: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, 2) and truth (n,), one image per patient."""
    call = rng.random(patients) < 0.5
    truth = np.where(rng.random(patients) < right, call, ~call).astype(int)
    sure = score + (rng.random(patients) - 0.5) * 0.01
    p = np.where(call, sure, 1 - sure)
    return np.column_stack([1 - p, p]), truth


@pytest.mark.parametrize(("patients", "right", "score"), [(45, 0.99, 0.95), (45, 0.97, 0.97), (100, 0.99, 0.97)])
def test_brier_log_loss_and_calibration_error_are_covered(patients, right, score):
    """Without room for unseen wrong predictions: 0.36 to 0.70."""
    rng = np.random.default_rng(0)
    true = {
        "brier": right * (1 - score) ** 2 + (1 - right) * score**2, "ece": abs(right - score),
        "log_loss": -right * np.log(score) - (1 - right) * np.log(1 - score),
    }  # fmt: skip
    held = dict.fromkeys(true, 0)
    for trial in range(TRIALS):
        probs, truth = draw(rng, patients, right, score)
        one_each = np.arange(patients)
        found = measure(probs, truth, clusters=one_each, positive=1, threshold=0.5, n_boot=200, seed=trial)
        sample = make_sample(probs, truth, one_each, None, positive=1, threshold=0.5)
        losses = {"log_loss": _log_loss(-np.log(probs[one_each, truth]), one_each, sample)}
        for name in true:
            metric = (found | losses)[name]
            held[name] += metric.ci_low <= true[name] <= metric.ci_high
            assert metric.ci_high - metric.ci_low < (1.0 if name == "log_loss" else 0.25)
    assert min(held.values()) / TRIALS >= LEAST, held


def test_sensitivity_at_a_specificity_is_covered():
    """Normal scores, 2 apart: at specificity 0.90 the sensitivity is 0.764. With the threshold as given: 0.6 to 0.8."""
    rng, held = np.random.default_rng(1), 0
    truth = np.repeat([0, 1], [60, 120])
    for _ in range(TRIALS):
        score = 1 / (1 + np.exp(-rng.normal(2.0 * truth)))
        probs = np.column_stack([1 - score, score])
        found = _sensitivity_at(make_sample(probs, truth, np.arange(180), None, positive=1, threshold=0.5))
        held += found.ci_low <= 0.7638 <= found.ci_high
    assert held / TRIALS >= LEAST


def test_sensitivity_at_a_specificity_by_hand():
    """Ten negatives at 0.0 ... 0.9: nine must stay below, so that an image counts from above 0.8 on; three of four do."""
    scores = np.array([*np.arange(10) / 10, 0.8, 0.85, 0.95, 0.99])
    truth = np.repeat([0, 1], [10, 4])
    sample = make_sample(np.column_stack([1 - scores, scores]), truth, np.arange(14), None, positive=1, threshold=0.5)
    assert _sensitivity_at(sample).value == 0.75


def test_equal_losses_have_no_interval():
    probs, truth = np.full((5, 2), [0.3, 0.7]), np.ones(5, dtype=int)
    sample = make_sample(probs, truth, np.arange(5), None, positive=1, threshold=0.5)
    found = _log_loss(-np.log(probs[:, 1]), np.arange(5), sample)
    assert found.value is None and found.method.startswith("not estimable: ")
    assert "two different losses" in found.method
