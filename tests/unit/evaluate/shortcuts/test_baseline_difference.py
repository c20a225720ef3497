"""The network minus the best shortcut probe: by hand, against counted pairs, and what it says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plainfilm.evaluate.shortcuts import baseline_difference as module
from plainfilm.evaluate.shortcuts.baseline_difference import baseline_difference
from plainfilm.schemas.evaluate import BaselineDifference


class FakeCard:
    def __init__(self, vocab=("A", "B"), has_patients=True):
        self.vocab, self.has_patients = list(vocab), has_patients
        self.positive_index = 1 if len(self.vocab) == 2 else None


def part_of(labels, groups=None) -> pd.DataFrame:
    return pd.DataFrame({"label": list(labels), "group": np.arange(len(labels)) if groups is None else groups})


def two(scores) -> np.ndarray:
    scores = np.asarray(scores, dtype=float)
    return np.column_stack([1 - scores, scores])


def area(scores: np.ndarray, truth: np.ndarray) -> float:
    pos, neg = scores[truth], scores[~truth]
    return float(((pos[:, None] > neg) + 0.5 * (pos[:, None] == neg)).mean())


def test_four_patients_by_hand():
    """The network ranks all four pairs correctly, the probe three: +0.25. Of the four patients two have a share, of
    0.125 each, so two of four exchanges are as extreme: p 0.5, which is exact."""
    part = part_of("BBAA")
    found = baseline_difference(two([0.9, 0.8, 0.2, 0.1]), two([0.9, 0.3, 0.4, 0.1]), part, FakeCard())
    assert (found.value, found.p, found.p_is_floor) == (pytest.approx(0.25), 0.5, False)
    assert (found.n, found.n_patients) == (4, 4)
    assert found.ci_low < 0.25 < found.ci_high


def test_images_of_a_patient_are_exchanged_together():
    """The same four images of two patients: both shares are one patient's, so 2 of 2 exchanges are as extreme."""
    part = part_of("BBAA", [0, 1, 1, 0])
    found = baseline_difference(two([0.9, 0.8, 0.2, 0.1]), two([0.9, 0.3, 0.4, 0.1]), part, FakeCard())
    assert (found.value, found.p, found.n_patients) == (pytest.approx(0.25), 1.0, 2)


def test_a_network_that_is_the_probe_is_no_better():
    scores = two(np.random.default_rng(0).random(40))
    found = baseline_difference(scores, scores, part_of("AB" * 20), FakeCard())
    assert (found.value, found.p, found.is_better) == (0, 1, False)
    assert found.ci_low < 0 < found.ci_high  # never without a width


def test_of_three_classes_it_is_the_mean_over_one_against_the_rest():
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=60)
    network, probe = (rng.dirichlet(np.ones(3), size=60) + skill * np.eye(3)[labels] for skill in (0.6, 0.1))
    found = baseline_difference(network, probe, part_of(["ABC"[k] for k in labels]), FakeCard("ABC"))
    means = [np.mean([area(scores[:, c], labels == c) for c in range(3)]) for scores in (network, probe)]
    assert found.value == pytest.approx(means[0] - means[1])
    assert found.is_better


def test_the_limits_are_student_s_t_of_a_bootstrap_of_patients():
    """Against the same draws made here: 60 patients, 59 degrees of freedom."""
    rng = np.random.default_rng(2)
    truth = np.arange(60) % 2 == 1
    network, probe = (np.clip(0.5 + 0.15 * truth + 0.2 * rng.normal(size=60), 0, 1) for _ in range(2))
    found = baseline_difference(two(network), two(probe), part_of(["AB"[k] for k in truth.astype(int)]), FakeCard())
    drawn = []
    for _ in range(2000):
        rows = rng.integers(60, size=60)
        drawn.append(area(network[rows], truth[rows]) - area(probe[rows], truth[rows]))
    assert (found.ci_high - found.ci_low) / 2 == pytest.approx(2.000995 * np.std(drawn, ddof=1), rel=0.06)
    assert (found.ci_high + found.ci_low) / 2 == pytest.approx(found.value)


def test_the_fewest_of_the_draws_is_marked_and_said():
    truth = np.arange(80) % 2 == 1
    probe = np.where(np.arange(80) % 4 < 2, 0.6, 0.4)  # right in half of the pairs
    found = baseline_difference(two(np.where(truth, 0.9, 0.1)), two(probe), part_of(["AB"[k] for k in truth.astype(int)]), FakeCard())  # fmt: skip
    assert (found.p, found.p_is_floor, found.is_better) == (1 / 10_000, True, True)
    assert found.as_text("thumbnail 8x8").endswith("p <= 0.0001 (the fewest these draws can show): better than it")


def test_without_patient_keys_it_is_likely_too_narrow():
    found = baseline_difference(two([0.9, 0.8, 0.2, 0.1]), two([0.9, 0.3, 0.4, 0.1]), part_of("BBAA"), FakeCard(has_patients=False))  # fmt: skip
    assert found.n_patients is None and found.method.endswith("; likely too narrow")
    assert "] (likely too narrow), p 0.500" in found.as_text("x")


def test_one_class_alone_has_no_difference():
    found = baseline_difference(two([0.9, 0.8]), two([0.9, 0.3]), part_of("BB"), FakeCard())
    assert (found.value, found.p, found.is_better) == (None, None, False)
    assert found.as_text("x") == "AUROC above the best shortcut probe (x): not estimable: one class only"


@pytest.mark.parametrize(
    ("value", "p", "says"),
    [
        (0.004, 0.35, "+0.004 [-0.005, +0.013], p 0.350: not distinguishable from it"),
        (0.004, 0.05, "+0.004 [-0.005, +0.013], p 0.050: better than it"),
        (-0.004, 0.35, "-0.004 [-0.013, +0.005], p 0.350: no better than it"),
        (0.0, 1.0, "+0.000 [-0.009, +0.009], p 1.000: no better than it"),
        (-0.004, 0.0003, "-0.004 [-0.013, +0.005], p 0.0003: worse than it"),
    ],
)
def test_what_it_says(value, p, says):
    found = BaselineDifference(value=value, ci_low=value - 0.009, ci_high=value + 0.009, n=9, n_patients=9, method="m", p=p)  # fmt: skip
    assert found.as_text("thumbnail 8x8") == f"AUROC above the best shortcut probe (thumbnail 8x8): {says}"
    assert found.is_better is says.endswith(": better than it")


def test_many_classes_are_linearised_with_nearly_the_limits_of_draws(monkeypatch):
    rng = np.random.default_rng(2)
    labels, groups, card = rng.integers(4, size=400), np.arange(400) // 2, FakeCard("ABCD")
    network, probe = (rng.normal(size=(400, 4)) + skill * np.eye(4)[labels] for skill in (1.5, 0.5))
    part = part_of(["ABCD"[c] for c in labels], groups)
    drawn = baseline_difference(network, probe, part, card)
    monkeypatch.setattr(module, "MOST_DRAWN", 0)
    found = baseline_difference(network, probe, part, card)
    assert (found.value, found.p) == (drawn.value, drawn.p)
    assert found.method.startswith("linearised/patients (t); p:")
    assert found.ci_high - found.ci_low == pytest.approx(drawn.ci_high - drawn.ci_low, rel=0.1)
    same = baseline_difference(network, network, part, card)
    assert same.ci_low < 0 < same.ci_high
    two_classes = baseline_difference(two(rng.random(40)), two(rng.random(40)), part_of("AB" * 20), FakeCard())
    assert two_classes.method.startswith("bootstrap")
