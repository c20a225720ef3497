"""Pairs that a probe ranks wrongly: counted by hand, and an interval that holds in a simulation with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainfilm.evaluate.shortcuts.discordant_pairs import _MIN_PATIENTS, _discordant_pairs, discordant_concordance

f = np.array


def test_pairs_are_counted_by_hand():
    positive = f([True, True, False, False])
    probe = f([0.1, 0.9, 0.5, 0.05])  # wrong: only the first positive against the first negative
    pairs = _discordant_pairs(f([0.6, 0.2, 0.4, 0.9]), probe, positive)
    assert pairs.wrong.tolist() == [1, 0, 1, 0] and pairs.right.tolist() == [1, 0, 1, 0]
    tied = _discordant_pairs(f([0.4, 0.2, 0.4, 0.9]), probe, positive)
    assert tied.right.tolist() == [0.5, 0, 0.5, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 40))
def test_sums_over_rows_and_columns_are_those_of_all_pairs(seed, n):
    rng = np.random.default_rng(seed)
    positive, score, probe = rng.random(n) < 0.5, rng.integers(0, 5, n) / 4, rng.integers(0, 5, n) / 4
    pairs = _discordant_pairs(score, probe, positive)
    wrong, right = np.zeros(n), np.zeros(n)
    for i in np.flatnonzero(positive):
        for j in np.flatnonzero(~positive):
            if probe[i] < probe[j]:
                won = (score[i] > score[j]) + 0.5 * (score[i] == score[j])
                wrong[[i, j]] += 1
                right[[i, j]] += won
    np.testing.assert_allclose(pairs.wrong, wrong)
    np.testing.assert_allclose(pairs.right, right)


def some(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Truth of n patients with two images each, and their numbers."""
    return np.repeat(rng.random(n) < 0.6, 2), np.repeat(np.arange(n), 2)


def test_the_probe_itself_is_never_right_there_and_the_truth_always():
    rng = np.random.default_rng(0)
    positive, patient = some(100, rng)
    probe = positive + rng.normal(size=200)
    itself = discordant_concordance(probe, probe, positive, patient, has_patients=True)
    truth = discordant_concordance(positive * 1.0, probe, positive, patient, has_patients=True)
    assert itself.value == 0 and itself.ci_low == 0 < itself.ci_high < 0.2
    assert truth.value == 1 and 0.8 < truth.ci_low < truth.ci_high == 1
    noise = discordant_concordance(rng.normal(size=200), probe, positive, patient)
    assert noise.ci_low < 0.5 < noise.ci_high and noise.n_patients is None and "too narrow" in noise.method


def test_a_probe_with_few_errors_gives_no_number():
    positive, patient = np.arange(40) < 20, np.arange(40)
    probe = positive * 1.0
    probe[: _MIN_PATIENTS - 1] = -1  # so many positives are below all negatives
    found = discordant_concordance(probe, probe, positive, patient, has_patients=True)
    assert found.value is None and f"fewer than {_MIN_PATIENTS} patients" in found.method
    probe[_MIN_PATIENTS - 1] = -1
    assert discordant_concordance(probe, probe, positive, patient, has_patients=True).value == 0


@pytest.mark.parametrize("shortcut", [1.5, 2.5])
def test_the_interval_holds_the_truth_as_often_as_it_says(shortcut):
    """400 patients of two images whose network knows half of the probe; the truth is that of 60,000 patients."""
    rng = np.random.default_rng(5)

    def draw(n: int):
        positive, patient = some(n, rng)
        own = np.repeat(rng.normal(size=(2, n)), 2, axis=1)
        probe = shortcut * positive + 0.8 * own[0] + 0.6 * rng.normal(size=2 * n)
        return positive, patient, probe, 2 * positive + 0.5 * probe + 0.6 * own[1] + 0.6 * rng.normal(size=2 * n)

    def value(positive, _, probe, score):
        pairs = _discordant_pairs(score, probe, positive)
        return pairs.right[positive].sum(), pairs.wrong[positive].sum()

    truth = np.divide(*np.sum([value(*draw(3000)) for _ in range(20)], axis=0))
    held = 0
    for _ in range(300):
        positive, patient, probe, score = draw(400)
        found = discordant_concordance(score, probe, positive, patient, has_patients=True)
        held += found.ci_low <= truth <= found.ci_high
    assert held / 300 > 0.95 - 3 * (0.95 * 0.05 / 300) ** 0.5  # three standard deviations


def test_patients_are_counted_as_they_are_resampled():
    """Patients whose images are identical vary as one, and count as one."""
    rng = np.random.default_rng(4)
    positive = np.arange(40) % 2 == 0
    cluster = np.arange(40) // 4
    found = discordant_concordance(rng.normal(size=40), 1.0 - positive, positive, cluster, has_patients=True)
    assert (found.n, found.n_patients) == (40, 10)
